"""Many associations behind one port, without any I/O: whose packet is it (RFC 9260 §5.1, §8.4).

A packet is routed by its source address and SCTP port, and where the peer's address has changed behind
a NAT, by its verification tag (RFC 6951 §5.4).  An INIT from a stranger is answered without keeping
anything; only a COOKIE ECHO with a cookie of ours makes an association, and only up to a limit.  All
other packets of strangers are out of the blue.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .._wire.chunks import Abort, Chunk, CookieEcho, Init
from .._wire.error_causes import OutOfResource
from .._wire.packet import checksum_ok, decode_chunks, decode_header
from .._wire.tlv import DecodeError
from .arguments import check_integer
from .association import Association
from .config import Config
from .errors import LocalProtocolError
from .handshake import MALFORMED, PacketHeader, malformed_init_tag
from .out_of_the_blue import answer_out_of_the_blue
from .responder import Responder
from .statistics import Counters, EndpointStatistics

if TYPE_CHECKING:
    from random import Random

__all__ = ["Address", "Endpoint", "Route"]

Address: TypeAlias = "tuple[str | int, ...]"
"""A socket address: host, port and what else the address family has."""

MAX_ANSWERS = 256  # packets to strangers that wait to be sent


class Route(NamedTuple):
    """Where a peer is: its address and its SCTP port."""

    address: Address
    port: int


class Endpoint:
    """An SCTP port with any number of peers; the shape of its verbs is that of `Association`.

    ``max_associations`` bounds how many peers there are at a time; INITs beyond it are refused with
    an Out of Resource cause.
    """

    def __init__(self, config: Config, *, rng: Random, max_associations: int = 10_000) -> None:
        check_integer("max_associations", max_associations, 1, math.inf)
        self.config = config
        self.counters = Counters()
        self._rng = rng
        self._max_associations = max_associations
        self._responder = Responder(config, rng)
        self._by_route: dict[Route, Association] = {}
        self._routes: dict[Association, Route] = {}
        self._by_prefix: dict[bytes, Association] = {}  # by ports and tag, as packets begin
        self._prefixes: dict[Association, bytes] = {}
        self._answers: deque[tuple[Address, bytes]] = deque()
        self._accepted: deque[Association] = deque()
        self._out_of_the_blue = 0

    # -- in ----------------------------------------------------------------------------------------

    def connect(self, address: Address, *, now: float) -> Association:
        """Call a peer from this port.  `LocalProtocolError` if there is an association with it."""
        route = Route(address, self.config.remote_port)
        known = self._by_route.get(route)
        if known is not None and not known.ended:
            raise LocalProtocolError(f"address {address}: there is an association with it already")
        association = self._new_association(address)
        association.connect(now=now)
        self._add(route, association)
        return association

    def receive_datagrams(self, datagrams: Iterable[tuple[Address, bytes]], *, now: float) -> None:
        """Take packets with where they came from; each association gets its own as one batch."""
        by_address: dict[Address, list[bytes]] = {}
        for address, packet in datagrams:
            by_address.setdefault(address, []).append(packet)
        batches: dict[Association, list[bytes]] = {}
        for address, packets in by_address.items():
            for association, batch in self.route(packets, address, now=now).items():
                batches.setdefault(association, []).extend(batch)
        for association, packets in batches.items():
            association.receive_packets(packets, now=now)
            self.update(association)

    def route(
        self, packets: Sequence[bytes], address: Address, *, now: float
    ) -> dict[Association, list[bytes]]:
        """The associations that packets from one address are for; some may be new ones.

        Those are told by `next_accepted`.  A packet for nobody was answered or dropped.  Whoever
        hands packets to an association calls `update` afterwards.
        """
        self.counters.packets_received += len(packets)
        batches: dict[Association, list[bytes]] = {}
        prefix, batch = b"", None
        for packet in packets:
            if batch is None or packet[:8] != prefix:  # as a rule they are all for the same
                prefix = packet[:8]
                association = self._by_prefix.get(prefix)
                if (
                    association is None
                    or association.ended
                    or self._routes[association].address != address
                ):
                    association = self._find(packet, address, now)
                    prefix = b""  # what holds for this one need not hold for the next
                    if association is None:
                        continue
                batch = batches.setdefault(association, [])
            batch.append(packet)
        return batches

    def _find(self, packet: bytes, address: Address, now: float) -> Association | None:
        """Whose packet it is that does not come from where its verification tag was last seen."""
        try:
            source_port, destination_port, tag, _ = decode_header(packet)
        except DecodeError:
            self.counters.drop("malformed packet")
            return None
        known = self._by_route.get(Route(address, source_port))
        if known is not None and known.ended:
            known = None
        if known is not None and self._by_prefix.get(packet[:8], known) is known:
            return known
        if not checksum_ok(packet):
            self.counters.drop("bad checksum")
        elif destination_port != self.config.local_port:
            self.counters.drop("wrong port")
        else:
            header = PacketHeader(source_port, destination_port, tag)
            moved = self._moved(packet[:8], address, now) or known
            return moved or self._greet(header, packet, address, now)
        return None

    def handle_timeout(self, *, now: float) -> None:
        """Run what is due in every association; a call too many changes nothing."""
        for association in tuple(self._routes):
            if association.next_timeout() <= now:
                association.handle_timeout(now=now)
                self.update(association)

    # -- out ---------------------------------------------------------------------------------------

    def datagrams_to_send(self, *, now: float) -> list[tuple[Address, bytes]]:
        """Everything that may go out now, with where it goes; call again until there is nothing."""
        datagrams = self.answers_to_send()
        for association, route in tuple(self._routes.items()):
            for packet in association.packets_to_send(now=now):
                datagrams.append((route.address, packet))
            if association.ended:
                self.forget(association)
        return datagrams

    def answers_to_send(self) -> list[tuple[Address, bytes]]:
        """The packets for strangers alone."""
        answers = list(self._answers)
        self._answers.clear()
        self.counters.packets_sent += len(answers)
        return answers

    def next_accepted(self) -> Association | None:
        """An association that a peer has set up and that was not handed out yet, or None."""
        return self._accepted.popleft() if self._accepted else None

    def next_timeout(self) -> float:
        """When `handle_timeout` is due; ``math.inf`` if never."""
        return min([a.next_timeout() for a in self._routes], default=math.inf)

    # -- look --------------------------------------------------------------------------------------

    def address_of(self, association: Association) -> Address:
        """Where the peer of an association is now.  KeyError if it is not one of ours."""
        return self._routes[association].address

    @property
    def associations(self) -> tuple[Association, ...]:
        """Those there are now."""
        return tuple(self._routes)

    def statistics(self) -> EndpointStatistics:
        """A snapshot of all that has come to the port."""
        return EndpointStatistics(
            associations=len(self._routes),
            packets_received=self.counters.packets_received,
            packets_sent=self.counters.packets_sent,
            out_of_the_blue=self._out_of_the_blue,
            dropped=dict(self.counters.dropped),
        )

    def update(self, association: Association) -> None:
        """The association has processed something: its verification tag may have changed."""
        prefix = self._prefixes.get(association, b"")
        if prefix != association.packet_prefix and association in self._routes:
            self._by_prefix.pop(prefix, None)
            self._prefixes[association] = association.packet_prefix
            if association.packet_prefix:
                self._by_prefix[association.packet_prefix] = association

    def forget(self, association: Association) -> None:
        """The association is over and its last packets were pulled."""
        route = self._routes.pop(association, None)
        if route is not None and self._by_route.get(route) is association:
            del self._by_route[route]
        self._by_prefix.pop(self._prefixes.pop(association, b""), None)

    # -- strangers ---------------------------------------------------------------------------------

    def _moved(self, prefix: bytes, address: Address, now: float) -> Association | None:
        """RFC 6951 §5.4: the peer's UDP port has changed; its tag proves that it is the same."""
        association = self._by_prefix.get(prefix)
        if association is None or association.ended:
            return None
        old = self._routes[association]
        if old.address[0] != address[0]:
            return None
        if self._by_route.get(old) is association:  # unless another peer has taken its place
            del self._by_route[old]
        self._add(Route(address, old.port), association)
        association.path_changed(now=now)  # RFC 9260 §7.2.5.2
        return association

    def _greet(
        self, header: PacketHeader, packet: bytes, address: Address, now: float
    ) -> Association | None:
        """Answer a packet that belongs to no association; a good COOKIE ECHO makes one."""
        chunks = decode_chunks(packet)
        first = chunks[0] if chunks else None
        if isinstance(first, Init) and header.verification_tag == 0 and len(chunks) == 1:
            self._answer(address, self._answer_init(header, first, address, now))
        elif header.verification_tag == 0:
            self._refuse_malformed(header, first, address)
        elif isinstance(first, CookieEcho):
            return self._accept(header, first, address, now)
        else:
            self._answer_out_of_the_blue(header, chunks, address)
        return None

    def _refuse_malformed(
        self, header: PacketHeader, chunk: Chunk | None, address: Address
    ) -> None:
        tag = malformed_init_tag(chunk)
        self.counters.drop("malformed INIT" if tag else "wrong verification tag")
        if tag:
            self._answer(address, header.answer(tag, Abort((MALFORMED,)).encode()))

    def _answer_init(
        self, header: PacketHeader, init: Init, address: Address, now: float
    ) -> bytes | None:
        if len(self._routes) >= self._max_associations and init.initiate_tag:
            self.counters.drop("too many associations")
            return header.answer(init.initiate_tag, Abort((OutOfResource(),)).encode())
        peer = _address_bytes(address)
        return self._responder.answer_init(header, init, now=now, peer=peer)

    def _accept(
        self, header: PacketHeader, chunk: CookieEcho, address: Address, now: float
    ) -> Association | None:
        cookie = self._responder.open_cookie(header, chunk.cookie, peer=_address_bytes(address))
        if cookie is None:
            self.counters.drop("invalid COOKIE ECHO")
        elif cookie.staleness(now) > 0:
            self.counters.drop("stale cookie")
            self._answer(address, self._responder.answer_stale(header, cookie, now=now))
        elif len(self._routes) >= self._max_associations:
            self.counters.drop("too many associations")
            abort = Abort((OutOfResource(),)).encode()
            self._answer(address, header.answer(cookie.peer_tag, abort))
        else:
            association = self._new_association(address)
            self._add(Route(address, header.source_port), association)
            self._accepted.append(association)
            return association
        return None

    def _answer_out_of_the_blue(
        self, header: PacketHeader, chunks: list[Chunk], address: Address
    ) -> None:
        self._out_of_the_blue += 1
        if Route(address, header.source_port) in self._by_route:
            # The association with this peer is over and its last packet, which says so better, is
            # still to be pulled: nothing may overtake that.
            return
        answer = answer_out_of_the_blue(chunks)
        if answer is not None:
            self._answer(address, header.answer(header.verification_tag, answer))

    def _answer(self, address: Address, packet: bytes | None) -> None:
        if packet is None or len(self._answers) >= MAX_ANSWERS:
            self.counters.drop("stranger left without an answer")
        else:
            self._answers.append((address, packet))

    # -- the tables --------------------------------------------------------------------------------

    def _new_association(self, address: Address) -> Association:
        return Association(
            self.config,
            rng=self._rng,
            responder=self._responder,
            peer_address=_address_bytes(address),
        )

    def _add(self, route: Route, association: Association) -> None:
        self._by_route[route] = association
        self._routes[association] = route
        self.update(association)


def _address_bytes(address: Address) -> bytes:
    return repr(address).encode()

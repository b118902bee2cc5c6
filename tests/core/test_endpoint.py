"""Many peers behind one port (RFC 9260 §5.1, §8.4; RFC 6951 §5.4 for peers whose UDP port moves)."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest

from tests.support.association_pair import Packet
from tests.support.table_sizes import table_sizes
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.endpoint import Address, Endpoint
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    CloseReason,
    Event,
    Message,
)
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import OutOfResource, UserInitiatedAbort
from trio_sctp._wire.packet import decode_chunks, encode_packet

SERVER: Address = ("192.0.2.100", 9899)


def client_address(i: int) -> Address:
    return (f"198.51.100.{i % 250}", 10_000 + i // 250)


class Network:
    """A server's endpoint and its clients, each at an address; everything arrives at once."""

    def __init__(self, config: Config | None = None, *, max_associations: int = 10_000) -> None:
        self.now = 0.0
        self.server = Endpoint(
            config or Config(), rng=Random("server"), max_associations=max_associations
        )
        self.clients: dict[Address, Association] = {}
        self.accepted: list[Association] = []

    def call(self, address: Address, seed: object = 0, config: Config | None = None) -> Association:
        client = Association(config or Config(), rng=Random(f"{seed} {address}"))
        client.connect(now=self.now)
        self.clients[address] = client
        return client

    def run(self) -> None:
        for _ in range(1000):
            datagrams = [
                (address, packet)
                for address, client in self.clients.items()
                for packet in client.packets_to_send(now=self.now)
            ]
            self.server.receive_datagrams(datagrams, now=self.now)
            while (accepted := self.server.next_accepted()) is not None:
                self.accepted.append(accepted)
            answers = self.server.datagrams_to_send(now=self.now)
            for address, packet in answers:
                if address in self.clients:
                    self.clients[address].receive_packets([packet], now=self.now)
            if not datagrams and not answers:
                return
        raise AssertionError("they never fall silent")


def events(association: Association) -> list[Event]:
    found = []
    while (event := association.next_event()) is not None:
        found.append(event)
    return found


def payloads(association: Association) -> list[bytes]:
    return [event.payload for event in events(association) if isinstance(event, Message)]


def tables(endpoint: Endpoint) -> dict[str, int]:
    """How many entries each table of an endpoint's own has."""
    return {name: size for name, size in table_sizes(endpoint).items() if name.count(".") == 1}


def raw_packet(*chunks: c.EncodableChunk, tag: int, port: int = 5000) -> bytes:
    return encode_packet(port, 5000, tag, [chunk.encode() for chunk in chunks])


# -- many peers --------------------------------------------------------------------------------------


def test_many_peers_at_one_port() -> None:
    """Each is its own association, and packets go where they belong."""
    network = Network()
    clients = [network.call(client_address(i)) for i in range(200)]
    network.run()
    assert len(network.accepted) == 200
    assert len(network.server.associations) == 200
    for client in clients:
        assert client.state is State.ESTABLISHED
    for i, client in enumerate(clients):
        client.send(0, str(i).encode(), now=0.0)
    network.run()
    found = {}
    for server_side in network.accepted:
        (payload,) = payloads(server_side)
        found[network.server.address_of(server_side)] = payload
    assert found == {client_address(i): str(i).encode() for i in range(200)}


def test_peers_behind_one_address_differ_by_their_sctp_port() -> None:
    """§1.3: an association is known by its transport addresses, the SCTP port among them."""
    network = Network()
    ports = (6000, 6001, 6002)
    senders = [Association(Config(local_port=port), rng=Random(port)) for port in ports]
    for sender in senders:
        sender.connect(now=0.0)
    address = client_address(1)
    for _ in range(4):
        packets = [(address, p) for s in senders for p in s.packets_to_send(now=0.0)]
        network.server.receive_datagrams(packets, now=0.0)
        for _, packet in network.server.datagrams_to_send(now=0.0):
            for sender in senders:
                sender.receive_packets([packet], now=0.0)
    assert [sender.state for sender in senders] == [State.ESTABLISHED] * 3
    assert len(network.server.associations) == 3


def test_endpoint_calls_others_from_its_port() -> None:
    """Two endpoints that call each other at once have one association."""
    a, z = (Endpoint(Config(), rng=Random(seed)) for seed in (1, 2))
    here, there = client_address(1), client_address(2)
    ours, theirs = a.connect(there, now=0.0), z.connect(here, now=0.0)
    for _ in range(6):
        z.receive_datagrams([(here, p) for _, p in a.datagrams_to_send(now=0.0)], now=0.0)
        a.receive_datagrams([(there, p) for _, p in z.datagrams_to_send(now=0.0)], now=0.0)
    assert ours.state is theirs.state is State.ESTABLISHED
    assert a.associations == (ours,)
    assert z.associations == (theirs,)
    assert a.next_accepted() is z.next_accepted() is None
    with pytest.raises(LocalProtocolError, match="there is an association with it already"):
        a.connect(there, now=0.0)


def test_a_new_call_after_the_old_association_ended() -> None:
    endpoint = Endpoint(Config(), rng=Random(1))
    first = endpoint.connect(client_address(1), now=0.0)
    first.abort(now=0.0)
    second = endpoint.connect(client_address(1), now=0.0)
    endpoint.datagrams_to_send(now=0.0)
    assert endpoint.associations == (second,)
    assert endpoint.address_of(second) == client_address(1)


def test_next_timeout_is_the_earliest_of_all() -> None:
    endpoint = Endpoint(Config(), rng=Random(1))
    assert endpoint.next_timeout() == math.inf
    endpoint.connect(client_address(1), now=5.0)
    endpoint.connect(client_address(2), now=3.0)
    assert endpoint.next_timeout() == 4.0
    endpoint.datagrams_to_send(now=5.0)
    endpoint.handle_timeout(now=4.5)
    ((address, packet),) = endpoint.datagrams_to_send(now=4.5)
    assert address == client_address(2)
    assert Packet("", packet).names == "INIT"


# -- strangers ---------------------------------------------------------------------------------------


def test_answers_to_strangers_are_stateless() -> None:
    """§5.1 B: INIT after INIT, and not one table grows."""
    network = Network()
    before = tables(network.server)
    for i in range(500):
        init = raw_packet(c.Init(i + 1, 10_000, 1, 1, 1), tag=0)
        network.server.receive_datagrams([(client_address(i), init)], now=0.0)
        ((address, answer),) = network.server.datagrams_to_send(now=0.0)
        assert address == client_address(i)
        assert Packet("", answer).names == "INIT ACK"
    assert tables(network.server) == before


@pytest.mark.parametrize(
    "chunks, tag, answer",
    [
        ([c.Data(1, 0, 0, 0, b"x")], 7, c.Abort(tag_reflected=True)),
        ([c.ShutdownAck()], 7, c.ShutdownComplete(tag_reflected=True)),
        ([c.Abort()], 7, None),
        ([c.CookieEcho(b"x")], 7, None),
        ([c.Init(5, 10_000, 1, 1, 1)], 7, None),
        ([c.Init(0, 10_000, 1, 1, 1)], 0, None),
        ([c.Init(5, 10_000, 1, 1, 1), c.Pad()], 0, None),
        ([c.Data(1, 0, 0, 0, b"x")], 0, None),
        ([c.ShutdownAck()], 0, None),
        ([], 7, None),
    ],
    ids=str,
)
def test_packets_out_of_the_blue(
    chunks: list[c.EncodableChunk], tag: int, answer: c.Chunk | None
) -> None:
    """§8.4, §8.5.1 A."""
    endpoint = Endpoint(Config(), rng=Random(1))
    endpoint.receive_datagrams([(client_address(1), raw_packet(*chunks, tag=tag))], now=0.0)
    answers = endpoint.datagrams_to_send(now=0.0)
    assert [Packet("", packet).chunks for _, packet in answers] == ([[answer]] if answer else [])
    assert all(Packet("", packet).tag == tag for _, packet in answers)
    assert endpoint.associations == ()


@pytest.mark.parametrize(
    "packet, reason",
    [
        (b"", "malformed packet"),
        (b"123", "malformed packet"),
        (bytes(12), "bad checksum"),
        (encode_packet(5000, 4999, 7, [c.ShutdownAck().encode()]), "wrong port"),
    ],
)
def test_packets_that_are_dropped(packet: bytes, reason: str) -> None:
    endpoint = Endpoint(Config(), rng=Random(1))
    endpoint.receive_datagrams([(client_address(1), packet)], now=0.0)
    assert endpoint.datagrams_to_send(now=0.0) == []
    assert endpoint.statistics().dropped == {reason: 1}


def test_answers_that_wait_are_bounded() -> None:
    """A flood between two rounds of sending is not remembered in full."""
    endpoint = Endpoint(Config(), rng=Random(1))
    flood = [(client_address(i), raw_packet(c.ShutdownAck(), tag=7)) for i in range(3000)]
    endpoint.receive_datagrams(flood, now=0.0)
    assert len(endpoint.datagrams_to_send(now=0.0)) <= 256
    endpoint.receive_datagrams(flood[:1], now=0.0)
    assert len(endpoint.datagrams_to_send(now=0.0)) == 1


def test_stale_cookie_of_a_stranger() -> None:
    """§5.1.5 step 4: an ERROR, and no association."""
    network = Network(Config(valid_cookie_life=5.0))
    client = network.call(client_address(1))
    network.server.receive_datagrams(
        [(client_address(1), p) for p in client.packets_to_send(now=0.0)], now=0.0
    )
    client.receive_packets([p for _, p in network.server.datagrams_to_send(now=0.0)], now=0.0)
    echo = client.packets_to_send(now=0.0)
    network.server.receive_datagrams([(client_address(1), p) for p in echo], now=6.0)
    assert network.server.next_accepted() is None
    ((_, error),) = network.server.datagrams_to_send(now=6.0)
    assert Packet("", error).names == "ERROR"
    assert network.server.associations == ()


def test_a_cookie_echo_that_comes_twice_in_a_batch() -> None:
    network = Network()
    client = network.call(client_address(1))
    network.server.receive_datagrams(
        [(client_address(1), p) for p in client.packets_to_send(now=0.0)], now=0.0
    )
    client.receive_packets([p for _, p in network.server.datagrams_to_send(now=0.0)], now=0.0)
    echo = client.packets_to_send(now=0.0)
    network.server.receive_datagrams([(client_address(1), p) for p in echo * 3], now=0.0)
    network.run()
    assert len(network.accepted) == 1
    assert events(network.accepted[0]) == [AssociationUp(65535, 65535)]
    assert client.state is State.ESTABLISHED


# -- limits ------------------------------------------------------------------------------------------


def test_limit_of_associations() -> None:
    """§5.1, §12.2.4.3: beyond it a call is refused with Out of Resource, until somebody leaves."""
    network = Network(max_associations=2)
    clients = [network.call(client_address(i)) for i in range(3)]
    network.run()
    assert [client.state for client in clients[:2]] == [State.ESTABLISHED] * 2
    assert events(clients[2]) == [AssociationClosed(CloseReason.REFUSED, (OutOfResource(),))]
    late = network.call(client_address(8))
    network.run()
    assert events(late) == [AssociationClosed(CloseReason.REFUSED, (OutOfResource(),))]
    assert network.server.statistics().dropped == {"too many associations": 2}
    clients[0].shutdown(now=0.0)
    network.run()
    again = network.call(client_address(7))
    network.run()
    assert again.state is State.ESTABLISHED


def test_limit_reached_between_init_and_cookie_echo() -> None:
    network = Network(max_associations=1)
    first, second = (network.call(client_address(i)) for i in range(2))
    network.run()  # both have INIT ACKs before either COOKIE ECHO comes
    closed = events(second)
    assert first.state is State.ESTABLISHED
    assert closed == [AssociationClosed(CloseReason.REFUSED, (OutOfResource(),))]
    assert len(network.server.associations) == 1


def test_limit_must_make_sense() -> None:
    with pytest.raises(LocalProtocolError, match="max_associations is 0: it must be 1 or more"):
        Endpoint(Config(), rng=Random(1), max_associations=0)


# -- leaving -----------------------------------------------------------------------------------------


def test_nothing_is_left_of_peers_that_left() -> None:
    """Gracefully, by abort, or silently: all tables are empty again."""
    network = Network(Config(association_max_retrans=0, hb_interval=1.0))
    empty = tables(network.server)
    clients = [
        network.call(client_address(i), config=Config(hb_interval=math.inf)) for i in range(90)
    ]
    network.run()
    assert len(network.server.associations) == 90
    for client in clients[:30]:
        client.shutdown(now=0.0)
    for client in clients[30:60]:
        client.abort(now=0.0)
    network.run()
    assert len(network.server.associations) == 30
    network.clients.clear()
    while network.server.next_timeout() < math.inf:
        network.now = max(network.now, network.server.next_timeout())
        network.server.handle_timeout(now=network.now)
        network.run()
    assert tables(network.server) == empty


def test_last_packets_of_an_association_are_still_pulled() -> None:
    """ABORT and SHUTDOWN COMPLETE go out although the association is over by then."""
    network = Network()
    client = network.call(client_address(1))
    network.run()
    (server_side,) = network.accepted
    server_side.abort(b"enough", now=0.0)
    ((address, abort),) = network.server.datagrams_to_send(now=0.0)
    assert address == client_address(1)
    assert Packet("", abort).names == "ABORT"
    assert network.server.associations == ()
    client.receive_packets([abort], now=0.0)
    assert client.ended
    assert network.server.datagrams_to_send(now=0.0) == []


def test_nothing_overtakes_the_abort_of_an_association() -> None:
    # A -> DATA -> Z comes while Z's ABORT waits to be pulled: no ABORT without its cause goes ahead
    network = Network()
    client = network.call(client_address(1))
    network.run()
    server = network.accepted[0]
    client.send(0, b"x", now=0.0)
    server.abort(b"enough", now=0.0)
    late = [(client_address(1), packet) for packet in client.packets_to_send(now=0.0)]
    network.server.receive_datagrams(late, now=0.0)
    ((_, packet),) = network.server.datagrams_to_send(now=0.0)
    assert decode_chunks(packet) == [c.Abort((UserInitiatedAbort(b"enough"),))]


def test_shutdown_complete_lost_after_the_association_is_forgotten() -> None:
    """§8.4 rule 5."""
    network = Network()
    client = network.call(client_address(1))
    network.run()
    (server_side,) = network.accepted
    server_side.shutdown(now=0.0)
    client.receive_packets([p for _, p in network.server.datagrams_to_send(now=0.0)], now=0.0)
    (ack,) = client.packets_to_send(now=0.0)
    network.server.receive_datagrams([(client_address(1), ack)], now=0.0)
    assert [Packet("", p).names for _, p in network.server.datagrams_to_send(now=0.0)] == [
        "SHUTDOWN COMPLETE"
    ]
    assert network.server.associations == ()
    network.now = client.next_timeout()
    client.handle_timeout(now=network.now)
    network.run()
    assert events(client)[-1] == AssociationClosed(CloseReason.SHUTDOWN)


def test_packets_of_an_old_association_do_not_reach_a_new_one() -> None:
    """§5.3.1: a new tag each time."""
    network = Network()
    old = network.call(client_address(1), seed="old")
    network.run()
    old.send(0, b"late", now=0.0)
    late = old.packets_to_send(now=0.0)
    network.accepted[0].abort(now=0.0)
    network.server.datagrams_to_send(now=0.0)
    new = network.call(client_address(1), seed="new")
    network.run()
    network.server.receive_datagrams([(client_address(1), p) for p in late], now=0.0)
    network.run()
    assert new.state is State.ESTABLISHED
    assert payloads(network.accepted[1]) == []


def test_restart_of_a_peer() -> None:
    """§5.2.2, §5.2.4 A: same address, same port; it is told on the association that exists."""
    network = Network()
    network.call(client_address(1), seed="old")
    network.run()
    (server_side,) = network.accepted
    events(server_side)
    new = network.call(client_address(1), seed="new")
    network.run()
    assert new.state is State.ESTABLISHED
    assert len(network.accepted) == 1
    assert events(server_side) == [AssociationRestarted(0), AssociationUp(65535, 65535)]
    new.send(0, b"hello again", now=0.0)
    network.run()
    assert payloads(server_side) == [b"hello again"]


# -- RFC 6951 §5.4 -----------------------------------------------------------------------------------


def move(network: Network, old: Address, new: Address) -> Association:
    """The NAT in front of a client gives it another UDP port."""
    client = network.clients.pop(old)
    network.clients[new] = client
    return client


def test_moved_udp_port() -> None:
    """RFC 6951 §5.4: where the tag is right the new port is used from then on."""
    network = Network()
    network.call(client_address(1))
    network.run()
    (server_side,) = network.accepted
    new = (client_address(1)[0], 4242)
    client = move(network, client_address(1), new)
    client.send(0, b"from the new port", now=0.0)
    network.run()
    assert payloads(server_side) == [b"from the new port"]
    assert network.server.address_of(server_side) == new
    server_side.send(0, b"to the new port", now=0.0)
    network.run()
    assert payloads(client) == [b"to the new port"]
    assert len(network.server.associations) == 1


def test_moved_twice_and_back_leaves_no_traces() -> None:
    network = Network()
    network.call(client_address(1))
    network.run()
    before = tables(network.server)
    host = client_address(1)[0]
    places: list[Address] = [client_address(1), (host, 1), (host, 2), client_address(1)]
    for old, new in pairwise(places):
        move(network, old, new).send(0, b"x", now=0.0)
        network.run()
    assert tables(network.server) == before


@pytest.mark.parametrize("wrong", ["tag", "host", "port", "checksum"])
def test_nobody_else_can_move_it(wrong: str) -> None:
    """RFC 6951 §5.4: the tag is checked before; and only the UDP port may be another."""
    network = Network()
    network.call(client_address(1))
    network.run()
    (server_side,) = network.accepted
    tag = server_side.local_tag ^ (wrong == "tag")
    host = "203.0.113.9" if wrong == "host" else client_address(1)[0]
    packet = raw_packet(c.Pad(), tag=tag, port=5001 if wrong == "port" else 5000)
    if wrong == "checksum":
        packet = packet[:8] + bytes(4) + packet[12:]
    network.server.receive_datagrams([((host, 4242), packet)], now=0.0)
    assert network.server.address_of(server_side) == client_address(1)
    assert server_side.state is State.ESTABLISHED


def test_two_peers_exchange_their_udp_ports() -> None:
    """A NAT that gives one peer the port that another had: the tags tell them apart."""
    network = Network()
    host = client_address(1)[0]
    one, two = (host, 1001), (host, 1002)
    clients = [network.call(one, seed=1), network.call(two, seed=2)]
    network.run()
    sides = {network.server.address_of(side): side for side in network.accepted}
    first, second = sides[one], sides[two]
    network.clients = {two: clients[0], one: clients[1]}
    for client in clients:
        client.send(0, str(clients.index(client)).encode(), now=0.0)
    network.run()
    assert payloads(first) == [b"0"]
    assert payloads(second) == [b"1"]
    assert network.server.address_of(first) == two
    assert network.server.address_of(second) == one
    first.send(0, b"back", now=0.0)
    network.run()
    assert payloads(clients[0]) == [b"back"]
    for side in (first, second):
        side.abort(now=0.0)
    network.server.datagrams_to_send(now=0.0)
    assert network.server.associations == ()
    assert set(tables(network.server).values()) == {0}


def test_an_association_that_has_ended_is_not_moved() -> None:
    """Its tag may still be in a table when packets come before the last ones were pulled."""
    network = Network()
    client = network.call(client_address(1))
    network.run()
    (server_side,) = network.accepted
    client.send(0, b"x", now=0.0)
    late = client.packets_to_send(now=0.0)
    server_side.abort(now=0.0)
    new = (client_address(1)[0], 4242)
    network.server.receive_datagrams([(new, p) for p in late], now=0.0)
    answers = dict(network.server.datagrams_to_send(now=0.0))
    assert Packet("", answers[client_address(1)]).chunk(c.Abort).tag_reflected is False
    assert Packet("", answers[new]).chunk(c.Abort).tag_reflected is True


def test_an_association_that_has_ended_gets_no_more_packets() -> None:
    """Even while its last packets wait: its peer is a stranger, and may call anew."""
    network = Network()
    old = network.call(client_address(1), seed="old")
    network.run()
    old.send(0, b"x", now=0.0)
    late = [(client_address(1), p) for p in old.packets_to_send(now=0.0)]
    network.accepted[0].abort(now=0.0)
    network.server.receive_datagrams(late, now=0.0)
    assert events(network.accepted[0]) == [
        AssociationUp(65535, 65535),
        AssociationClosed(CloseReason.LOCAL_ABORT, (UserInitiatedAbort(b""),)),
    ]
    new = network.call(client_address(1), seed="new")
    network.run()
    assert new.state is State.ESTABLISHED
    assert network.server.associations == (network.accepted[1],)


# -- statistics --------------------------------------------------------------------------------------


def test_statistics_of_an_endpoint() -> None:
    network = Network()
    network.call(client_address(1))
    network.run()
    stranger = raw_packet(c.ShutdownAck(), tag=7)
    network.server.receive_datagrams([(client_address(2), stranger)], now=0.0)
    network.server.datagrams_to_send(now=0.0)
    statistics = network.server.statistics()
    assert statistics.associations == 1
    assert statistics.packets_received == 3
    assert statistics.out_of_the_blue == 1
    assert statistics.dropped == {}

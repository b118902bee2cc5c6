"""The two kinds of ICE agent behind one interface, for peers that share sockets.

A path is one of our socket addresses and one of the peer's.  The full agent knows paths; the lite one
knows only where the peer is, so it is remembered here on which of our addresses it was heard.
"""

from __future__ import annotations

import math
from random import Random
from typing import Protocol, TypeAlias

from ._webrtc.ice import IceAgent
from ._webrtc.ice_candidate import Candidate, IceCredentials
from ._webrtc.ice_common import (
    IceConfig,
    IceDatagram,
    IceEvent,
    IceFailed,
    IceFailureReason,
    PairSelected,
)
from ._webrtc.ice_lite import IceLiteAgent
from ._webrtc.sdp_remote import RemoteDescription
from ._webrtc.stun import Address

__all__ = ["FullIce", "Ice", "LiteIce", "Path"]

Path: TypeAlias = tuple[Address, Address]


class Ice(Protocol):
    """What a peer needs of its agent; the words are those of `IceAgent`."""

    lite: bool

    @property
    def credentials(self) -> IceCredentials: ...
    @property
    def ufrags(self) -> list[str]: ...
    @property
    def local_candidates(self) -> list[Candidate]: ...
    @property
    def gathering_complete(self) -> bool: ...
    @property
    def send_path(self) -> Path | None: ...
    def is_verified(self, path: Path) -> bool: ...
    def set_remote(self, remote: RemoteDescription, now: float) -> None: ...
    def add_remote_candidate(self, candidate: Candidate, now: float) -> None: ...
    def restart(self, credentials: IceCredentials, now: float) -> None: ...
    def receive(self, datagram: bytes, path: Path, now: float) -> bool: ...
    def handle_timeout(self, now: float) -> None: ...
    def next_timeout(self) -> float: ...
    def next_event(self) -> IceEvent | None: ...
    def datagrams_to_send(self) -> list[IceDatagram]: ...


class FullIce:
    """The full agent, which has all of our addresses as hosts."""

    lite = False

    def __init__(
        self,
        hosts: list[Address],
        stun_servers: list[Address],
        *,
        controlling: bool,
        rng: Random,
        now: float,
        config: IceConfig,
    ) -> None:
        credentials = IceCredentials.generate(rng)
        agent = self._agent = IceAgent(
            credentials, controlling=controlling, rng=rng, now=now, config=config
        )
        for host in hosts:
            agent.add_host(host, now=now)
        for server in stun_servers:
            agent.add_stun_server(server, now=now)
        agent.end_of_hosts(now=now)

    @property
    def credentials(self) -> IceCredentials:
        return self._agent.credentials

    @property
    def ufrags(self) -> list[str]:
        return self._agent.ufrags

    @property
    def local_candidates(self) -> list[Candidate]:
        return self._agent.local_candidates

    @property
    def gathering_complete(self) -> bool:
        return self._agent.gathering_complete

    @property
    def send_path(self) -> Path | None:
        return self._agent.send_path

    def is_verified(self, path: Path) -> bool:
        return self._agent.is_verified(*path)

    def set_remote(self, remote: RemoteDescription, now: float) -> None:
        self._agent.set_remote(remote.credentials, lite=remote.ice_lite, now=now)
        for candidate in remote.candidates:
            self._agent.add_remote_candidate(candidate, now=now)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> None:
        self._agent.add_remote_candidate(candidate, now=now)

    def restart(self, credentials: IceCredentials, now: float) -> None:
        self._agent.restart(credentials, now=now)

    def receive(self, datagram: bytes, path: Path, now: float) -> bool:
        return self._agent.receive_datagram(datagram, local=path[0], remote=path[1], now=now)

    def handle_timeout(self, now: float) -> None:
        self._agent.handle_timeout(now=now)

    def next_timeout(self) -> float:
        return self._agent.next_timeout()

    def next_event(self) -> IceEvent | None:
        return self._agent.next_event()

    def datagrams_to_send(self) -> list[IceDatagram]:
        return self._agent.datagrams_to_send()


class LiteIce:
    """The lite agent, heard on any of our addresses.

    The time within which the peer must have been heard counts from when its description is known.
    """

    lite = True
    gathering_complete = True

    def __init__(self, hosts: list[Address], *, rng: Random, now: float, config: IceConfig) -> None:
        self._agent = IceLiteAgent(
            hosts[0],
            IceCredentials.generate(rng),
            now=now,
            connect_timeout=math.inf,
            consent_timeout=config.consent_timeout,
        )
        self._connect_timeout = config.connect_timeout
        self._connect_by = math.inf
        self._gave_up: IceFailed | None = None
        self._heard_on: dict[Address, Address] = {}  # the peer's address -> ours
        self._answers: list[IceDatagram] = []
        self.local_candidates = [
            Candidate.make("host", host, base=host, local_preference=65535 - index)
            for index, host in enumerate(hosts)
        ]

    @property
    def credentials(self) -> IceCredentials:
        return self._agent.credentials

    @property
    def ufrags(self) -> list[str]:
        return self._agent.ufrags

    @property
    def send_path(self) -> Path | None:
        remote = self._agent.send_address
        if remote is None or self._agent.failed:
            return None
        return self._heard_on[remote], remote

    def is_verified(self, path: Path) -> bool:
        return self._agent.is_verified(path[1])

    def set_remote(self, remote: RemoteDescription, now: float) -> None:
        if not self._heard_on:
            self._connect_by = now + self._connect_timeout

    def add_remote_candidate(self, candidate: Candidate, now: float) -> None:
        """A lite agent waits to be asked."""

    def restart(self, credentials: IceCredentials, now: float) -> None:
        self._agent.restart(credentials, now=now)

    def receive(self, datagram: bytes, path: Path, now: float) -> bool:
        local, remote = path
        authentic = self._agent.receive_datagram(datagram, remote, now=now)
        # Everything it says is an answer, and an answer comes from where it was asked.
        self._answers += [IceDatagram(d, local, to) for d, to in self._agent.datagrams_to_send()]
        if not authentic:
            return False
        self._connect_by = math.inf
        self._heard_on[remote] = local
        if len(self._heard_on) > 64:
            verified = self._agent.is_verified
            self._heard_on = {r: mine for r, mine in self._heard_on.items() if verified(r)}
        return True

    def handle_timeout(self, now: float) -> None:
        self._agent.handle_timeout(now=now)
        if now >= self._connect_by:
            self._connect_by = math.inf
            self._gave_up = IceFailed(IceFailureReason.NO_PAIR)

    def next_timeout(self) -> float:
        return min(self._agent.next_timeout(), self._connect_by)

    def next_event(self) -> IceEvent | None:
        event = self._agent.next_event()
        if isinstance(event, PairSelected):
            return PairSelected(self._heard_on.get(event.remote, event.local), event.remote)
        if event is None:
            event, self._gave_up = self._gave_up, None
        return event

    def datagrams_to_send(self) -> list[IceDatagram]:
        answers, self._answers = self._answers, []
        return answers

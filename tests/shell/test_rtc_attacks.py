"""WebRTC endpoints under attack, in virtual time: floods from anywhere, forgeries in the peers' names.

The attacker sees everything that passes and sends whatever it likes from whichever address it likes; it
cannot keep the peers' datagrams from arriving.  Nothing protects a handshake of DTLS 1.2 from a whole
message that comes in a peer's name before the genuine one; short of that, it has to get through.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio
from trio.testing import MockClock

from tests.support.certificates import CLIENT, SERVER, STRANGER
from tests.support.handlers import echo
from tests.support.memory_sockets import MemoryNetwork
from tests.support.rtc_pair import ask, enter, introduce
from trio_sctp import RtcEndpoint, open_rtc_endpoint
from trio_sctp._webrtc.certificate import PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.stun import Address, Attribute, MessageClass, encode_message
from trio_sctp.testing._emulated_link import LinkConditions

HERE, THERE = "192.0.2.1", "192.0.2.2"
INTERVAL = 0.005
"""Seconds between two of the attacker's rounds: ten times as often as the peers' round trip."""


def hello() -> bytes:
    dtls = DtlsAssociation(STRANGER, PeerPolicy.anyone(), client=True, now=0.0)
    dtls.start(now=0.0)
    return dtls.datagrams_to_send()[0]


class Attacker:
    """Sends what its ``weapons`` make of chance and of what was overheard."""

    def __init__(self, network: MemoryNetwork, targets: list[Address]) -> None:
        self.network = network
        self.targets = targets
        self.random = Random(7)
        self.sent: dict[Address, int] = {}
        self.received: dict[Address, int] = {}
        self.overheard: list[bytes] = []
        self.hello = hello()
        self.established = False
        """Whether the handshake is over."""
        network.watching = True

    def forged_check(self, ufrag: str = "nobody") -> bytes:
        attributes = [
            (Attribute.USERNAME, f"{ufrag}:x".encode()),
            (Attribute.PRIORITY, bytes(4)),
            (Attribute.ICE_CONTROLLING, bytes(8)),
            (Attribute.USE_CANDIDATE, b""),
        ]
        return encode_message(
            MessageClass.REQUEST, self.random.randbytes(12), attributes, key=bytes(24)
        )

    def replay(self) -> bytes:
        fresh, self.network.carried = self.network.carried, []
        for source, target, data in fresh:
            if target in self.sent:
                self.received[target] = self.received.get(target, 0) + len(data)
            elif source not in self.sent and len(self.overheard) < 1000:
                self.overheard.append(data)
        return self.random.choice(self.overheard or [b"nothing yet"])

    def damaged(self) -> bytes:
        changed = bytearray(self.replay())
        changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        return bytes(changed)

    def fragment(self) -> bytes:
        """Of a handshake message that may well be the next one."""
        kind, seq = self.random.choice((1, 2, 11, 12, 14, 15, 16, 20)), self.random.randrange(8)
        data = self.random.randbytes(self.random.randrange(60))
        length, offset = len(data) + self.random.randrange(500), self.random.randrange(300)
        body = bytes((kind,)) + length.to_bytes(3, "big") + seq.to_bytes(2, "big")
        body += offset.to_bytes(3, "big") + len(data).to_bytes(3, "big") + data
        number = self.random.randrange(1 << 20).to_bytes(8, "big")
        return b"\x16\xfe\xfd" + number + len(body).to_bytes(2, "big") + body

    def alert(self) -> bytes:
        number = self.random.randrange(1 << 20).to_bytes(8, "big")
        description = self.random.choice((0, 10, 40, 42, 80, 90))
        return b"\x15\xfe\xfd" + number + b"\0\2\2" + bytes((description,))

    def record(self) -> bytes:
        kind = self.random.choice((20, 21, 22, 23))
        number = (1 << 48 | self.random.randrange(1 << 12)).to_bytes(8, "big")
        body = self.random.randbytes(self.random.randrange(100))
        return bytes((kind,)) + b"\xfe\xfd" + number + len(body).to_bytes(2, "big") + body

    def junk(self) -> bytes:
        return self.random.randbytes(self.random.randrange(1, 100))

    @property
    def weapons(self) -> list[Callable[[], bytes]]:
        return [self.forged_check, self.replay, self.fragment, self.alert, self.record, self.junk]

    @property
    def all_weapons(self) -> list[Callable[[], bytes]]:
        return [*self.weapons, lambda: self.hello, self.damaged]

    async def run(self) -> None:
        while True:
            await trio.sleep(INTERVAL)
            for target in self.targets:
                stranger = (
                    f"203.0.113.{self.random.randrange(256)}",
                    self.random.randrange(1, 65536),
                )
                self._send(stranger, target)
                for spoofed in self.targets:
                    if spoofed != target:
                        weapons = self.all_weapons if self.established else self.weapons
                        self.network.carry(spoofed, target, self.random.choice(weapons)())

    def _send(self, source: Address, target: Address) -> None:
        datagram = self.random.choice(self.all_weapons)()
        self.sent[source] = self.sent.get(source, 0) + len(datagram)
        self.network.carry(source, target, datagram)

    def begin(self) -> None:
        """The peers are established: nobody else may get more than he sends."""
        self.replay()
        self.received.clear()
        self.established = True

    def check_amplification(self) -> None:
        self.replay()
        assert len(self.sent) > 100
        assert all(size <= self.sent[address] for address, size in self.received.items())


def bounded_state(endpoint: RtcEndpoint) -> bool:
    return (
        endpoint.statistics().peers <= 1
        and len(endpoint._routes.by_path) <= 64
        and len(endpoint._routes.by_ufrag) <= 2
        and len(endpoint._routes.by_transaction) <= 256
    )


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(5))
async def test_sessions_under_attack(
    lite: bool,
    loss: float,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    """The handshakes come to their end, messages pass, and the peers part in order."""
    network = MemoryNetwork(LinkConditions(delay=0.02, loss=loss, reorder=0.05), seed=seed)
    network.install(monkeypatch)
    with trio.fail_after(60):
        async with (
            open_rtc_endpoint(host=HERE, certificate=CLIENT) as caller,
            open_rtc_endpoint(host=THERE, certificate=SERVER, lite=lite) as called,
            trio.open_nursery() as nursery,
        ):
            targets = [*caller.local_addresses, *called.local_addresses]
            attacker = Attacker(network, targets)
            attacker.random = Random(seed)
            nursery.start_soon(attacker.run)
            offering, answering = await introduce(caller, called)
            ended: list[Exception] = []
            nursery.start_soon(enter, answering, echo, ended)
            async with offering as association:
                attacker.begin()
                for number in range(20):
                    await ask(association, f"{number} " * 1000)
                    assert association.peer_address == targets[1]
                    await trio.sleep(0.2)
            assert bounded_state(caller)
            assert bounded_state(called)
            if not loss:
                # A check that was lost and comes from elsewhere may be from a peer that has moved.
                attacker.check_amplification()
            nursery.cancel_scope.cancel()

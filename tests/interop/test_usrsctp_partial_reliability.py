"""Partial reliability with usrsctp (RFC 3758, RFC 7496): each end gives messages up, the other goes on.

Every policy, with DATA and with I-DATA, in either role, over a relay that loses packets.  A message has
its number as PPID, and its size and content follow from that: what arrives is seen to be whole, in order
and not twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import JsonPeer, free_udp_ports, run_c_peer
from tests.support.udp_relay import UdpRelay, open_relay
from tests.support.usrsctp_association import (
    BIG_BUFFERS,
    LOOPBACK,
    QUICK,
    ROLES,
    Role,
    assert_shut_down,
    connected,
    listening,
)
from trio_sctp import Association, Message, Outcome, Receipt
from trio_sctp._wire.chunks import ForwardTsn, IForwardTsn
from trio_sctp._wire.packet import decode_chunks

COUNT = 300
"""Messages that may be given up, unless that takes more."""
LAST = 100_002
"""The numbers of those that are reliable begin here, one for each stream."""
STREAMS = 3
LOSS = 0.1
HEAVY_LOSS = 0.4
CONFIG = QUICK.replace(path_mtu_discovery=False)  # many packets, of which some are lost
DELAY = 0.01
TTL, PRIORITY, RETRANSMISSIONS = 1, 2, 3
"""usrsctp's numbers of the policies."""
COMMANDS = ("--job", "commands", "--report", "--rto-min", 50, "--rto-max", 200, *BIG_BUFFERS)

pytestmark = [
    pytest.mark.parametrize("role", ROLES),
    pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"]),
]


def size_of(number: int) -> int:
    """Most fit into a packet, some take five."""
    return 5000 + number % 1000 if number % 7 == 3 else 100 + number % 300


def fits_into_a_packet(number: int) -> bool:
    return size_of(number) < 1000


def payload_of(number: int) -> bytes:
    return Random(number).randbytes(size_of(number))


class Ends:
    """We, the C peer, and the network between."""

    def __init__(
        self, association: Association, peer: JsonPeer, relay: UdpRelay, ours: int
    ) -> None:
        self.association, self.peer, self.relay = association, peer, relay
        self._ours = ours  # index of the direction in which we send

    def lose(self, loss: float) -> None:
        for link in self.relay.links:
            link.conditions.loss = loss

    def forward_tsns(self, *, by_us: bool) -> list[ForwardTsn | IForwardTsn]:
        """Those that one end has sent."""
        datagrams = self.relay.came[self._ours if by_us else 1 - self._ours]
        chunks = [chunk for datagram in datagrams for chunk in decode_chunks(datagram)]
        return [chunk for chunk in chunks if isinstance(chunk, ForwardTsn | IForwardTsn)]


@asynccontextmanager
async def ends(
    role: Role, interleaving: bool, program: Path, *more: str | int
) -> AsyncIterator[Ends]:
    here, there = free_udp_ports(2)
    options = [*COMMANDS, *(["--interleaving"] if interleaving else []), *more]
    with trio.fail_after(TIME_LIMIT):
        if role == "connect":
            async with (
                run_c_peer(program, "--udp", there, "--peer-udp", here, *options) as peer,
                open_relay(here, there, seed=7, delay=DELAY) as relay,
                connected(0, relay.port, config=CONFIG) as association,
            ):
                yield Ends(association, peer, relay, 0)
        else:
            (far_side,) = free_udp_ports(1)
            async with (
                listening(here, config=CONFIG) as associations,
                open_relay(far_side, here, seed=7, delay=DELAY) as relay,
            ):
                ports = ("--udp", there, "--peer-udp", relay.port, "--connect", LOOPBACK)
                async with run_c_peer(program, *ports, *options) as peer:
                    association = await associations.receive()
                    yield Ends(association, peer, relay, 1)
                    await association.aclose()


def check_kind(both: Ends, interleaving: bool, *, by_us: bool) -> None:
    assert both.association.capabilities.interleaving is interleaving
    forward_tsns = both.forward_tsns(by_us=by_us)
    assert forward_tsns
    kind = IForwardTsn if interleaving else ForwardTsn
    assert all(type(chunk) is kind for chunk in forward_tsns)


def check_order(numbers: dict[int, list[int]]) -> None:
    """By stream: in order, and none twice."""
    for of_stream in numbers.values():
        assert all(first < second for first, second in pairwise(of_stream))


# -- we give up


async def drain(both: Ends) -> dict[int, list[int]]:
    """What the peer has got from us, by stream, until it has shut down with us."""
    await both.association.aclose()
    assert (await both.peer.summary())["ending"] == "shutdown"
    told = [event for event in both.peer.events if event["event"] == "message"]
    arrived: dict[int, list[int]] = {stream: [] for stream in range(STREAMS)}
    for event in told:
        number = event["ppid"]
        assert (event["size"], event["head"]) == (size_of(number), payload_of(number)[:64].hex())
        assert event["stream"] == number % STREAMS
        arrived[event["stream"]].append(number)
    return arrived


async def send(both: Ends, number: int, **limits: Any) -> Receipt:
    receipt = Receipt()
    message = Message(number % STREAMS, number, payload_of(number))
    await both.association.messages.send(message, receipt=receipt, **limits)
    return receipt


@pytest.mark.parametrize(
    "limits, reason",
    [
        ({"max_retransmits": 0}, Outcome.ABANDONED_RETRANSMISSIONS),
        ({"max_retransmits": 1}, Outcome.ABANDONED_RETRANSMISSIONS),
        ({"lifetime": DELAY}, Outcome.ABANDONED_LIFETIME),
    ],
    ids=["no retransmission", "one retransmission", "lifetime"],
)
async def test_we_give_up(
    c_peer: Path, role: Role, interleaving: bool, limits: dict[str, Any], reason: Outcome
) -> None:
    async with ends(role, interleaving, c_peer) as both:
        both.lose(HEAVY_LOSS if limits == {"max_retransmits": 1} else LOSS)
        receipts: dict[int, Receipt] = {}
        # As a program does that goes on and on, until some of what was sent is given up.
        while len(receipts) < COUNT or both.association.statistics().messages_abandoned_sent < 5:
            receipts[len(receipts)] = await send(both, len(receipts), **limits)
            if len(receipts) % 10 == 0:
                await trio.sleep(0.005)
        both.lose(0.0)
        last = {LAST + stream: await send(both, LAST + stream) for stream in range(STREAMS)}
        outcomes = {n: await receipt.wait() for n, receipt in (receipts | last).items()}
        statistics = both.association.statistics()
        check_kind(both, interleaving, by_us=True)
        arrived = await drain(both)
    await assert_shut_down(both.association)
    check_order(arrived)
    everything = set().union(*arrived.values())
    delivered = {n for n, outcome in outcomes.items() if outcome is Outcome.DELIVERED}
    assert set(outcomes.values()) == {Outcome.DELIVERED, reason}
    assert delivered <= everything
    assert last.keys() <= delivered
    lost = len(outcomes) - len(everything)
    given_up = statistics.messages_abandoned_sent + statistics.messages_abandoned_unsent
    assert given_up == len(outcomes) - len(delivered) >= lost > 0


async def test_we_give_up_what_is_less_important(
    c_peer: Path, role: Role, interleaving: bool
) -> None:
    async with ends(role, interleaving, c_peer) as both:
        both.lose(1.0)
        messages = both.association.messages
        first = await send(both, 0)
        await trio.sleep(0.02)
        messages.set_water_marks(high=60_000)  # room for all that is important
        minor = [await send(both, n, discard_priority=100 - n) for n in range(1, 100)]
        assert messages.buffered_amount < 70_000
        major = [await send(both, n) for n in range(100, 150)]
        both.lose(LOSS)
        await messages.wait_delivered()
        arrived = await drain(both)
    await assert_shut_down(both.association)
    check_order(arrived)
    outcomes = [receipt.outcome for receipt in (first, *minor, *major)]
    assert set(outcomes) == {Outcome.DELIVERED, Outcome.ABANDONED_PRIORITY}
    assert set(outcomes[100:]) == {Outcome.DELIVERED}
    delivered = {n for n, outcome in enumerate(outcomes) if outcome is Outcome.DELIVERED}
    assert delivered == set().union(*arrived.values())
    assert both.association.statistics().messages_abandoned_unsent == 150 - len(delivered) > 0
    # nothing of them was ever sent, so the peer need not hear of it
    assert both.forward_tsns(by_us=True) == []


# -- the peer gives up


async def receive_until_end(both: Ends) -> dict[int, list[int]]:
    """What the peer has sent us, until the last message of each stream."""
    arrived: dict[int, list[int]] = {stream: [] for stream in range(STREAMS)}
    missing = STREAMS
    while missing:
        message = await both.association.messages.receive()
        number = message.ppid
        assert len(message.payload) == size_of(number)
        assert message.stream_id == number % STREAMS
        arrived[message.stream_id].append(number)
        missing -= number >= LAST
    return arrived


async def order(both: Ends, numbers: range, policy: int = 0, value: int = 0) -> None:
    """Let the peer send messages."""
    for n in numbers:
        await both.peer.command(f"send 1 {size_of(n)} {n % STREAMS} 1 {n} 0 {policy} {value}")


@pytest.mark.parametrize(
    "policy, value, loss",
    [(RETRANSMISSIONS, 0, LOSS), (RETRANSMISSIONS, 1, HEAVY_LOSS), (TTL, 10, LOSS)],
    ids=["no retransmission", "one retransmission", "lifetime"],
)
async def test_the_peer_gives_up(
    c_peer: Path, role: Role, interleaving: bool, policy: int, value: int, loss: float
) -> None:
    sent = STREAMS
    async with ends(role, interleaving, c_peer) as both:
        both.lose(loss)
        for number in filter(fits_into_a_packet, count()):
            # usrsctp sends nothing ever again once it has given up a message of which it has sent
            # only a part, and all of that is acknowledged or skipped
            await order(both, range(number, number + 1), policy, value)
            sent += 1
            if number % 10 == 0:
                await trio.sleep(0.005)  # not all of it while nothing can be sent
            if number > COUNT and both.forward_tsns(by_us=False):
                break
        await both.peer.expect("send failed")
        both.lose(0.0)
        await order(both, range(LAST, LAST + STREAMS))
        arrived = await receive_until_end(both)
        await both.association.aclose()
        assert (await both.peer.summary())["ending"] == "shutdown"
        check_kind(both, interleaving, by_us=False)
    await assert_shut_down(both.association)
    check_order(arrived)
    failed = [event for event in both.peer.events if event["event"] == "send failed"]
    came = sum(map(len, arrived.values()))
    assert sent - len(failed) <= came <= sent  # what it gives up may have arrived


async def test_the_peer_gives_up_what_is_less_important(
    c_peer: Path, role: Role, interleaving: bool
) -> None:
    # when its buffer is full, usrsctp takes back even what it has sent, and has to tell us
    large = range(3, 100, 7)  # none of which fits into a packet
    options = ("--sndbuf", 12_000, "--explicit-eor")
    async with ends(role, interleaving, c_peer, *options) as both:
        # before a first one is acknowledged, it takes none back
        await order(both, range(1), PRIORITY, 1000)
        await both.peer.expect("sender dry")
        both.lose(1.0)
        for number in large:
            await order(both, range(number, number + 1), PRIORITY, 200 - number)
        await both.peer.command("that is all")
        await both.peer.expect("unknown command")
        both.lose(0.0)
        await order(both, range(LAST, LAST + STREAMS))
        arrived = await receive_until_end(both)
        await both.association.aclose()
        assert (await both.peer.summary())["ending"] == "shutdown"
        check_kind(both, interleaving, by_us=False)
    await assert_shut_down(both.association)
    check_order(arrived)
    failed = [event for event in both.peer.events if event["event"] == "send failed"]
    came = sum(map(len, arrived.values()))
    assert (sent := 1 + len(large) + STREAMS) - len(failed) <= came < sent
    assert large[-1] in set().union(*arrived.values())

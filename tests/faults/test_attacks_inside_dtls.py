"""Attacks by a peer that is who it says: inside DTLS, and inside a whole WebRTC session.

Those of RFC 5062 that need no address of somebody else's, and what other stacks fell over.  Whatever
comes, the victim's program goes on, or its association ends with an error that has a type.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.support.association_pair import name_of
from tests.support.intruder import GROUNDS, Intruder, besieged
from tests.support.worst_packets import ETHERNET, WORST_PACKETS, worst_packet
from trio_sctp import AssociationAborted, AssociationLost, TransportFailed
from trio_sctp._core.events import AssociationRestarted
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.parameters import IPv4Address
from trio_sctp._wire.tlv import encode_chunk

Grounds = pytest.mark.parametrize("ground", GROUNDS)
SIZE = ETHERNET - 100


def names(answers: list[list[c.Chunk]]) -> list[str]:
    return [", ".join(map(name_of, chunks)) for chunks in answers]


async def still_there(intruder: Intruder) -> bool:
    """Whether the victim answers; if not, it has ended properly."""
    answers = await intruder.attack([intruder.packet(c.Heartbeat(b"are you there?"))])
    if any("HEARTBEAT ACK" in name for name in names(answers)):
        assert intruder.core.state is State.ESTABLISHED
        return True
    with trio.fail_after(10):
        while intruder.error is None:
            await trio.sleep(0.1)
    assert isinstance(
        intruder.error, AssociationAborted | AssociationLost | TransportFailed | trio.EndOfChannel
    )
    return False


@Grounds
async def test_the_most_expensive_packets(ground: str, autojump_clock: MockClock) -> None:
    """Most of them change nothing; the next session begins where one has ended."""
    packets, sessions = list(WORST_PACKETS), 0
    while packets:
        sessions += 1
        async with besieged(ground) as intruder:
            await intruder.establish()
            while packets:
                await intruder.attack([worst_packet(packets.pop(), intruder.core, SIZE)] * 3)
                if not await still_there(intruder):
                    break
    assert 1 < sessions < len(WORST_PACKETS) / 3


CUT = [
    encode_chunk(kind, 0, bytes(size))
    for kind in (0, 1, 2, 3, 4, 6, 7, 9, 10, 64, 130, 192, 194)
    for size in range(0, 20, 3)
]
WITHOUT_LENGTH = [bytes((kind, 0, 0, 0)) * 4 for kind in range(0, 256, 2)]


@Grounds
async def test_chunks_that_are_cut_or_have_no_length(
    ground: str, autojump_clock: MockClock
) -> None:
    chunks = [*CUT, *WITHOUT_LENGTH]
    sessions = 0
    while chunks:
        sessions += 1
        async with besieged(ground) as intruder:
            await intruder.establish()
            while chunks and intruder.error is None:
                await intruder.attack([intruder.packet(chunks.pop())], seconds=0.1)
            await still_there(intruder)
    assert sessions < len(CUT) / 2


@Grounds
async def test_section_3_and_4_addresses_cannot_be_added_and_a_restart_is_told(
    ground: str, autojump_clock: MockClock
) -> None:
    async with besieged(ground) as intruder:
        await intruder.establish()
        asconf = encode_chunk(0xC1, 0, bytes(4) + IPv4Address("203.0.113.66").encode())
        assert names(await intruder.attack([intruder.packet(asconf)])) == ["ERROR"]
        intruder.honest = type(intruder.honest)(intruder.honest.config, rng=intruder.honest.rng)
        intruder.honest.connect(now=trio.current_time())
        await intruder.go_on(1.0)
        assert intruder.honest.state is State.ESTABLISHED
        assert intruder.victim is not None
        event = intruder.victim.events.receive_nowait()
        while not isinstance(event, AssociationRestarted):
            event = intruder.victim.events.receive_nowait()
        assert await still_there(intruder)


@Grounds
async def test_section_5_acknowledging_what_was_never_sent_ends_it(
    ground: str, autojump_clock: MockClock
) -> None:
    async with besieged(ground) as intruder:
        await intruder.establish()
        tcb = intruder.core.tcb
        assert tcb is not None
        guess = (tcb.retransmission_queue.next_tsn + 1000) % 2**32
        answers = await intruder.attack([intruder.packet(c.Sack(guess, 100_000))])
        assert names(answers) == ["ABORT"]
        assert not await still_there(intruder)


@Grounds
async def test_sections_6_and_8_one_packet_is_answered_by_one_at_most(
    ground: str, autojump_clock: MockClock
) -> None:
    """Cookies that were echoed before, INITs, and chunks that want answers by the dozen."""
    async with besieged(ground) as intruder:
        await intruder.establish()
        handshake = list(intruder.sent)
        assert handshake
        for packet in handshake:
            assert len(await intruder.attack([packet])) <= 1
        for chunk in (c.Heartbeat(b"x"), c.UnknownChunk(0xFF, 0, b""), c.CookieEcho(bytes(118))):
            packet = intruder.packet(chunk.encode() * (1000 // len(chunk.encode())))
            answers = await intruder.attack([packet])
            assert len(answers) <= 1
        assert await still_there(intruder)


@Grounds
@pytest.mark.parametrize("when", ["before", "after"])
async def test_packets_in_the_clear_mean_nothing(
    ground: str, when: str, autojump_clock: MockClock
) -> None:
    """From the peer's own address, with the right tags: whoever can forge that reaches nobody."""
    async with besieged(ground) as intruder:
        if when == "after":
            await intruder.establish()
            core = intruder.core
        chunks: list[c.EncodableChunk] = [c.Init(5, 100_000, 10, 10, 1), c.Abort(()), c.CookieAck()]
        for chunk in chunks:
            tag = 0 if isinstance(chunk, c.Init) else None
            if when == "after":
                intruder.in_the_clear(intruder.packet(chunk, tag=tag))
            else:
                intruder.in_the_clear(bytes(12) + chunk.encode())
        await trio.sleep(1.0)
        if when == "before":
            await intruder.establish()
            core = intruder.core
        assert core.state is State.ESTABLISHED
        assert core.statistics().packets_received <= len(intruder.sent), "SCTP has seen others"
        assert await still_there(intruder)

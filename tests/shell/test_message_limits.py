"""Limits for a single message: what `send` takes beside it, on data channels and for plain messages."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.sending_ends import PROMPT, ends
from trio_sctp import LocalProtocolError, Message, Outcome, Receipt
from trio_sctp.testing import memory_link, open_association_pair


@pytest.fixture(params=[False, True], ids=["channel", "messages"])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# -- what may be said


@pytest.mark.parametrize(
    "keywords, text",
    [
        ({"max_retransmits": -1}, "max_retransmits is -1"),
        ({"max_retransmits": 1.5}, "max_retransmits is 1.5"),
        ({"lifetime": -1}, "lifetime is -1"),
        ({"discard_priority": -1}, "discard_priority is -1"),
    ],
)
async def test_values_are_checked(
    plain: bool, keywords: dict[str, Any], text: str, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        with pytest.raises(LocalProtocolError, match=text):
            await both.send(b"x", **keywords)
        with pytest.raises(LocalProtocolError, match=text):
            both.send_nowait(b"x", **keywords)
        assert both.channel.buffered_amount == 0


async def test_misspelt_keyword_is_no_silent_loss_of_a_limit(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        with pytest.raises(TypeError, match="'max_retransmit'"):
            await both.send(b"x", max_retransmit=0)


async def test_nothing_makes_room_for_a_message_that_is_refused(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(bytes(50_000))
        receipt = Receipt()
        await both.send(b"x", discard_priority=1, receipt=receipt)
        both.channel.set_water_marks(high=both.channel.buffered_amount)
        with pytest.raises(LocalProtocolError):
            both.send_nowait(b"y", lifetime=-1)
        assert receipt.outcome is None
        both.mend()
        assert await receipt.wait() is Outcome.DELIVERED


# -- instead of the channel's


async def test_limit_of_a_message_on_a_reliable_channel(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(b"once", max_retransmits=0)
        await both.send(b"brief", lifetime=0.1)
        await both.send(b"reliable")
        await trio.sleep(3)
        both.mend()
        assert await both.receive() == b"reliable"


async def test_reliable_message_on_a_channel_with_limits(autojump_clock: MockClock) -> None:
    link = memory_link(delay=0.01)
    async with open_association_pair(link=link, config=PROMPT) as (client, server):
        near = client.open_channel(max_retransmits=0)
        far = await server.listen().accept()
        await trio.sleep(1)
        link[0].outgoing.conditions.loss = 1.0
        await near.send("once")
        await near.send("reliable", lifetime=None)
        await near.send("twice", max_retransmits=1, lifetime=None)
        await trio.sleep(0.01)  # shorter than the silence after which a probe goes out
        link[0].outgoing.conditions.loss = 0.0
        assert await far.receive() == "reliable"
        assert await far.receive() == "twice"


async def test_order_of_a_single_message(autojump_clock: MockClock) -> None:
    link = memory_link(delay=0.01)
    async with open_association_pair(link=link, config=PROMPT) as (client, server):
        near = client.open_channel()
        far = await server.listen().accept()
        await trio.sleep(1)
        link[0].outgoing.conditions.loss = 1.0
        await near.send("lost at first")
        await trio.sleep(0.1)
        link[0].outgoing.conditions.loss = 0.0
        await near.send("waits for its turn")
        await near.send("urgent", ordered=False)
        assert [await far.receive() for _ in "123"] == [
            "urgent",
            "lost at first",
            "waits for its turn",
        ]


async def test_order_of_a_single_plain_message(autojump_clock: MockClock) -> None:
    async with ends(plain=True) as both:
        send = both.client.messages.send
        await send(Message(0, 0, b"1"), ordered=False)
        await send(Message(0, 0, b"2", unordered=True))
        await send(Message(0, 0, b"3", unordered=True), ordered=True)
        await send(Message(0, 0, b"4"))
        messages = [await both.server.messages.receive() for _ in "1234"]
        assert [(m.payload, m.unordered) for m in messages] == [
            (b"1", True),
            (b"2", True),
            (b"3", False),
            (b"4", False),
        ]


# -- lifetimes are counted from the call of `send`


async def test_time_spent_waiting_for_room_counts(plain: bool, autojump_clock: MockClock) -> None:
    """Field notes §2: lifetime counted from first transmission instead of from `send`."""
    async with ends(plain) as both:
        await both.fill()
        late, in_time = Receipt(), Receipt()
        async with trio.open_nursery() as nursery:

            async def send(receipt: Receipt, lifetime: float) -> None:
                await both.send(b"x", receipt=receipt, lifetime=lifetime)

            nursery.start_soon(send, late, 1.0)
            await wait_all_tasks_blocked()
            nursery.start_soon(send, in_time, 20.0)
            await trio.sleep(1.5)
            both.mend()
        assert await late.wait() is Outcome.ABANDONED_LIFETIME
        assert await in_time.wait() is Outcome.DELIVERED
        assert [len(await both.receive()) for _ in "12"] == [50_000, 1]


async def test_lifetime_of_a_channel_counts_likewise(autojump_clock: MockClock) -> None:
    link = memory_link(delay=0.01)
    async with open_association_pair(link=link, config=PROMPT) as (client, server):
        near = client.open_channel(lifetime=1.0)
        far = await server.listen().accept()
        await trio.sleep(1)
        link[0].outgoing.conditions.loss = 1.0
        near.set_water_marks(high=10_000)
        await near.send(bytes(50_000), lifetime=None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send, "late")
            await trio.sleep(1.5)
            link[0].outgoing.conditions.loss = 0.0
        await near.send("in time")
        assert await far.receive() == bytes(50_000)
        assert await far.receive() == "in time"


async def test_messages_that_expire_let_others_be_sent(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        await both.fill(lifetime=1.0)
        began = trio.current_time()
        await both.send(b"next")  # waits for room, which the end of the first one makes
        assert 0.9 < trio.current_time() - began < 1.1
        both.mend()
        assert await both.receive() == b"next"


# -- priorities (RFC 7496 §3.2)


async def test_important_message_does_not_wait_for_less_important_ones(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(bytes(50_000))
        both.channel.set_water_marks(high=both.channel.buffered_amount + 2_000)
        for number in range(100):  # the newest news is the best
            await both.send(b"%3d" % number + bytes(997), discard_priority=100 - number)
        assert both.channel.buffered_amount < 50_000 + 2_000
        both.mend()
        assert len(await both.receive()) == 50_000
        assert [(await both.receive())[:3] for _ in "12"] == [b" 98", b" 99"]


async def test_what_waits_already_is_not_overtaken(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(bytes(50_000))
        await both.send(b"least", discard_priority=9)
        both.channel.set_water_marks(high=both.channel.buffered_amount)
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await both.send(b"first", discard_priority=9)

            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.WouldBlock):
                both.send_nowait(b"second")
            both.mend()
        both.send_nowait(b"second")
        received = [await both.receive() for _ in "1234"][1:]
        assert received == [b"least", b"first", b"second"]

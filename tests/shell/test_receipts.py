"""What becomes of a message: the receipt that `send` takes, on data channels and for plain messages."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from tests.support.sending_ends import PROMPT, ends
from trio_sctp import (
    AssociationAborted,
    AssociationLost,
    LocalProtocolError,
    Message,
    MessageChannel,
    Outcome,
    Receipt,
    TransportFailed,
    open_association,
)
from trio_sctp.testing import LinkEnd, memory_link

MAYBE_LOST = PROMPT.replace(association_max_retrans=3, rto_max=1.0, hb_interval=1.0)


@pytest.fixture(params=[False, True], ids=["channel", "messages"])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# -- delivered


async def test_message_is_delivered_when_the_peer_has_acknowledged_it(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        receipt = Receipt()
        assert repr(receipt) == "<Receipt: not used>"
        began = trio.current_time()
        await both.send(b"x", receipt=receipt)
        assert repr(receipt) == "<Receipt: under way>"
        outcome = await receipt.wait()
        assert outcome is receipt.outcome
        assert outcome is Outcome.DELIVERED
        assert trio.current_time() - began == pytest.approx(0.02, abs=0.001)
        assert receipt.delivered
        assert repr(receipt) == "<Receipt: delivered>"
        with assert_checkpoints():
            assert await receipt.wait() is Outcome.DELIVERED


async def test_reader_does_not_matter(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        receipt = Receipt()
        await both.send(b"unread", receipt=receipt)
        assert await receipt.wait() is Outcome.DELIVERED
        assert await both.receive() == b"unread"


async def test_any_number_of_tasks_wait_and_may_stop_waiting(
    plain: bool, autojump_clock: MockClock
) -> None:
    told: list[Outcome] = []

    async def wait(receipt: Receipt) -> None:
        told.append(await receipt.wait())

    async with ends(plain) as both, trio.open_nursery() as nursery:
        receipt = Receipt()
        nursery.start_soon(wait, receipt)  # even before the message exists
        await wait_all_tasks_blocked()
        await both.send(bytes(100_000), receipt=receipt)
        nursery.start_soon(wait, receipt)
        with trio.move_on_after(0.015) as scope:
            await receipt.wait()
        assert scope.cancelled_caught
        assert told == []
        assert await receipt.wait() is Outcome.DELIVERED
        await wait_all_tasks_blocked()
        assert told == [Outcome.DELIVERED] * 2


async def test_each_of_many_messages_has_its_own(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        receipts = [Receipt() for _ in range(50)]
        for receipt in receipts:
            await both.send(b"x", receipt=receipt)
        for receipt in receipts:
            assert await receipt.wait() is Outcome.DELIVERED


# -- given up


async def test_message_that_was_lost_and_is_not_repeated(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        lost, next_one = Receipt(), Receipt()
        both.cut()
        await both.send(b"lost", receipt=lost, max_retransmits=0)
        await trio.sleep(0.1)
        both.mend()
        await both.send(b"next", receipt=next_one)
        assert await lost.wait() is Outcome.ABANDONED_RETRANSMISSIONS
        assert not lost.delivered
        assert repr(lost) == "<Receipt: it was sent as often as allowed>"
        assert await next_one.wait() is Outcome.DELIVERED
        assert await both.receive() == b"next"


async def test_message_whose_lifetime_ends(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        receipt = Receipt()
        both.cut()
        began = trio.current_time()
        await both.send(bytes(50_000), receipt=receipt, lifetime=0.5)
        assert await receipt.wait() is Outcome.ABANDONED_LIFETIME
        assert trio.current_time() - began == pytest.approx(0.5, abs=0.01)
        both.mend()


async def test_message_whose_lifetime_ends_while_it_waits_for_the_window(
    plain: bool, autojump_clock: MockClock
) -> None:
    """Sooner than anything else is due."""
    async with ends(plain) as both:
        receipt = Receipt()
        both.cut()
        began = trio.current_time()
        await both.send(bytes(50_000))
        await both.send(b"late", receipt=receipt, lifetime=0.02)
        assert await receipt.wait() is Outcome.ABANDONED_LIFETIME
        assert trio.current_time() - began == pytest.approx(0.02, abs=0.005)
        both.mend()


async def test_messages_that_made_room(plain: bool, autojump_clock: MockClock) -> None:
    # RFC 7496 §3.2
    async with ends(plain) as both:
        both.cut()
        await both.send(bytes(50_000))
        channel = both.channel
        ahead = channel.buffered_amount
        channel.set_water_marks(high=ahead + 10_001)
        receipts = [Receipt() for _ in "abc"]
        for receipt, priority in zip(receipts, (7, 9, 7), strict=True):
            both.send_nowait(bytes(5000), discard_priority=priority, receipt=receipt)
        assert channel.buffered_amount == ahead + 15_000
        both.send_nowait(b"!")
        gone = Outcome.ABANDONED_PRIORITY
        assert [receipt.outcome for receipt in receipts] == [None, gone, None]
        assert channel.buffered_amount == ahead + 10_001
        for priority in (8, 7):  # the others are not less important than that
            with pytest.raises(trio.WouldBlock):
                both.send_nowait(b"?", discard_priority=priority)
        both.send_nowait(b"!", discard_priority=6)
        assert [receipt.outcome for receipt in receipts] == [gone, gone, None]
        both.mend()
        assert await receipts[2].wait() is Outcome.DELIVERED


async def test_messages_of_a_channel_that_is_closed_by_force(autojump_clock: MockClock) -> None:
    async with ends(plain=False) as both:
        begun, waiting = Receipt(), Receipt()
        both.cut()
        await both.send(bytes(50_000), receipt=begun)
        await both.send(b"x", receipt=waiting)
        await trio.aclose_forcefully(both.channel)
        assert waiting.outcome is Outcome.DISCARDED
        assert begun.outcome is None
        both.mend()
        assert await begun.wait() is Outcome.DELIVERED  # it was begun: it is finished


# -- one receipt, one message


async def test_receipt_is_for_one_message(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        receipt = Receipt()
        await both.send(b"x", receipt=receipt)
        with pytest.raises(LocalProtocolError, match="receipt: this one belongs to another"):
            await both.send(b"y", receipt=receipt)
        await receipt.wait()
        with pytest.raises(LocalProtocolError, match="receipt: this one belongs to another"):
            both.send_nowait(b"y", receipt=receipt)


async def test_receipt_of_a_send_without_effect_may_be_used_again(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        receipt = Receipt()
        await both.fill()
        with trio.move_on_after(1) as scope:
            await both.send(b"cancelled", receipt=receipt)
        assert scope.cancelled_caught
        with pytest.raises(trio.WouldBlock):
            both.send_nowait(b"would block", receipt=receipt)
        both.mend()
        if not both.plain:
            with pytest.raises(LocalProtocolError):
                await both.send(bytes(2**25), receipt=receipt)
        assert repr(receipt) == "<Receipt: not used>"
        await both.send(b"sent", receipt=receipt)
        assert await receipt.wait() is Outcome.DELIVERED
        assert [await both.receive() for _ in "12"] == [bytes(50_000), b"sent"]


async def test_two_sends_that_wait_with_the_same_receipt(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        receipt = Receipt()
        await both.fill()
        refused = 0

        async def send() -> None:
            nonlocal refused
            try:
                await both.send(b"x", receipt=receipt)
            except LocalProtocolError:
                refused += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            both.mend()
        assert refused == 1
        assert await receipt.wait() is Outcome.DELIVERED


# -- the end settles every receipt


async def test_graceful_end_delivers(plain: bool, autojump_clock: MockClock) -> None:
    receipt = Receipt()
    async with ends(plain) as both:
        await both.send(bytes(100_000), receipt=receipt)
    assert receipt.outcome is Outcome.DELIVERED


async def test_abort_here_leaves_the_outcome_unknown(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        begun, waiting = Receipt(), Receipt()
        both.cut()
        await both.send(bytes(50_000), receipt=begun)
        await both.send(b"x", receipt=waiting, lifetime=100)
        both.client.abort("enough")
        assert begun.outcome is waiting.outcome is Outcome.UNKNOWN
        assert await begun.wait() is Outcome.UNKNOWN
        assert repr(begun) == "<Receipt: the association ended before it was acknowledged>"


@pytest.mark.parametrize("kind", ["cancelled", "peer aborts", "lost", "transport"])
async def test_every_other_end_does_too(plain: bool, kind: str, autojump_clock: MockClock) -> None:
    receipts = [Receipt(), Receipt()]
    errors = {
        "peer aborts": AssociationAborted,
        "lost": AssociationLost,
        "transport": TransportFailed,
    }

    async def go() -> None:
        async with ends(plain, config=MAYBE_LOST) as both:
            if kind != "peer aborts":
                both.cut()
            else:
                both.near.outgoing.conditions.loss = 1.0
            await both.send(bytes(50_000), receipt=receipts[0])
            await both.send(b"x", receipt=receipts[1])
            match kind:
                case "cancelled":
                    await trio.sleep_forever()
                case "peer aborts":
                    both.server.abort()
                case "transport":
                    await both.near.aclose()
            assert await receipts[0].wait() is Outcome.UNKNOWN

    with trio.move_on_after(60):
        if kind == "cancelled":
            await go()
        else:
            with pytest.raises(errors[kind]):
                await go()
    assert [receipt.outcome for receipt in receipts] == [Outcome.UNKNOWN] * 2


async def test_restart_of_the_peer_does_too(autojump_clock: MockClock) -> None:
    # RFC 9260 §5.2.4.1: what was sent to the peer's former life is lost
    near, far = memory_link(delay=0.01, silent_close=True)
    receipt = Receipt()
    waited: list[str] = []

    async def wait_delivered(channel: MessageChannel) -> None:
        with pytest.raises(trio.BrokenResourceError, match="began anew"):
            await channel.wait_delivered()
        waited.append("told")

    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            async with open_association(far, client=False, data_channels=False) as association:
                far.outgoing.conditions.loss = 1.0
                await association.messages.send(Message(0, 0, bytes(50_000)), receipt=receipt)
                nursery.start_soon(wait_delivered, association.messages)
                await association.wait_closed()

        nursery.start_soon(serve)
        with trio.CancelScope() as scope:
            async with open_association(near, client=True, data_channels=False):
                await trio.sleep(1)
                near.outgoing.conditions.loss = 1.0  # it says no word
                scope.cancel()
                await trio.sleep_forever()
        assert receipt.outcome is None
        again = LinkEnd("again", near.outgoing, near.incoming)
        again._peer, far._peer = far, again
        near.outgoing.conditions.loss = far.outgoing.conditions.loss = 0.0
        async with open_association(again, client=True, data_channels=False):
            assert await receipt.wait() is Outcome.UNKNOWN
            await wait_all_tasks_blocked()
    assert waited == ["told"]

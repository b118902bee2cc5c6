"""How to test a program of yours over a bad network, in virtual time, in no time.

    python examples/virtual_time_test.py      (or: pytest examples/virtual_time_test.py)

The network loses a tenth of the packets and takes 100 ms each way; trio's MockClock jumps over
every wait, so that minutes pass in moments, and the same way each time.
"""

from __future__ import annotations

import trio
import trio.testing

import trio_sctp
from trio_sctp.testing import memory_link, open_association_pair


async def ask(association: trio_sctp.Association, question: str) -> bytes | str:
    """The program under test."""
    async with association.open_channel("questions") as channel:
        await channel.send(question)
        return await channel.receive()


async def answer(association: trio_sctp.Association) -> None:
    """The peer that the test plays."""
    channel = await association.listen().accept()
    await channel.send(f"{await channel.receive()!s} Yes.")


async def test_an_answer_comes_through_a_network_that_loses_packets(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with (
        open_association_pair(delay=0.1, loss=0.1, seed=1) as (client, server),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, server)
        assert await ask(client, "Is anybody there?") == "Is anybody there? Yes."
        assert trio.current_time() >= 0.4  # a round trip for set-up at least, and one to ask


async def test_a_network_that_is_cut_is_noticed(autojump_clock: trio.testing.MockClock) -> None:
    ends = memory_link(delay=0.1)
    try:
        async with open_association_pair(link=ends) as (client, _):
            for end in ends:
                end.outgoing.conditions.loss = 1.0  # from now on nothing arrives
            await ask(client, "Is anybody there?")
    except trio_sctp.AssociationLost:
        assert trio.current_time() > 60  # it tried for minutes
    else:
        raise AssertionError("nobody noticed")


if __name__ == "__main__":
    for test in (
        test_an_answer_comes_through_a_network_that_loses_packets,
        test_a_network_that_is_cut_is_noticed,
    ):
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(test, clock, clock=clock)
        print(f"{test.__name__}: passed after {clock.current_time():.1f} virtual seconds")

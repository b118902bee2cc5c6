"""Streams that usrsctp and we add to an association, and TSNs that begin anew (RFC 6525)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.live_peers import JsonPeer
from tests.support.usrsctp_association import CONFIG, ROLES, Role, assert_shut_down, associated
from trio_sctp import Association, AssociationReset, Message, StreamsChanged

OURS, THEIRS = 10, 8
"""Streams that we and the peer send on at first."""
LIMITED = CONFIG.replace(
    outbound_streams=OURS, inbound_streams=20, max_outbound_streams=50, max_inbound_streams=50
)
COMMANDS = ("--out-streams", THEIRS, "--job", "commands", "--report")
DENIED = 4  # SCTP_STREAM_CHANGE_DENIED

pytestmark = pytest.mark.parametrize("role", ROLES)


async def next_change(association: Association) -> StreamsChanged:
    async for event in association.events:
        if isinstance(event, StreamsChanged):
            return event
    raise AssertionError("the association is over")


async def streams_of_both(
    association: Association, peer: JsonPeer, changes: int = 1
) -> tuple[int, int]:
    """What both ends say after changes that have succeeded: streams from us, and to us."""
    for _ in range(changes):
        event = await next_change(association)
        assert event.succeeded
        told = await peer.expect("streams changed")
        assert told["flags"] == 0
    ours = event.outbound_streams, event.inbound_streams
    assert ours == (told["inbound_streams"], told["outbound_streams"])
    return ours


async def check_last_streams(association: Association, peer: JsonPeer) -> None:
    """Messages get through on the last stream of either direction."""
    last, last_theirs = association.outbound_streams - 1, association.inbound_streams - 1
    await association.messages.send(Message(last, 51, b"there"))
    told = await peer.expect("message")
    assert told["stream"] == last
    await peer.command(f"text {last_theirs} 51 back")
    assert (await association.messages.receive()).stream_id == last_theirs


async def test_we_add_streams(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS, config=LIMITED) as (association, peer):
        association.add_outgoing_streams(5)
        assert await streams_of_both(association, peer) == (OURS + 5, THEIRS)
        await check_last_streams(association, peer)
        association.request_incoming_streams(3)
        assert await streams_of_both(association, peer) == (OURS + 5, THEIRS + 3)
        await check_last_streams(association, peer)
        await association.aclose()
        assert (await peer.summary())["ending"] == "shutdown"
    await assert_shut_down(association)


async def test_the_peer_adds_streams(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS, config=LIMITED) as (association, peer):
        await peer.command("add 0 5")
        assert await streams_of_both(association, peer) == (OURS, THEIRS + 5)
        await check_last_streams(association, peer)
        await peer.command("add 3 0")
        assert await streams_of_both(association, peer) == (OURS + 3, THEIRS + 5)
        await check_last_streams(association, peer)
        await peer.command("add 1 2")  # both in one RE-CONFIG chunk
        assert await streams_of_both(association, peer, changes=2) == (OURS + 4, THEIRS + 7)
        await check_last_streams(association, peer)
        await association.aclose()
        assert (await peer.summary())["ending"] == "shutdown"
    await assert_shut_down(association)


async def test_both_add_streams_at_once(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS, config=LIMITED) as (association, peer):
        await peer.command("add 0 2")
        association.add_outgoing_streams(1)
        assert await streams_of_both(association, peer, changes=2) == (OURS + 1, THEIRS + 2)
        await check_last_streams(association, peer)


async def test_the_peer_wants_more_streams_than_we_allow(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS, config=LIMITED) as (association, peer):
        for wish in ("add 0 43", "add 41 0"):
            await peer.command(wish)
            assert (await peer.expect("streams changed"))["flags"] == DENIED
        assert (association.outbound_streams, association.inbound_streams) == (OURS, THEIRS)
        await check_last_streams(association, peer)


async def test_we_want_more_streams_than_the_peer_allows(c_peer: Path, role: Role) -> None:
    options = ("--in-streams", OURS, *COMMANDS)
    async with associated(role, c_peer, *options, config=LIMITED) as (association, peer):
        association.add_outgoing_streams(1)
        assert await next_change(association) == StreamsChanged(OURS, THEIRS, succeeded=False)
        await check_last_streams(association, peer)


async def test_we_reset_the_association(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS, config=LIMITED) as (association, peer):
        for _ in range(2):
            await association.messages.send(Message(3, 51, b"before"))
            await peer.expect("message")
            await peer.command("text 3 51 before")
            await association.messages.receive()  # its SACK goes with our request at the latest
        association.reset_association()
        async for event in association.events:
            if isinstance(event, AssociationReset):
                assert event.succeeded
                break
        assert (await peer.expect("association reset"))["flags"] == 0
        await association.messages.send(Message(3, 51, b"after"))
        assert (await peer.expect("message"))["ssn"] == 0
        await peer.command("text 3 51 after")
        assert (await association.messages.receive()).sequence_number == 0
        await association.aclose()
        assert (await peer.summary())["ending"] == "shutdown"
    await assert_shut_down(association)

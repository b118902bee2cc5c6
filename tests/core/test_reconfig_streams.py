"""Streams are added: Add Outgoing and Add Incoming Streams Requests (RFC 6525 §4.5, §4.6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.association_pair import End, Pair, established_pair, lose_only, pair_in_state
from trio_sctp._core.association import State
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationClosed, AssociationReset, StreamsChanged
from trio_sctp._wire import chunks as c, parameters as p

LIMITS: dict[str, Any] = {
    "outbound_streams": 5,
    "inbound_streams": 5,
    "max_outbound_streams": 20,
    "max_inbound_streams": 20,
    "interleaving": False,
}
PERFORMED = p.ReConfigResult.SUCCESS_PERFORMED
NOTHING_TO_DO = p.ReConfigResult.SUCCESS_NOTHING_TO_DO
DENIED = p.ReConfigResult.DENIED
BUSY = p.ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS
BAD_SN = p.ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER


def pair_with_streams(**changes: Any) -> Pair:
    return established_pair(**{**LIMITS, **changes})


def first_sn(end: End) -> int:
    """The number of the first request of an end: its initial TSN (§4.1)."""
    assert end.association.tcb is not None
    return end.association.tcb.local.initial_tsn


def counts(end: End) -> tuple[int, int]:
    statistics = end.association.statistics()
    return statistics.outbound_streams, statistics.inbound_streams


def changes(end: End) -> list[tuple[int, int, bool]]:
    return [
        (event.outbound_streams, event.inbound_streams, event.succeeded)
        for event in end.take(StreamsChanged)
    ]


def reconfigs(pair: Pair) -> list[tuple[str, p.Parameter]]:
    """The parameters of all RE-CONFIG chunks under way, with who sent them."""
    return [
        (packet.sender, parameter)
        for packet in pair.transit
        for chunk in packet.chunks
        if isinstance(chunk, c.ReConfig)
        for parameter in chunk.parameters
    ]


def raw_request(pair: Pair, *parameters: p.Parameter) -> tuple[p.Parameter, ...]:
    """A asks Z something of its own making: what Z answers."""
    packets = pair.z.receive(c.ReConfig(parameters), now=pair.now)
    return tuple(
        parameter
        for packet in packets
        for chunk in packet.chunks
        if isinstance(chunk, c.ReConfig)
        for parameter in chunk.parameters
    )


# -- streams that we send on (§5.1.5, §5.2.5)


def test_outgoing_streams_are_added() -> None:
    # A -> RE-CONFIG (Add Outgoing Streams: 3) -> Z
    # A <- SACK, RE-CONFIG (Response: performed) <- Z
    pair = pair_with_streams()
    pair.a.association.add_outgoing_streams(3, now=pair.now)
    pair.pull()
    sn = first_sn(pair.a)
    assert reconfigs(pair) == [("A", p.AddOutgoingStreams(sn, 3))]
    pair.run()
    assert pair.take_exchange() == ["A -> RE-CONFIG -> Z", "Z -> SACK, RE-CONFIG -> A"]
    assert counts(pair.a) == (8, 5)
    assert counts(pair.z) == (5, 8)
    assert changes(pair.a) == [(8, 5, True)]
    assert changes(pair.z) == [(5, 8, True)]
    assert pair.a.association.outbound_streams == 8


def test_new_streams_are_used_only_after_the_answer_and_begin_with_ssn_0() -> None:
    pair = pair_with_streams()
    pair.a.association.add_outgoing_streams(1, now=pair.now)
    pair.pull()
    with pytest.raises(LocalProtocolError, match="from 0 to 4"):
        pair.send(stream_id=5)
    pair.deliver()
    with pytest.raises(LocalProtocolError, match="from 0 to 4"):
        pair.send(stream_id=5)
    pair.pull()
    pair.deliver()
    pair.send(b"new", stream_id=5)
    packets = pair.pull()
    data = packets[-1].chunk(c.Data)
    assert (data.stream_id, data.ssn) == (5, 0)
    pair.run()
    assert pair.z.payloads == [b"new"]


def test_denied_streams_are_not_added() -> None:
    # §5.2.5: more than the peer's program allows
    pair = pair_with_streams()
    pair.z.association.update_config(now=pair.now, max_inbound_streams=7)
    pair.a.association.add_outgoing_streams(3, now=pair.now)
    pair.run()
    assert changes(pair.a) == [(5, 5, False)]
    assert changes(pair.z) == []
    assert counts(pair.a) == counts(pair.z) == (5, 5)
    pair.a.association.add_outgoing_streams(2, now=pair.now)
    pair.run()
    assert counts(pair.a) == (7, 5)


@pytest.mark.parametrize("result", [NOTHING_TO_DO, DENIED, 3, BAD_SN, 7])
def test_no_other_result_adds_streams(result: int) -> None:
    pair = pair_with_streams()
    pair.a.association.add_outgoing_streams(3, now=pair.now)
    pair.pull()
    pair.transit.clear()
    response = p.ReConfigResponse(first_sn(pair.a), result)
    pair.a.receive(c.ReConfig((response,)), now=pair.now)
    assert changes(pair.a) == [(5, 5, False)]
    assert counts(pair.a) == (5, 5)


def test_never_more_than_65535_streams() -> None:
    pair = established_pair(outbound_streams=65535, inbound_streams=65535)
    for verb in ("add_outgoing_streams", "request_incoming_streams"):
        with pytest.raises(LocalProtocolError, match=r"count is 1: .* at most 0 \(max_"):
            getattr(pair.a.association, verb)(1, now=pair.now)
    sn = first_sn(pair.a)
    answers = raw_request(
        pair, p.AddOutgoingStreams(sn, 1), p.AddIncomingStreams((sn + 1) & 0xFFFFFFFF, 65535)
    )
    assert [answer.result for answer in answers if isinstance(answer, p.ReConfigResponse)] == [
        DENIED,
        DENIED,
    ]


@pytest.mark.parametrize("verb", ["add_outgoing_streams", "request_incoming_streams"])
def test_what_cannot_be_asked_for(verb: str) -> None:
    pair = pair_with_streams()
    ask = getattr(pair.a.association, verb)
    for count in (0, -1):
        with pytest.raises(
            LocalProtocolError, match=f"count is {count}: it must be from 1 to 65535"
        ):
            ask(count, now=pair.now)
    with pytest.raises(LocalProtocolError, match=r"count is 16: with 5 .* at most 15"):
        ask(16, now=pair.now)
    ask(10, now=pair.now)
    with pytest.raises(LocalProtocolError, match=r"with 15 .* at most 5"):  # what is wanted counts
        ask(6, now=pair.now)
    pair.run()
    with pytest.raises(LocalProtocolError, match=r"with 15 .* at most 5"):
        ask(6, now=pair.now)
    for pair in (Pair(), pair_in_state(State.COOKIE_ECHOED), pair_in_state(State.SHUTDOWN_SENT)):
        with pytest.raises(LocalProtocolError, match=f"{verb}: the association is"):
            getattr(pair.a.association, verb)(1, now=pair.now)


def test_streams_are_added_one_request_after_the_other() -> None:
    # §5.1.1: at most one request is in flight
    pair = pair_with_streams()
    for count in (1, 2, 3):
        pair.a.association.add_outgoing_streams(count, now=pair.now)
    pair.a.association.request_incoming_streams(4, now=pair.now)
    pair.pull()
    assert [parameter for _, parameter in reconfigs(pair)] == [
        p.AddOutgoingStreams(first_sn(pair.a), 1)
    ]
    pair.run()
    assert counts(pair.a) == (11, 9)
    assert counts(pair.z) == (9, 11)
    assert changes(pair.a) == [(6, 5, True), (8, 5, True), (11, 5, True), (11, 9, True)]


# -- streams that the peer sends on (§5.1.6, §5.2.6)


def test_incoming_streams_are_added_by_a_request_of_the_peer() -> None:
    # A -> RE-CONFIG (Add Incoming Streams: 3) -> Z
    # A <- SACK, RE-CONFIG (Response: performed), RE-CONFIG (Add Outgoing Streams: 3) <- Z
    # A -> SACK, RE-CONFIG (Response: performed) -> Z
    pair = pair_with_streams()
    pair.a.association.request_incoming_streams(3, now=pair.now)
    pair.pull()
    sn = first_sn(pair.a)
    assert reconfigs(pair) == [("A", p.AddIncomingStreams(sn, 3))]
    pair.deliver()
    pair.pull()
    assert reconfigs(pair) == [
        ("Z", p.ReConfigResponse(sn, PERFORMED)),
        ("Z", p.AddOutgoingStreams(first_sn(pair.z), 3)),
    ]
    pair.run()
    assert counts(pair.a) == (5, 8)
    assert counts(pair.z) == (8, 5)
    assert changes(pair.a) == [(5, 8, True)]
    assert changes(pair.z) == [(8, 5, True)]
    pair.z.association.send(7, b"on a new stream", now=pair.now)
    pair.run()
    assert pair.a.payloads == [b"on a new stream"]


def test_incoming_streams_may_be_denied() -> None:
    pair = pair_with_streams()
    pair.z.association.update_config(now=pair.now, max_outbound_streams=6)
    pair.a.association.request_incoming_streams(2, now=pair.now)
    pair.run()
    assert changes(pair.a) == [(5, 5, False)]
    assert changes(pair.z) == []


@pytest.mark.parametrize("kind", [p.AddOutgoingStreams, p.AddIncomingStreams])
def test_adding_nothing_is_nothing_to_do(
    kind: type[p.AddOutgoingStreams | p.AddIncomingStreams],
) -> None:
    pair = pair_with_streams()
    sn = first_sn(pair.a)
    assert raw_request(pair, kind(sn, 0)) == (p.ReConfigResponse(sn, NOTHING_TO_DO),)
    assert pair.z.take(StreamsChanged) == []


def test_both_directions_in_one_chunk() -> None:
    # §3.1 no. 7; §5.2.1: both answers in one chunk
    pair = pair_with_streams()
    sn = first_sn(pair.a)
    packets = pair.z.receive(
        c.ReConfig((p.AddOutgoingStreams(sn, 2), p.AddIncomingStreams(sn + 1, 3))), now=0.0
    )
    chunks = [chunk for chunk in packets[0].chunks if isinstance(chunk, c.ReConfig)]
    assert chunks[0].parameters == (
        p.ReConfigResponse(sn, PERFORMED),
        p.ReConfigResponse(sn + 1, PERFORMED),
    )
    assert chunks[1].parameters == (p.AddOutgoingStreams(first_sn(pair.z), 3),)


def test_peer_that_floods_with_wishes_is_put_off() -> None:
    pair = pair_with_streams(max_outbound_streams=65535)
    sn = first_sn(pair.a)
    results = []
    for number in range(100):
        answers = raw_request(pair, p.AddIncomingStreams((sn + number) & 0xFFFFFFFF, 1))
        results += [a.result for a in answers if isinstance(a, p.ReConfigResponse)]
    assert set(results[:60]) == {PERFORMED}
    assert set(results[70:]) == {BUSY}


def test_peer_that_answers_by_its_request_alone() -> None:
    # §5.2.6 asks for no more; on a repetition it repeats its own request.
    # A -> RE-CONFIG (Add Incoming Streams: 3) -> Z
    # A <- RE-CONFIG (Add Outgoing Streams: 3) <- Z, and so on: A asks on for a while
    pair = pair_with_streams(association_max_retrans=3)
    a, z_sn = pair.a, first_sn(pair.z)
    a.association.request_incoming_streams(3, now=pair.now)
    a.association.add_outgoing_streams(1, now=pair.now)  # goes first
    a.pull(pair.now)
    sn = first_sn(a)
    a.receive(c.ReConfig((p.ReConfigResponse(sn, PERFORMED),)), now=pair.now)
    assert a.association.tcb is not None
    reset = a.association.tcb.stream_reset
    for _ in range(4):
        a.receive(c.ReConfig((p.AddOutgoingStreams(z_sn, 3),)), now=pair.now)
        assert reset.timer.running
        pair.now = reset.timer.deadline
        a.expire(pair.now)
        a.pull(pair.now)
    assert not reset.pending
    assert a.closed is None
    assert changes(a) == [(6, 5, True), (6, 8, True)]


def test_wishes_of_both_ends_for_the_same_cross() -> None:
    # A -> RE-CONFIG (Add Incoming Streams: 3) -> lost
    # A <- RE-CONFIG (Add Outgoing Streams: 3) <- Z, by its own wish: that is no answer
    pair = pair_with_streams()
    pair.a.association.request_incoming_streams(3, now=pair.now)
    pair.z.association.add_outgoing_streams(3, now=pair.now)
    pair.pull()
    pair.drop(0)
    pair.run_for(10.0)
    assert counts(pair.a) == (5, 11)
    assert counts(pair.z) == (11, 5)


# -- loss, repetition, order


@pytest.mark.parametrize("verb", ["add_outgoing_streams", "request_incoming_streams"])
@pytest.mark.parametrize("lost", range(4))
def test_any_loss_is_made_good(verb: str, lost: int) -> None:
    pair = pair_with_streams()
    pair.lose = lose_only(lost)
    getattr(pair.a.association, verb)(3, now=pair.now)
    pair.run_for(10.0)
    outgoing = verb == "add_outgoing_streams"
    assert counts(pair.a) == ((8, 5) if outgoing else (5, 8))
    assert counts(pair.z) == ((5, 8) if outgoing else (8, 5))
    for end in (pair.a, pair.z):
        assert [succeeded for *_, succeeded in changes(end)] == [True]


def test_repeated_request_adds_once() -> None:
    pair = pair_with_streams()
    pair.a.association.add_outgoing_streams(3, now=pair.now)
    pair.pull()
    request = pair.deliver()
    (first,) = pair.pull()
    pair.repeat(request)
    (again,) = pair.pull()
    assert again.chunk(c.ReConfig) == first.chunk(c.ReConfig)
    pair.run()
    assert counts(pair.z) == (5, 8)
    pair.a.association.add_outgoing_streams(1, now=pair.now)
    pair.run()
    pair.repeat(request)  # much later: it is not the last one any more
    (late,) = pair.pull()
    assert late.chunk(c.ReConfig).parameters == (p.ReConfigResponse(first_sn(pair.a), BAD_SN),)
    assert counts(pair.z) == (5, 9)


def test_requests_of_both_ends_cross() -> None:
    pair = pair_with_streams()
    for end in (pair.a, pair.z):
        end.association.add_outgoing_streams(2, now=pair.now)
        end.association.request_incoming_streams(3, now=pair.now)
    pair.run()
    assert counts(pair.a) == counts(pair.z) == (10, 10)


def test_peer_that_is_busy_is_asked_again() -> None:
    pair = pair_with_streams()
    pair.a.association.add_outgoing_streams(2, now=pair.now)
    pair.pull()
    pair.transit.clear()
    sn = first_sn(pair.a)
    pair.a.receive(c.ReConfig((p.ReConfigResponse(sn, BUSY),)), now=pair.now)
    assert changes(pair.a) == []
    assert pair.a.association.tcb is not None
    pair.now = pair.a.association.tcb.stream_reset.timer.deadline
    pair.a.expire(pair.now)
    (packet,) = pair.a.pull(pair.now)
    assert packet.chunk(c.ReConfig).parameters == (p.AddOutgoingStreams(sn + 1, 2),)


def test_peer_that_never_answers_is_given_up() -> None:
    pair = pair_with_streams(association_max_retrans=3, hb_interval=float("inf"))
    pair.lose = lambda packet: True
    pair.a.association.add_outgoing_streams(1, now=pair.now)
    pair.run_for(100.0)
    assert [type(event) for event in pair.a.events] == [AssociationClosed]
    assert len(pair.exchange) == 4


def test_extension_is_announced() -> None:
    # §5.1.1, in INIT and INIT ACK
    pair = Pair()
    pair.a.association.connect(now=0.0)
    (init,) = pair.pull()
    pair.deliver()
    (init_ack,) = pair.pull()
    for parameters in (init.chunk(c.Init).parameters, init_ack.chunk(c.InitAck).parameters):
        (extensions,) = [x for x in parameters if isinstance(x, p.SupportedExtensions)]
        assert c.ReConfig.type in extensions.chunk_types


def test_peer_without_the_extension_is_not_asked() -> None:
    pair = pair_in_state(State.COOKIE_ECHOED)
    (answer,) = pair.a.receive(c.Init(7, 10_000, 5, 5, 1), now=0.0, tag=0)
    cookie = answer.chunk(c.InitAck).parameters[0]
    assert isinstance(cookie, p.StateCookie)
    pair.a.receive(c.CookieEcho(cookie.cookie), now=0.0)
    a = pair.a.association
    refusal = pytest.raises(LocalProtocolError, match="the peer does not support RE-CONFIG")
    with refusal:
        a.add_outgoing_streams(1, now=0.0)
    with refusal:
        a.request_incoming_streams(1, now=0.0)
    with refusal:
        a.request_incoming_reset([1], now=0.0)
    with refusal:
        a.reset_association(now=0.0)
    assert pair.a.take(AssociationReset) == []


def test_channels_may_use_new_streams() -> None:
    pair = pair_with_streams(outbound_streams=1, inbound_streams=1)
    with pytest.raises(LocalProtocolError):
        pair.send(stream_id=1)
    pair.a.association.add_outgoing_streams(1, now=pair.now)
    pair.z.association.add_outgoing_streams(1, now=pair.now)
    pair.run()
    pair.send(b"there", stream_id=1)
    pair.z.association.send(1, b"back", now=pair.now)
    pair.run()
    assert pair.z.payloads == [b"there"]
    assert pair.a.payloads == [b"back"]

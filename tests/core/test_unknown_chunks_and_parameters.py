"""What we don't know: chunk types, parameters (RFC 9260 §3.2), bad or missing mandatory ones (§5.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.association_pair import Packet, Pair, established_pair, pair_in_state
from trio_sctp._core.events import CloseReason
from trio_sctp._core.packet_builder import MAX_CONTROL_CHUNKS
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import (
    ErrorCause,
    InvalidMandatoryParameter,
    MissingMandatoryParameter,
    UnrecognizedChunkType,
    UnrecognizedParameters,
    UnresolvableAddress,
)
from trio_sctp._wire.parameters import (
    CookiePreservative,
    EcnCapable,
    HostNameAddress,
    IPv4Address,
    IPv6Address,
    Padding,
    Parameter,
    StateCookie,
    SupportedAddressTypes,
    SupportedExtensions,
    UnknownParameter,
    UnrecognizedParameter,
    ZeroChecksumAcceptable,
    encode_parameters,
)
from trio_sctp._wire.tlv import encode_chunk

STOP, STOP_REPORT, SKIP, SKIP_REPORT = 0x3E, 0x7E, 0xBE, 0xFE
HEARTBEAT = c.Heartbeat.from_info(b"behind it")
GOOD_INIT = c.Init(4711, 10_000, 5, 5, 9)
GOOD_INIT_ACK = c.InitAck(4711, 10_000, 5, 5, 9, (StateCookie(b"cookie"),))


def causes(packet: Packet) -> list[ErrorCause]:
    return [k for chunk in packet.chunks if isinstance(chunk, c.Error) for k in chunk.causes]


# -- chunks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, names",
    [
        (STOP, []),
        (STOP_REPORT, ["ERROR"]),
        (SKIP, ["HEARTBEAT ACK"]),
        (SKIP_REPORT, ["ERROR, HEARTBEAT ACK"]),
    ],
)
@pytest.mark.parametrize("flags", [0, 0xFF])
def test_unknown_chunk_by_its_two_high_bits(kind: int, names: list[str], flags: int) -> None:
    """§3.2 table 2: whether the rest is processed, whether it is reported."""
    pair = established_pair()
    unknown = c.UnknownChunk(kind, flags, b"abcde")
    answers = pair.a.receive(unknown, HEARTBEAT, now=0.0)
    assert [packet.names for packet in answers] == names
    if "ERROR" in "".join(names):
        # §3.3.10.6: type, flags and length, too
        assert causes(answers[0]) == [UnrecognizedChunkType(bytes([kind, flags, 0, 9]) + b"abcde")]
    assert pair.a.state is State.ESTABLISHED
    assert pair.a.events == []


def test_every_unassigned_chunk_type() -> None:
    """Of the 256 types all that have no meaning here do what their bits say."""
    pair = established_pair()
    known = {*range(12), 14, 64, 130, 132, 192, 194}
    for kind in sorted(set(range(256)) - known):
        answers = pair.a.receive(c.UnknownChunk(kind, 0, b""), HEARTBEAT, now=0.0)
        names = [name for packet in answers for name in packet.names.split(", ")]
        assert ("ERROR" in names) == bool(kind & 0x40), kind
        assert ("HEARTBEAT ACK" in names) == bool(kind & 0x80), kind
    assert pair.a.state is State.ESTABLISHED


@pytest.mark.parametrize(
    "chunk",
    [c.ForwardTsn(5, [(1, 2)]), c.IForwardTsn(5, [(1, True, 2)])],
    ids=lambda value: type(value).__name__,
)
def test_chunk_of_an_extension_that_was_not_agreed(chunk: c.EncodableChunk) -> None:
    """From a peer that announced nothing it is one that we don't know: both have the high bits 11."""
    pair = pair_in_state(State.COOKIE_WAIT)
    pair.a.receive(GOOD_INIT_ACK, now=0.0)
    pair.a.receive(c.CookieAck(), now=0.0)
    (answer,) = pair.a.receive(chunk, HEARTBEAT, now=0.0)
    assert answer.names == "ERROR, HEARTBEAT ACK"
    (cause,) = causes(answer)
    assert isinstance(cause, UnrecognizedChunkType)
    assert cause.chunk == chunk.encode()[: len(cause.chunk)]
    assert len(cause.chunk) == int.from_bytes(chunk.encode()[2:4])


def test_data_behind_an_unknown_chunk() -> None:
    """Field note: the whole packet dropped on one unknown chunk."""
    pair = established_pair()
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    data = c.Data(tsn, 0, 0, 0, b"x")
    answers = pair.a.receive(c.UnknownChunk(STOP, 0, b""), data, now=0.0)
    assert answers == []
    (answer,) = pair.a.receive(c.UnknownChunk(SKIP_REPORT, 0, b""), data, now=0.0)
    assert answer.names == "SACK, ERROR"
    assert pair.a.payloads == [b"x"]


def test_unknown_chunk_behind_data_is_reported() -> None:
    pair = established_pair()
    assert pair.a.association.tcb is not None
    data = c.Data(pair.a.association.tcb.peer.initial_tsn, 0, 0, 0, b"x")
    (answer,) = pair.a.receive(data, c.UnknownChunk(STOP_REPORT, 0, b""), now=0.0)
    assert answer.names == "SACK, ERROR"
    assert pair.a.payloads == [b"x"]


@pytest.mark.parametrize("size", [1171, 1172, 1173, 1176, 1180, 1184, 1500, 9000, 65531])
@pytest.mark.parametrize("path_mtu", [1200, 1203, 512])
def test_echo_of_an_oversized_unknown_chunk_fits_the_mtu(size: int, path_mtu: int) -> None:
    """Field note: the echo of an oversized unknown chunk exceeds the MTU.  Its beginning is enough."""
    pair = established_pair(path_mtu=path_mtu)
    assert pair.a.max_packet == path_mtu & ~3
    unknown = encode_chunk(SKIP_REPORT, 0, bytes(size))
    (answer,) = pair.a.receive(unknown, now=0.0)  # `check_packet` looks at its size
    (cause,) = causes(answer)
    assert isinstance(cause, UnrecognizedChunkType)
    assert cause.chunk == unknown[: len(cause.chunk)]
    assert len(answer.raw) > path_mtu - 20 or len(cause.chunk) == size + 4


def test_many_unknown_chunks_get_one_packet_of_reports() -> None:
    """§12.4: no more than one packet of control chunks in answer, and not too many of them."""
    pair = established_pair()
    unknown = [c.UnknownChunk(SKIP_REPORT, 0, b"")] * 290
    answers = pair.a.receive(*unknown, now=0.0)
    assert len(answers) == 1
    assert len(answers[0].chunks) == MAX_CONTROL_CHUNKS
    dropped = pair.a.association.counters.dropped
    # 128 of them are read
    assert dropped["answer to too many chunks"] == 128 - MAX_CONTROL_CHUNKS
    assert dropped["malformed chunk"] == 1


@pytest.mark.parametrize("state", [State.COOKIE_WAIT, State.COOKIE_ECHOED])
def test_unknown_chunk_while_calling(state: State) -> None:
    """It changes nothing; before COOKIE ACK there is no way to report."""
    pair = pair_in_state(state)
    for kind in (STOP, STOP_REPORT, SKIP, SKIP_REPORT):
        assert pair.a.receive(c.UnknownChunk(kind, 0, b"x"), now=0.0) == []
    assert pair.a.state is state


# -- parameters of INIT ------------------------------------------------------------------------------

P_STOP, P_STOP_REPORT, P_SKIP, P_SKIP_REPORT = 0x3FFE, 0x7FFE, 0xBFFE, 0xFFFE


def answer_to_init(*parameters: Parameter, **options: Any) -> Packet:
    pair = Pair(**options)
    (answer,) = pair.z.receive(replace(GOOD_INIT, parameters=parameters), now=0.0, tag=0)
    return answer


def reported(packet: Packet) -> list[bytes]:
    parameters = packet.chunk(c.InitAck).parameters
    return [p.parameter for p in parameters if isinstance(p, UnrecognizedParameter)]


@pytest.mark.parametrize(
    "kind, is_reported, goes_on",
    [
        (P_STOP, False, False),
        (P_STOP_REPORT, True, False),
        (P_SKIP, False, True),
        (P_SKIP_REPORT, True, True),
    ],
)
def test_unknown_parameter_of_init_by_its_two_high_bits(
    kind: int, is_reported: bool, goes_on: bool
) -> None:
    """§3.2.1 table 3, §3.2.2: an INIT ACK is sent in all four cases."""
    unknown = UnknownParameter(kind, b"abcde")
    # what stands behind: another unknown one, and extensions that would be agreed on
    behind = UnknownParameter(0xFFFD, b"")
    pair = Pair()
    init = replace(GOOD_INIT, parameters=(unknown, behind, SupportedExtensions((130,))))
    (answer,) = pair.z.receive(init, now=0.0, tag=0)
    assert answer.names == "INIT ACK"
    expected = [unknown.encode()] * is_reported + [behind.encode()] * goes_on
    assert reported(answer) == expected
    (cookie,) = [p for p in answer.chunk(c.InitAck).parameters if isinstance(p, StateCookie)]
    tag = answer.chunk(c.InitAck).initiate_tag
    pair.z.receive(c.CookieEcho(cookie.cookie), now=0.0, tag=tag)
    assert pair.z.association.capabilities.reconfiguration is goes_on


def test_processing_before_an_unknown_parameter_is_not_rolled_back() -> None:
    """§3.2.1."""
    pair = Pair()
    init = replace(
        GOOD_INIT, parameters=(SupportedExtensions((130,)), UnknownParameter(P_STOP, b""))
    )
    (answer,) = pair.z.receive(init, now=0.0, tag=0)
    (cookie,) = [p for p in answer.chunk(c.InitAck).parameters if isinstance(p, StateCookie)]
    tag = answer.chunk(c.InitAck).initiate_tag
    pair.z.receive(c.CookieEcho(cookie.cookie), now=0.0, tag=tag)
    assert pair.z.association.capabilities.reconfiguration


def test_parameters_of_others_that_mean_nothing_to_us() -> None:
    """Optional ones that other stacks send are fine (§3.3.2 table 6, §5.1.2 C)."""
    answer = answer_to_init(
        IPv4Address("192.0.2.1"),
        IPv6Address("2001:db8::1"),
        SupportedAddressTypes((5, 6, 11)),
        EcnCapable(),
        ZeroChecksumAcceptable(),
        Padding(100),
        CookiePreservative(1000),
    )
    assert answer.names == "INIT ACK"
    assert reported(answer) == []


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("path_mtu", [512, 1200, 1203])
def test_reports_of_parameters_fit_the_mtu(length: int, path_mtu: int) -> None:
    """§12.4: some may be omitted.  Their padding counts, too."""
    unknown = [UnknownParameter(P_SKIP_REPORT, bytes(length))] * 128
    answer = answer_to_init(*unknown, path_mtu=path_mtu)  # `check_packet` looks at its size
    assert 0 < len(reported(answer)) < 128
    assert len(answer.raw) > path_mtu - 24


def test_one_huge_unknown_parameter_is_not_reported() -> None:
    answer = answer_to_init(UnknownParameter(P_SKIP_REPORT, bytes(60_000)))
    assert reported(answer) == []
    assert len(answer.raw) < 250


# -- parameters of INIT ACK --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, is_reported",
    [(P_STOP, False), (P_STOP_REPORT, True), (P_SKIP, False), (P_SKIP_REPORT, True)],
)
@pytest.mark.parametrize("before_cookie", [False, True])
def test_unknown_parameter_of_init_ack(kind: int, is_reported: bool, before_cookie: bool) -> None:
    """§3.2.1, §3.2.2: COOKIE ECHO in all four cases; the ERROR goes with it, behind it."""
    pair = pair_in_state(State.COOKIE_WAIT)
    unknown = UnknownParameter(kind, b"abcde")
    cookie = StateCookie(b"cookie")
    both: tuple[Parameter, ...] = (unknown, cookie) if before_cookie else (cookie, unknown)
    (answer,) = pair.a.receive(replace(GOOD_INIT_ACK, parameters=both), now=0.0)
    assert answer.names == ("COOKIE ECHO, ERROR" if is_reported else "COOKIE ECHO")
    if is_reported:
        assert causes(answer) == [UnrecognizedParameters(encode_parameters([unknown]))]
    assert pair.a.state is State.COOKIE_ECHOED


def test_report_and_data_share_the_packet_of_cookie_echo() -> None:
    pair = pair_in_state(State.COOKIE_WAIT)
    pair.send(b"early")
    unknown = [UnknownParameter(P_SKIP_REPORT, bytes([i])) for i in range(3)]
    init_ack = replace(GOOD_INIT_ACK, parameters=(StateCookie(b"cookie"), *unknown))
    (answer,) = pair.a.receive(init_ack, now=0.0)
    assert answer.names == "COOKIE ECHO, ERROR, DATA"
    assert causes(answer) == [UnrecognizedParameters(encode_parameters(unknown))]


@pytest.mark.parametrize("cookie_length", [100, 900, 1180, 3000])
def test_report_on_init_ack_never_makes_cookie_echo_too_large(cookie_length: int) -> None:
    """Only what fits beside the cookie is reported, and nothing is sent before COOKIE ACK."""
    pair = pair_in_state(State.COOKIE_WAIT)
    pair.a.max_packet = max(1200, cookie_length + 20)
    unknown = [UnknownParameter(P_SKIP_REPORT, bytes(57))] * 30
    init_ack = replace(GOOD_INIT_ACK, parameters=(StateCookie(bytes(cookie_length)), *unknown))
    (answer,) = pair.a.receive(init_ack, now=0.0)
    assert answer.names == ("COOKIE ECHO, ERROR" if cookie_length < 1000 else "COOKIE ECHO")
    assert len(answer.raw) <= max(1200, cookie_length + 16)


def test_thousands_of_unknown_parameters_cost_little() -> None:
    """However large the packets of the path are: what nobody needs is not read at all (§5.1)."""
    pair = pair_in_state(State.COOKIE_WAIT, path_mtu=65532)
    unknown = [UnknownParameter(P_SKIP_REPORT, b"")] * 16_000
    init_ack = replace(GOOD_INIT_ACK, parameters=(StateCookie(b"cookie"), *unknown))
    assert [packet.names for packet in pair.a.receive(init_ack, now=0.0)] == ["ABORT"]
    pair = pair_in_state(State.COOKIE_WAIT, path_mtu=65532)
    init_ack = replace(init_ack, parameters=init_ack.parameters[:128])
    (answer,) = pair.a.receive(init_ack, now=0.0)
    (cause,) = causes(answer)
    assert isinstance(cause, UnrecognizedParameters)
    assert len(cause.parameters) == 127 * 4


# -- mandatory parameters ----------------------------------------------------------------------------


def refusal(pair: Pair, init_ack: c.InitAck) -> c.Abort:
    """The ABORT that answers it, under its Initiate Tag."""
    (answer,) = pair.a.receive(init_ack, now=0.0)
    assert answer.tag == init_ack.initiate_tag
    abort = answer.chunk(c.Abort)
    assert not abort.tag_reflected
    return abort


def test_init_ack_without_a_cookie() -> None:
    """§5.1, §3.3.10.2: the type that is missing is named."""
    pair = pair_in_state(State.COOKIE_WAIT)
    abort = refusal(pair, replace(GOOD_INIT_ACK, parameters=()))
    assert abort.causes == (MissingMandatoryParameter((7,)),)
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
    assert pair.a.closed.causes == abort.causes


@pytest.mark.parametrize("field", ["outbound_streams", "inbound_streams"])
def test_init_ack_with_zero_streams(field: str) -> None:
    """§3.3.3: the TCB is destroyed, ABORT."""
    pair = pair_in_state(State.COOKIE_WAIT)
    zero: dict[str, Any] = {field: 0}
    abort = refusal(pair, replace(GOOD_INIT_ACK, **zero))
    assert abort.causes == (InvalidMandatoryParameter(),)
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


def test_init_ack_with_too_small_a_window() -> None:
    """§3.3.3: ABORT, but no state may change."""
    pair = pair_in_state(State.COOKIE_WAIT)
    abort = refusal(pair, replace(GOOD_INIT_ACK, a_rwnd=1499))
    assert abort.causes == (InvalidMandatoryParameter(),)
    assert pair.a.state is State.COOKIE_WAIT
    (answer,) = pair.a.receive(replace(GOOD_INIT_ACK, a_rwnd=1500), now=0.0)
    assert answer.names == "COOKIE ECHO"


def test_init_ack_with_tag_0() -> None:
    """§3.3.3: the TCB is destroyed; the ABORT reflects the tag with the T bit."""
    pair = pair_in_state(State.COOKIE_WAIT)
    tag = pair.a.association.local_tag
    (answer,) = pair.a.receive(replace(GOOD_INIT_ACK, initiate_tag=0), now=0.0)
    assert answer.tag == tag
    assert answer.chunk(c.Abort) == c.Abort((InvalidMandatoryParameter(),), tag_reflected=True)
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


def test_host_name_address_in_init() -> None:
    """§3.3.2.1.4, §5.1.2 B, §12.2.4.1."""
    host = HostNameAddress(b"example.com\0")
    answer = answer_to_init(host)
    assert (answer.names, answer.tag) == ("ABORT", GOOD_INIT.initiate_tag)
    assert answer.chunk(c.Abort).causes == (UnresolvableAddress(host.encode()),)


def test_host_name_address_in_init_ack() -> None:
    pair = pair_in_state(State.COOKIE_WAIT)
    host = HostNameAddress(b"example.com\0")
    abort = refusal(pair, replace(GOOD_INIT_ACK, parameters=(StateCookie(b"x"), host)))
    assert abort.causes == (UnresolvableAddress(host.encode()),)
    assert pair.a.closed is not None


@pytest.mark.parametrize("length", [1150, 1190, 60_000])
def test_a_very_long_host_name_is_not_echoed_beyond_the_mtu(length: int) -> None:
    """The cause is optional, the ABORT is not."""
    host = HostNameAddress(bytes(length))
    assert answer_to_init(host).names == "ABORT"
    pair = pair_in_state(State.COOKIE_WAIT)
    refusal(pair, replace(GOOD_INIT_ACK, parameters=(StateCookie(b"x"), host)))


def test_host_name_address_behind_an_unknown_parameter_that_stops() -> None:
    """§3.2.1: it is not processed."""
    host = HostNameAddress(b"example.com\0")
    assert answer_to_init(UnknownParameter(P_STOP, b""), host).names == "INIT ACK"


def test_more_streams_in_init_ack_than_we_accept_are_cut() -> None:
    """§3.3.3 forbids it to the peer; taking the smaller number does no harm."""
    pair = pair_in_state(State.COOKIE_WAIT, inbound_streams=2)
    pair.a.receive(GOOD_INIT_ACK, now=0.0)
    assert pair.a.association.statistics().inbound_streams == 2

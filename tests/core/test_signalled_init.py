"""Associations without a handshake: INIT chunks that were exchanged in signalling (SNAP)."""

from __future__ import annotations

import base64
import math
from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.support.association_pair import Pair, check_association
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    CloseReason,
)
from trio_sctp._core.signalled_init import BadInitError, make_init, read_init
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c, parameters as p

DRAFT_EXAMPLE = base64.b64decode("AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA")


def init_for(pair: Pair, end: str) -> bytes:
    config = (pair.a if end == "A" else pair.z).association.config
    return make_init(config, rng=Random(end))


def joined(**options: object) -> Pair:
    """A pair whose ends have exchanged INITs, with nothing sent so far."""
    pair = Pair(**options)  # type: ignore[arg-type]
    ours, theirs = init_for(pair, "A"), init_for(pair, "Z")
    pair.a.association.connect_with_inits(ours, theirs, now=pair.now)
    pair.z.association.connect_with_inits(theirs, ours, now=pair.now)
    return pair


def test_it_is_up_without_a_packet_and_data_goes_first() -> None:
    pair = joined()
    pair.a.drain(pair.now)
    pair.z.drain(pair.now)
    assert pair.a.take(AssociationUp) == pair.z.take(AssociationUp) == [AssociationUp(65535, 65535)]
    pair.send(b"hello")
    pair.run()
    # A -> DATA -> Z: the very first packet
    assert pair.take_exchange() == ["A -> DATA -> Z", "Z -> SACK -> A"]
    assert pair.z.payloads == [b"hello"]
    pair.z.association.send(7, b"back", now=pair.now)
    pair.run()
    assert pair.a.payloads == [b"back"]
    pair.a.association.shutdown(now=pair.now)
    pair.run()
    assert pair.a.closed == pair.z.closed == AssociationClosed(CloseReason.SHUTDOWN)


def test_what_the_ends_can_do_is_negotiated_as_with_a_handshake() -> None:
    ordinary = Config(outbound_streams=10, inbound_streams=20, interleaving=False)
    other = Config(outbound_streams=15, inbound_streams=5, a_rwnd=100_000, zero_checksum=True)
    pair = Pair(ordinary, config_z=other)
    ours, theirs = init_for(pair, "A"), init_for(pair, "Z")
    pair.a.association.connect_with_inits(ours, theirs, now=0.0)
    pair.z.association.connect_with_inits(theirs, ours, now=0.0)
    reference = Pair(ordinary, config_z=other)
    reference.connect()
    for end, expected in ((pair.a, reference.a), (pair.z, reference.z)):
        assert end.association.capabilities == expected.association.capabilities
        assert end.association.outbound_streams == expected.association.outbound_streams
        assert end.association.statistics().peer_rwnd == expected.association.statistics().peer_rwnd
    assert pair.a.association.outbound_streams == 5


def test_it_makes_no_state_and_starts_no_timer_before() -> None:
    """Draft §6: making an INIT and getting one changes nothing."""
    pair = Pair()
    read_init(init_for(pair, "Z"))
    assert pair.a.state is State.CLOSED
    assert pair.a.association.next_timeout() == math.inf


def test_packets_lost_at_first_are_sent_again() -> None:
    """The other end may not be there yet: what it misses comes again by T3-rtx."""
    pair = joined()
    pair.lose = lambda packet: pair.now < 2.0
    pair.send(b"patience")
    pair.run_until(done=lambda: bool(pair.z.payloads))
    assert pair.now > 2.0


def test_the_example_of_the_draft() -> None:
    init = read_init(DRAFT_EXAMPLE)
    assert (init.initiate_tag, init.a_rwnd, init.initial_tsn) == (
        0x896CDD1D,
        0x00500000,
        0xE079651D,
    )
    association = Association(Config(), rng=Random(0))
    local = make_init(Config(), rng=Random(1))
    association.connect_with_inits(local, DRAFT_EXAMPLE, now=0.0)
    assert association.state is State.ESTABLISHED
    assert association.capabilities.partial_reliability
    assert association.capabilities.reconfiguration
    assert not association.capabilities.interleaving
    check_association(association)


def test_padding_belongs_to_packets_but_is_taken() -> None:
    assert len(DRAFT_EXAMPLE) == 30
    assert read_init(DRAFT_EXAMPLE + bytes(2)) == read_init(DRAFT_EXAMPLE)
    ours = make_init(Config(), rng=Random(0))
    assert len(ours) == int.from_bytes(ours[2:4])


def test_unknown_parameters_are_passed_over() -> None:
    known = c.Init(1, 5000, 1, 1, 9, (p.UnknownParameter(0x8888, b"x"), p.ForwardTsnSupported()))
    stopping = c.Init(1, 5000, 1, 1, 9, (p.UnknownParameter(0x0888, b"x"), p.ForwardTsnSupported()))
    for init, supported in ((known, True), (stopping, False)):  # RFC 9260 §3.2.1: the high bit
        association = Association(Config(interleaving=False), rng=Random(0))
        local = make_init(Config(interleaving=False), rng=Random(1))
        association.connect_with_inits(local, init.encode(), now=0.0)
        assert association.capabilities.partial_reliability is supported
        assert association.packets_to_send(now=0.0) == []


@pytest.mark.parametrize(
    "init, words",
    [
        (b"", "not one INIT"),
        (b"\1", "not one INIT"),
        (bytes(20), "not one INIT"),
        (DRAFT_EXAMPLE[:-1], "not one INIT"),
        (DRAFT_EXAMPLE + bytes(4), "not one INIT"),
        (DRAFT_EXAMPLE + DRAFT_EXAMPLE, "not one INIT"),
        (b"\1\0\0\0" + DRAFT_EXAMPLE[4:], "not one INIT"),
        (b"\1\0\0\x14" + DRAFT_EXAMPLE[4:], "not one INIT"),
        (b"\2" + DRAFT_EXAMPLE[1:], "not one INIT"),
        (DRAFT_EXAMPLE[:20] + b"\xc0\x00\x00\x00" + DRAFT_EXAMPLE[24:], "malformed"),
        (DRAFT_EXAMPLE[:20] + b"\x80\x08\x00\x40" + DRAFT_EXAMPLE[24:], "malformed"),
        (c.Init(0, 5000, 1, 1, 1).encode(), "Initiate Tag"),
        (c.Init(1, 1499, 1, 1, 1).encode(), "mandatory parameter"),
        (c.Init(1, 5000, 0, 1, 1).encode(), "mandatory parameter"),
        (c.Init(1, 5000, 1, 0, 1).encode(), "mandatory parameter"),
        (c.Init(1, 5000, 1, 1, 1, (p.HostNameAddress(b"a\0"),)).encode(), "address"),
    ],
)
def test_an_init_of_which_nothing_can_come(init: bytes, words: str) -> None:
    """It is judged as one from the network, and the association is as new as before."""
    with pytest.raises(BadInitError, match=f"(?i){words}"):
        read_init(init)
    association = Association(Config(), rng=Random(0))
    local = make_init(Config(), rng=Random(1))
    with pytest.raises(BadInitError):
        association.connect_with_inits(local, init, now=0.0)
    assert association.local_tag == 0
    assert not association.ended
    association.connect_with_inits(local, DRAFT_EXAMPLE, now=0.0)
    assert association.state is State.ESTABLISHED


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: DRAFT_EXAMPLE[:20] + tail))
def test_any_bytes_are_an_init_or_an_error(text: bytes) -> None:
    length = len(text).to_bytes(2)
    for chunk in (text, text[:2] + length + text[4:]):
        try:
            init = read_init(chunk)
        except BadInitError:
            continue
        assert init.initiate_tag
        association = Association(Config(), rng=Random(0))
        local = make_init(Config(), rng=Random(1))
        association.connect_with_inits(local, chunk, now=0.0)
        check_association(association)


def test_what_the_caller_does_wrong() -> None:
    config = Config()
    local = make_init(config, rng=Random(0))
    association = Association(config, rng=Random(1))
    for bad in (b"", make_init(Config(a_rwnd=5000), rng=Random(0))):
        with pytest.raises(LocalProtocolError, match="local_init"):
            association.connect_with_inits(bad, DRAFT_EXAMPLE, now=0.0)
    for changes in ({"inbound_streams": 9}, {"interleaving": False}, {"zero_checksum": True}):
        with pytest.raises(LocalProtocolError, match="another configuration"):
            association.connect_with_inits(
                make_init(config.replace(**changes), rng=Random(0)), DRAFT_EXAMPLE, now=0.0
            )
    association.connect_with_inits(local, DRAFT_EXAMPLE, now=0.0)
    for again in range(2):
        with pytest.raises(LocalProtocolError, match="connect_with_inits"):
            association.connect_with_inits(local, DRAFT_EXAMPLE, now=0.0)
        if not again:
            association.abort(now=0.0)


def test_more_streams_in_use_than_the_peer_takes() -> None:
    """RFC 9260 §5.1.1, as after an INIT ACK."""
    config = Config()
    association = Association(config, rng=Random(0))
    association.send(5, b"x", now=0.0)
    peer = c.Init(1, 5000, 1, 1, 9).encode()
    association.connect_with_inits(make_init(config, rng=Random(1)), peer, now=0.0)
    assert association.ended
    event = association.next_event()
    assert isinstance(event, AssociationClosed)
    assert event.reason is CloseReason.LOCAL_ABORT
    check_association(association)


@pytest.mark.parametrize("first", ["data", "INIT"])
def test_an_end_that_knows_nothing_of_it(first: str) -> None:
    """It has said that it does, but sends INIT all the same: the association restarts and works."""
    pair = Pair()
    ours, theirs = init_for(pair, "A"), init_for(pair, "Z")
    pair.a.association.connect_with_inits(ours, theirs, now=pair.now)
    if first == "data":
        pair.send(b"nobody is there")
        pair.pull()
        pair.transit.clear()
    pair.z.association.connect(now=pair.now)
    pair.run_for(5.0)
    assert pair.a.state is pair.z.state is State.ESTABLISHED
    assert pair.a.take(AssociationRestarted)
    pair.a.take(AssociationUp)
    pair.send(b"anew")
    pair.run()
    assert pair.z.payloads == [b"anew"]


def test_an_end_may_begin_later_than_the_other() -> None:
    """What the first one sends waits where packets wait: both are up only when DTLS is, at both."""
    pair = Pair()
    ours, theirs = init_for(pair, "A"), init_for(pair, "Z")
    pair.a.association.connect_with_inits(ours, theirs, now=pair.now)
    pair.send(b"early")
    assert [packet.names for packet in pair.pull()] == ["DATA"]
    pair.z.association.connect_with_inits(theirs, ours, now=pair.now)
    pair.run()
    assert pair.z.payloads == [b"early"]
    assert pair.a.state is State.ESTABLISHED

from __future__ import annotations

from random import Random

import pytest

from tests.webrtc.ice_support import Network, check
from trio_sctp._webrtc.ice import IceAgent
from trio_sctp._webrtc.ice_candidate import IceCredentials
from trio_sctp._webrtc.ice_check import peek_local_ufrag
from trio_sctp._webrtc.ice_common import IceFailed, IceFailureReason, PairSelected
from trio_sctp._webrtc.ice_lite import IceLiteAgent
from trio_sctp._webrtc.stun import (
    Address,
    Attribute,
    MessageClass,
    StunMessage,
    encode_message,
)

HERE: Address = ("192.0.2.1", 5000)
PEER: Address = ("198.51.100.7", 40000)
ELSEWHERE: Address = ("198.51.100.8", 50000)
MINE = IceCredentials.generate(Random(1))


def make_agent() -> IceLiteAgent:
    return IceLiteAgent(HERE, MINE, now=0.0)


def only_response(agent: IceLiteAgent, target: Address = PEER) -> StunMessage:
    ((data, to),) = agent.datagrams_to_send()
    assert to == target
    return StunMessage.decode(data)


def test_checks_are_answered_with_integrity() -> None:
    # peer -> Binding request -> us
    # peer <- success, XOR-MAPPED-ADDRESS <- us
    agent = make_agent()
    assert agent.receive_datagram(check(MINE, transaction_id=bytes(range(12))), PEER, now=1.0)
    response = only_response(agent)
    assert response.message_class is MessageClass.SUCCESS
    assert response.transaction_id == bytes(range(12))
    assert response.mapped_address == PEER
    assert response.verify_integrity(MINE.password.encode())
    assert Attribute.FINGERPRINT in response.attributes
    assert agent.is_verified(PEER)
    assert agent.send_address == PEER
    assert agent.selected is None
    assert agent.next_event() is None


def test_sha256_is_answered_with_sha256() -> None:
    request = encode_message(
        MessageClass.REQUEST,
        bytes(12),
        [(Attribute.USERNAME, f"{MINE.ufrag}:x".encode()), (Attribute.PRIORITY, bytes(4))],
        key=MINE.password.encode(),
        sha256=True,
    )
    agent = make_agent()
    assert agent.receive_datagram(request, PEER, now=1.0)
    response = only_response(agent)
    assert response.integrity_is_sha256
    assert response.verify_integrity(MINE.password.encode())


def test_nomination_selects_and_the_peer_may_move() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.0)
    assert agent.next_event() == PairSelected(HERE, PEER)
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=2.0)
    assert agent.next_event() is None
    # It moves, to a pair of lower priority.
    agent.receive_datagram(check(MINE, nominate=True, priority=1000), ELSEWHERE, now=20.0)
    assert agent.next_event() == PairSelected(HERE, ELSEWHERE)
    assert agent.send_address == ELSEWHERE
    assert agent.is_verified(PEER)


def test_several_nominations_at_once_end_at_the_best() -> None:
    # An agent of RFC 5245 nominates whatever works and means the one of the highest priority.
    agent = make_agent()
    for source, priority in ((PEER, 100), (ELSEWHERE, 200), (PEER, 100), (ELSEWHERE, 200)):
        agent.receive_datagram(
            check(MINE, nominate=True, priority=priority), source, now=1.0 + priority / 1000
        )
    events = list(iter(agent.next_event, None))
    assert events == [PairSelected(HERE, PEER), PairSelected(HERE, ELSEWHERE)]


def test_two_nominations_in_a_row_move_the_peer_at_once() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.0)
    agent.receive_datagram(check(MINE, nominate=True, priority=9), ELSEWHERE, now=1.1)
    assert agent.selected == PEER
    agent.receive_datagram(check(MINE, nominate=True, priority=9), ELSEWHERE, now=1.2)
    assert agent.selected == ELSEWHERE


@pytest.mark.parametrize(
    "request_bytes, code",
    [
        (check(MINE, password="another password, just as long"), 401),
        (check(IceCredentials("other", MINE.password)), 401),
        (encode_message(MessageClass.REQUEST, bytes(12)), None),  # too short to be answered
        (encode_message(MessageClass.REQUEST, bytes(12), [(Attribute.SOFTWARE, bytes(40))]), 400),
        (
            encode_message(
                MessageClass.REQUEST,
                bytes(12),
                [(Attribute.USERNAME, f"{MINE.ufrag}:x".encode()), (Attribute.SOFTWARE, bytes(20))],
            ),
            400,
        ),
        (
            encode_message(
                MessageClass.REQUEST,
                bytes(12),
                [(Attribute.USERNAME, MINE.ufrag.encode()), (Attribute.PRIORITY, bytes(4))],
                key=MINE.password.encode(),
            ),
            401,
        ),
    ],
    ids=["password", "ufrag", "bare", "no username", "no integrity", "no colon"],
)
def test_strangers_are_refused_and_never_get_more_than_they_sent(
    request_bytes: bytes, code: int | None
) -> None:
    agent = make_agent()
    assert not agent.receive_datagram(request_bytes, PEER, now=1.0)
    assert not agent.is_verified(PEER)
    datagrams = agent.datagrams_to_send()
    assert sum(len(data) for data, _ in datagrams) <= len(request_bytes)
    if code is None:
        assert datagrams == []
    else:
        response = StunMessage.decode(datagrams[0][0])
        assert response.error_code == code
        assert not response.has_integrity  # RFC 8489 §9.1.3


def test_unknown_required_attribute_is_420() -> None:
    agent = make_agent()
    request = check(MINE, extra=((0x7001, b"x"), (0x7002, b""), (0xC057, b"\0\0\0\1")))
    assert not agent.receive_datagram(request, PEER, now=1.0)
    response = only_response(agent)
    assert response.error_code == 420
    assert response.attributes[Attribute.UNKNOWN_ATTRIBUTES] == b"\x70\x01\x70\x02"
    assert response.verify_integrity(MINE.password.encode())
    assert not agent.is_verified(PEER)


def test_chromiums_optional_attribute_is_fine() -> None:
    agent = make_agent()
    assert agent.receive_datagram(check(MINE, extra=((0xC057, b"\0\0\0\1"),)), PEER, now=1.0)


def test_request_without_priority_is_400() -> None:
    agent = make_agent()
    assert not agent.receive_datagram(check(MINE, priority=None), PEER, now=1.0)
    assert only_response(agent).error_code == 400


def test_controlled_peer_has_to_take_the_other_role() -> None:
    agent = make_agent()
    assert not agent.receive_datagram(check(MINE, role=Attribute.ICE_CONTROLLED), PEER, now=1.0)
    response = only_response(agent)
    assert response.error_code == 487
    assert response.verify_integrity(MINE.password.encode())


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x16\xfe\xfd" + bytes(30),
        encode_message(MessageClass.INDICATION, bytes(12)),
        encode_message(MessageClass.SUCCESS, bytes(12)),
        encode_message(MessageClass.REQUEST, bytes(12), method=3),
        check(MINE)[:-1],
    ],
    ids=["empty", "dtls", "indication", "response", "allocate", "cut"],
)
def test_what_is_no_check_is_not_answered(datagram: bytes) -> None:
    agent = make_agent()
    assert not agent.receive_datagram(datagram, PEER, now=1.0)
    assert agent.datagrams_to_send() == []


def test_replayed_check_teaches_nothing_that_was_not_so() -> None:
    # Who replays a check from another address gets an answer there that nobody can use: the real
    # peer's address stays selected.
    agent = make_agent()
    request = check(MINE, nominate=True)
    agent.receive_datagram(request, PEER, now=1.0)
    agent.next_event()
    agent.receive_datagram(request, ELSEWHERE, now=1.1)
    assert agent.selected == PEER
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.2)
    agent.receive_datagram(request, ELSEWHERE, now=1.3)
    assert agent.selected == PEER
    # Later, when the peer might really have moved, the same.
    for now in (10.0, 10.1, 20.0):
        agent.receive_datagram(request, ELSEWHERE, now=now)
        assert agent.selected == PEER


def test_peer_that_stops_asking_is_gone() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.0)
    agent.next_event()
    agent.receive_datagram(check(MINE), PEER, now=6.0)
    agent.handle_timeout(now=31.5)
    assert agent.next_event() is None
    assert agent.next_timeout() == 36.0
    agent.handle_timeout(now=36.0)
    assert agent.next_event() == IceFailed(IceFailureReason.CONSENT_LOST)
    assert agent.failed
    assert agent.next_timeout() == float("inf")
    assert not agent.receive_datagram(check(MINE), PEER, now=37.0)


def test_nobody_comes() -> None:
    agent = make_agent()
    agent.handle_timeout(now=39.0)
    agent.handle_timeout(now=39.5)
    assert agent.next_event() == IceFailed(IceFailureReason.NO_PAIR)


def test_forged_checks_do_not_keep_a_peer_alive() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE), PEER, now=1.0)
    for second in range(2, 40):
        agent.receive_datagram(check(MINE, password="x" * 24), PEER, now=second)
    agent.handle_timeout(now=40.0)
    assert agent.failed


def test_restart_goes_on_at_the_old_address_until_nominated() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.0)
    agent.next_event()
    fresh = IceCredentials.generate(Random(2))
    agent.restart(fresh, now=5.0)
    assert agent.selected == PEER
    assert agent.receive_datagram(check(MINE), PEER, now=6.0)  # the peer has not heard of it yet
    assert agent.receive_datagram(check(fresh), ELSEWHERE, now=7.0)
    assert agent.selected == PEER
    assert not agent.receive_datagram(check(MINE), PEER, now=8.0)
    agent.receive_datagram(check(fresh, nominate=True), ELSEWHERE, now=9.0)
    assert agent.next_event() == PairSelected(HERE, ELSEWHERE)


def test_restarts_that_nobody_answers() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.0)
    for seed in (2, 3, 4):
        fresh = IceCredentials.generate(Random(seed))
        agent.restart(fresh, now=5.0)
        assert agent.ufrags == [fresh.ufrag, MINE.ufrag]
        assert agent.receive_datagram(check(MINE), PEER, now=6.0)
    assert agent.receive_datagram(check(fresh), PEER, now=7.0)
    assert agent.ufrags == [fresh.ufrag]


def test_many_addresses_of_a_peer_are_bounded() -> None:
    agent = make_agent()
    agent.receive_datagram(check(MINE, nominate=True), PEER, now=1.0)
    for port in range(1, 500):
        agent.receive_datagram(check(MINE), ("198.51.100.9", port), now=1.0 + port)
    assert len(agent._verified) <= 32
    assert agent.is_verified(PEER)


def test_ufrag_is_found_without_an_agent() -> None:
    assert peek_local_ufrag(check(MINE)) == MINE.ufrag
    for datagram in (b"", check(MINE)[:-4], encode_message(MessageClass.SUCCESS, bytes(12))):
        assert peek_local_ufrag(datagram) is None
    no_colon = encode_message(MessageClass.REQUEST, bytes(12), [(Attribute.USERNAME, b"abc")])
    assert peek_local_ufrag(no_colon) is None


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_full_agent_with_a_lite_one(loss: float) -> None:
    network = Network(loss=loss, seed=4)
    # Both believe to be controlled: towards a lite agent the full one always controls.
    browser = network.full(PEER, controlling=False)
    server = network.lite(HERE)
    network.introduce(browser, server)
    network.run_until_settled()
    assert isinstance(browser.agent, IceAgent)
    assert browser.agent.controlling
    assert browser.selected == [PairSelected(PEER, HERE)]
    assert server.selected == [PairSelected(HERE, PEER)]
    network.run(120)
    assert not browser.agent.failed
    assert not server.agent.failed

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from tests.webrtc.ice_support import STUN_SERVER, Nat, Network, Node, check
from trio_sctp._webrtc.ice import IceAgent
from trio_sctp._webrtc.ice_candidate import Candidate, IceCredentials
from trio_sctp._webrtc.ice_common import (
    GatheringComplete,
    IceConfig,
    IceFailed,
    IceFailureReason,
    LocalCandidate,
    PairSelected,
)
from trio_sctp._webrtc.stun import (
    Address,
    Attribute,
    MessageClass,
    StunMessage,
    encode_message,
    encode_xor_address,
)

A: Address = ("192.0.2.10", 1000)
Z: Address = ("198.51.100.20", 2000)
INSIDE_A: Address = ("10.0.0.5", 5000)
INSIDE_Z: Address = ("192.168.1.7", 7000)
PASSWORD = "x" * 24


def agent_of(node: Node) -> IceAgent:
    assert isinstance(node.agent, IceAgent)
    return node.agent


def pair(network: Network) -> tuple[Node, Node]:
    a = network.full(A, controlling=True)
    z = network.full(Z, controlling=False)
    network.introduce(a, z)
    return a, z


def assert_agreed(a: Node, z: Node) -> None:
    """Each sends to where the other receives, as far as NATs let one see it."""
    assert a.selected
    assert z.selected
    if a.nat is None and z.nat is None:
        assert a.selected[-1].local == z.selected[-1].remote
        assert a.selected[-1].remote == z.selected[-1].local


# -- finding each other ------------------------------------------------------------------------


def test_two_hosts() -> None:
    # A -> check -> Z, Z -> triggered check -> A, A -> check with USE-CANDIDATE -> Z
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    assert a.selected == [PairSelected(A, Z)]
    assert z.selected == [PairSelected(Z, A)]
    assert network.now < 0.3
    assert agent_of(a).selected == (A, Z) == agent_of(a).send_path
    assert agent_of(a).is_verified(A, Z)
    assert not agent_of(a).is_verified(A, ("198.51.100.99", 1))
    network.run(300)
    assert not a.agent.failed
    assert not z.agent.failed
    assert len(a.selected) == len(z.selected) == 1


@pytest.mark.parametrize("trickle", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_behind_nats(trickle: bool, symmetric: bool) -> None:
    network = Network()
    a = network.full(
        INSIDE_A, controlling=True, nat=Nat("192.0.2.1", symmetric=symmetric), stun=True
    )
    z = network.full(INSIDE_Z, controlling=False, nat=Nat("198.51.100.1"), stun=True)
    if not trickle:
        network.gather()
    network.introduce(a, z, trickle=trickle)
    network.run_until_settled()
    if symmetric:
        # One symmetric NAT in front of a port-restricted one: there is no way without a relay.
        assert a.events[-1] == IceFailed(IceFailureReason.NO_PAIR)
        assert z.agent.failed
        assert network.now > 39.5  # RFC 8863
    else:
        assert_agreed(a, z)
        assert a.selected[0].remote[0] == "198.51.100.1"
        assert network.now < 3.0


def test_symmetric_nat_towards_a_public_host() -> None:
    network = Network()
    a = network.full(INSIDE_A, controlling=True, nat=Nat("192.0.2.1", symmetric=True))
    z = network.full(Z, controlling=False)
    network.introduce(a, z)
    network.run_until_settled()
    assert_agreed(a, z)
    assert z.selected[0].remote[0] == "192.0.2.1"  # peer-reflexive


def test_server_reflexive_candidates_are_reported() -> None:
    network = Network()
    a = network.full(INSIDE_A, controlling=True, nat=Nat("192.0.2.1"), stun=True)
    network.gather()
    candidates = [e.candidate for e in a.events if isinstance(e, LocalCandidate)]
    assert [c.kind for c in candidates] == ["host", "srflx"]
    assert candidates[1].address == ("192.0.2.1", 40000)
    assert (candidates[1].related_host, candidates[1].related_port) == INSIDE_A
    assert candidates[0].priority > candidates[1].priority
    assert a.events[-1] == GatheringComplete()
    assert agent_of(a).gathering_complete
    assert agent_of(a).local_candidates == candidates


def test_silent_stun_server_delays_only_the_end_of_gathering() -> None:
    network = Network()
    network.blocked.add(STUN_SERVER)
    network.full(A, controlling=True, stun=True)
    network.gather()
    assert network.now == 5.0
    assert sum(target == STUN_SERVER for _, target, _ in network.carried) == 4


def test_no_servers_no_delay() -> None:
    network = Network()
    a = network.full(A, ("2001:db8::1", 5), controlling=True)
    network.gather()
    assert network.now == 0.0
    assert len(a.events) == 3
    agent_of(a).add_host(A, now=0.0)  # known
    agent_of(a).add_stun_server(("2001:db8::9", 3478), now=0.0)
    agent_of(a).add_stun_server(("2001:db8::9", 3478), now=0.0)
    agent_of(a).handle_timeout(now=0.0)
    assert [d.local for d in agent_of(a).datagrams_to_send()] == [("2001:db8::1", 5)]


def test_best_of_several_pairs_wins() -> None:
    network = Network()
    v6_a, v6_z = ("2001:db8::a", 1), ("2001:db8::b", 2)
    a = network.full(v6_a, A, ("192.0.2.11", 1001), controlling=True)
    z = network.full(v6_z, Z, ("fe80::1", 9), controlling=False)
    network.introduce(a, z)
    network.run_until_settled()
    assert_agreed(a, z)
    assert a.selected[-1] == PairSelected(v6_a, v6_z)


def test_blocked_best_pair_gives_way() -> None:
    network = Network()
    first: Address = ("192.0.2.9", 9)
    a = network.full(first, A, controlling=True)
    z = network.full(Z, controlling=False)
    network.blocked.add(first)
    network.introduce(a, z)
    network.run_until_settled()
    assert_agreed(a, z)
    assert a.selected == [PairSelected(A, Z)]
    assert network.now < 1.0


def test_more_candidates_than_pairs() -> None:
    # RFC 8445 §6.1.2.5: the best hundred are kept.
    agent = agent_of(Network().full(A, ("192.0.2.11", 1), controlling=True))
    agent.set_remote(IceCredentials.generate(Random(3)), now=0.0)
    for n in range(90):
        candidate = Candidate("f", 1, "udp", 1000 + n, "198.51.100.30", 1 + n, "host")
        agent.add_remote_candidate(candidate, now=0.0)
    assert len(agent.checklist.pairs) == 100
    agent.handle_timeout(now=0.0)
    assert [d.remote[1] for d in agent.datagrams_to_send()] == [90]


def test_pairs_of_one_foundation_wait_for_each_other() -> None:
    # RFC 8445 §6.1.2.6, RFC 8838 §10: the second is checked when the first has ended.
    config = IceConfig(initial_rto=0.1, max_transmissions=1)
    network = Network()
    agent = agent_of(network.full(A, controlling=True, config=config))
    agent.set_remote(IceCredentials.generate(Random(3)), now=0.0)
    for port in (1, 2):
        candidate = Candidate("same", 1, "udp", 1000 - port, Z[0], port, "host")
        agent.add_remote_candidate(candidate, now=0.0)
    network.run(0.09)
    assert [target[1] for _, target, _ in network.carried] == [1]
    network.run(1.0)
    assert [target[1] for _, target, _ in network.carried] == [1, 2]


def test_candidate_that_was_found_before_it_was_signalled() -> None:
    network = Network()
    a, z = pair(network)
    agent = agent_of(a)
    agent.receive_datagram(
        check(agent.credentials, role=Attribute.ICE_CONTROLLED),
        local=A,
        remote=("203.0.113.5", 5),
        now=0.0,
    )
    signalled = Candidate.make("host", ("203.0.113.5", 5), base=Z)
    for _ in range(2):
        agent.add_remote_candidate(signalled, now=0.0)
    assert agent.remote_candidates[signalled.address] is signalled
    network.run_until_settled()
    assert_agreed(a, z)


def test_checks_of_the_peer_before_its_description_are_bounded() -> None:
    agent = agent_of(Network().full(A, controlling=True))
    for port in range(1, 100):
        agent.receive_datagram(
            check(agent.credentials, role=Attribute.ICE_CONTROLLED),
            local=A,
            remote=("203.0.113.5", port),
            now=0.0,
        )
    assert len(agent.datagrams_to_send()) == 99  # RFC 8445 §7.3: each is answered at once
    agent.set_remote(IceCredentials.generate(Random(3)), now=0.0)
    assert len(agent.checklist.pairs) == 16


def test_checks_before_the_answer_are_not_lost() -> None:
    # The answerer begins as soon as it answers; its checks arrive before its answer.
    network = Network()
    a = network.full(A, controlling=True)
    z = network.full(Z, controlling=False)
    agent_of(z).set_remote(a.agent.credentials, now=0.0)
    agent_of(z).add_remote_candidate(Candidate.make("host", A, base=A), now=0.0)
    network.run(0.4)
    assert not a.selected
    agent_of(a).set_remote(z.agent.credentials, now=network.now)  # without any candidate
    network.run_until_settled()
    assert_agreed(a, z)


def test_candidates_that_cannot_be_checked_are_ignored() -> None:
    network = Network()
    a = network.full(A, controlling=True)
    for text in (
        "candidate:1 1 udp 2122260223 9f2bd3e5-d2ac-4b6f-8b29-5d1c8b0f6bcd.local 52351 typ host",
        "candidate:2 1 tcp 1518280447 192.0.2.3 9 typ host tcptype active",
        "candidate:3 2 udp 2122260222 192.0.2.3 52352 typ host",
        "candidate:3 1 udp 2122260222 192.0.2.3 0 typ host",
    ):
        agent_of(a).add_remote_candidate(Candidate.parse(text), now=0.0)
    assert list(agent_of(a).remote_candidates) == []
    for port in range(1, 300):
        candidate = Candidate.make("host", ("198.51.100.30", port), base=Z)
        agent_of(a).add_remote_candidate(candidate, now=0.0)
    assert len(list(agent_of(a).remote_candidates)) == 100
    assert len(agent_of(a).checklist.pairs) <= 100
    for host in ("224.0.0.1", "0.0.0.0"):
        before = len(agent_of(a).checklist.pairs)
        agent_of(a).add_remote_candidate(Candidate.make("host", (host, 5), base=Z), now=0.0)
        assert len(agent_of(a).checklist.pairs) <= before


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_role_conflicts_are_solved(both: bool, loss: float) -> None:
    for seed in range(6):
        network = Network(loss=loss, seed=seed)
        a = network.full(A, controlling=both, seed=10 + seed)
        z = network.full(Z, controlling=both, seed=50 + seed)
        network.introduce(a, z)
        network.run_until_settled()
        if not a.agent.failed:
            assert_agreed(a, z)
        assert agent_of(a).controlling is not agent_of(z).controlling


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3, 0.5])
def test_lossy_links_end_in_one_way_or_the_other(loss: float) -> None:
    agreed = 0
    tries = 40
    for seed in range(tries):
        network = Network(loss=loss, seed=seed)
        a, z = pair(network)
        network.run_until_settled()
        assert network.now < 120.0
        for node in (a, z):
            assert node.selected or node.events[-1] == IceFailed(IceFailureReason.NO_PAIR)
        if a.selected and z.selected:
            assert_agreed(a, z)
            agreed += 1
    assert agreed == tries if loss <= 0.1 else agreed > tries * 0.8


def test_nobody_there() -> None:
    network = Network()
    a = network.full(A, controlling=True)
    agent_of(a).set_remote(IceCredentials.generate(Random(3)), now=0.0)
    agent_of(a).add_remote_candidate(Candidate.make("host", Z, base=Z), now=0.0)
    times = []
    while not agent_of(a).failed:
        carried = len(network.carried)
        assert network.step()
        times += [network.now] * (len(network.carried) - carried)
    assert a.events[-1] == IceFailed(IceFailureReason.NO_PAIR)
    assert 39.4 < network.now < 45.0
    assert len(times) == 18
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[:4] == pytest.approx([0.5, 1.0, 2.0, 2.0])
    assert max(gaps) == pytest.approx(2.0)
    assert agent_of(a).send_path is None
    assert agent_of(a).next_timeout() == float("inf")
    agent_of(a).handle_timeout(now=99.0)
    # Nobody at all: not a single candidate.
    empty = network.full(("192.0.2.77", 1), controlling=True)
    agent_of(empty).set_remote(IceCredentials.generate(Random(3)), now=network.now)
    network.run(60.0)
    assert empty.agent.failed


# -- afterwards --------------------------------------------------------------------------------


def test_consent_is_asked_about_every_five_seconds_and_its_loss_ends_it() -> None:
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    before = len(network.carried)
    network.run(50.0)
    requests = [d for s, _, d in network.carried[before:] if s == A and d[:2] == b"\x00\x01"]
    assert 8 <= len(requests) <= 13
    assert len({data[8:20] for data in requests}) == len(requests)
    network.blocked.add(Z)
    network.run(60.0)
    for node in (a, z):
        assert node.events[-1] == IceFailed(IceFailureReason.CONSENT_LOST)
    assert agent_of(a).selected is None


def test_consent_may_be_revoked() -> None:
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    network.where.pop(Z)
    before = len(network.carried)
    while len(network.carried) == before or network.carried[-1][0] != A:
        network.step()
    request = StunMessage.decode(network.carried[-1][2])
    refusal = encode_message(
        MessageClass.ERROR,
        request.transaction_id,
        [(Attribute.ERROR_CODE, b"\0\0\x04\x03no")],
        key=z.agent.credentials.password.encode(),
    )
    agent_of(a).receive_datagram(refusal, local=A, remote=Z, now=network.now)
    agent_of(a).handle_timeout(now=network.now)
    assert agent_of(a).next_event() == IceFailed(IceFailureReason.CONSENT_LOST)


def test_peer_behind_a_nat_that_forgets_is_found_again() -> None:
    # The controlled peer's NAT gives it another address; its consent checks show us which.
    network = Network()
    nat = Nat("198.51.100.1")
    a = network.full(A, controlling=True)
    z = network.full(INSIDE_Z, controlling=False, nat=nat)
    network.introduce(a, z)
    network.run_until_settled()
    network.run(10.0)
    nat.rebind()
    network.run(60.0)
    assert len(a.selected) == 2
    assert a.selected[0].remote != a.selected[1].remote
    network.run(60.0)
    assert not a.agent.failed
    assert not z.agent.failed


def test_controlling_side_moves_to_another_pair_when_the_selected_one_dies() -> None:
    network = Network()
    second: Address = ("192.0.2.11", 1001)
    a = network.full(A, second, controlling=True)
    z = network.full(Z, controlling=False)
    network.introduce(a, z)
    network.run(3.0)
    assert a.selected[-1].local == A
    network.run(10.0)
    network.blocked.add(A)
    # after two consent checks without an answer
    network.run(15.0)
    assert a.selected[1:] == [PairSelected(second, Z)]
    assert z.selected[1:] == [PairSelected(Z, second)]
    network.run(60.0)
    assert not a.agent.failed
    assert not z.agent.failed


def test_where_no_other_pair_works_the_checks_go_on_and_end() -> None:
    network = Network()
    a = network.full(A, ("192.0.2.11", 1001), controlling=True)
    z = network.full(Z, controlling=False)
    network.introduce(a, z)
    network.run(3.0)
    network.blocked.add(Z)
    network.carried.clear()
    network.run(60.0)
    assert a.events[-1] == IceFailed(IceFailureReason.CONSENT_LOST)
    assert z.events[-1] == IceFailed(IceFailureReason.CONSENT_LOST)
    assert len(network.carried) < 60


@pytest.mark.parametrize("moved", [False, True])
def test_restart(moved: bool) -> None:
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    if moved:
        fresh: Address = ("192.0.2.55", 555)
        agent_of(a).add_host(fresh, now=network.now)
        network.where[fresh] = a
        network.blocked.add(A)
    for node, seed in ((a, 91), (z, 92)):
        agent_of(node).restart(IceCredentials.generate(Random(seed)), now=network.now)
        assert agent_of(node).selected is not None  # packets still flow
    if not moved:
        network.run(40.0)  # the signalling takes its time: the old session keeps its consent
        assert agent_of(a).selected == (A, Z)
    for candidate in agent_of(z).local_candidates:  # before its credentials
        agent_of(a).add_remote_candidate(candidate, now=network.now)
    network.introduce(a, z)
    network.run(2.0)
    if moved:
        assert a.selected[-1] == PairSelected(("192.0.2.55", 555), Z)
        assert z.selected[-1] == PairSelected(Z, ("192.0.2.55", 555))
    else:
        assert len(a.selected) == len(z.selected) == 1
    network.run(100.0)
    assert not a.agent.failed
    assert not z.agent.failed


def test_restarts_that_nobody_answers() -> None:
    """The second one forgot what the peer's checks for consent are made of, and it gave us up."""
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    first = agent_of(a).credentials.ufrag
    for seed in (91, 92, 93):
        agent_of(a).restart(IceCredentials.generate(Random(seed)), now=network.now)
        assert agent_of(a).ufrags == [agent_of(a).credentials.ufrag, first]
        network.run(40.0)
    assert agent_of(a).selected == (A, Z)
    assert agent_of(z).selected == (Z, A)
    agent_of(z).restart(IceCredentials.generate(Random(94)), now=network.now)
    network.introduce(a, z)
    network.run(100.0)
    assert agent_of(a).selected == (A, Z)
    assert agent_of(z).selected == (Z, A)
    assert agent_of(a).ufrags == [agent_of(a).credentials.ufrag]


def test_restart_before_a_pair_was_selected() -> None:
    """Nothing could be sent until the answer came, although a pair worked."""
    network = Network()
    a, z = pair(network)
    agent = agent_of(a)
    while agent.send_path is None:
        network.run(0.001)
    assert agent_of(a).selected is None
    agent.restart(IceCredentials.generate(Random(91)), now=network.now)
    assert agent.send_path == agent_of(a).selected == (A, Z)
    network.run(60.0)  # the signalling takes its time: the peer is asked and asks meanwhile
    assert agent.send_path == (A, Z)
    assert agent_of(z).send_path == (Z, A)
    agent_of(z).restart(IceCredentials.generate(Random(92)), now=network.now)
    network.introduce(a, z)
    network.run(100.0)
    assert agent.selected == (A, Z)
    assert agent_of(z).selected == (Z, A)


def test_restart_after_failure() -> None:
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    network.blocked.add(Z)
    network.run(100.0)
    assert a.agent.failed
    network.blocked.clear()
    for node, seed in ((a, 91), (z, 92)):
        node.events.clear()
        agent_of(node).restart(IceCredentials.generate(Random(seed)), now=network.now)
    network.introduce(a, z)
    network.run_until_settled()
    assert_agreed(a, z)


# -- attacks -----------------------------------------------------------------------------------


def test_wrong_password_never_connects() -> None:
    network = Network()
    a = network.full(A, controlling=True)
    z = network.full(Z, controlling=False)
    for node, peer in ((a, z), (z, a)):
        wrong = IceCredentials(peer.agent.credentials.ufrag, PASSWORD)
        agent_of(node).set_remote(wrong, now=0.0)
        address = next(address for address, n in network.where.items() if n is peer)
        agent_of(node).add_remote_candidate(Candidate.make("host", address, base=address), now=0.0)
    network.run_until_settled()
    for node, address in ((a, A), (z, Z)):
        assert node.events[-1] == IceFailed(IceFailureReason.NO_PAIR)
        assert not agent_of(node).verified
        sent = [StunMessage.decode(data) for s, _, data in network.carried if s == address]
        assert [m.error_code for m in sent if m.error_code is not None] == [401] * 18


def forged_responses(request: StunMessage, source: Address) -> list[bytes]:
    mapped = (Attribute.XOR_MAPPED_ADDRESS, encode_xor_address(source, request.transaction_id))
    conflict = (Attribute.ERROR_CODE, b"\0\0\x04\x57")
    return [
        encode_message(kind, request.transaction_id, [attribute], key=key)
        for kind, attribute in ((MessageClass.SUCCESS, mapped), (MessageClass.ERROR, conflict))
        for key in (None, PASSWORD.encode(), request.transaction_id)
    ]


def test_forged_responses_have_no_effect() -> None:
    network = Network()
    a, z = pair(network)
    forged = 0
    network.collect()
    while not (a.selected and z.selected):
        for source, target, data in network.carried[forged:]:
            if data[:2] == b"\x00\x01":
                request = StunMessage.decode(data)
                for response in forged_responses(request, source):
                    assert not agent_of(network.where[source]).receive_datagram(
                        response, local=source, remote=target, now=network.now
                    )
        forged = len(network.carried)
        assert network.step()
    assert_agreed(a, z)
    assert agent_of(a).controlling
    assert not agent_of(z).controlling


def test_response_from_elsewhere_fails_the_pair() -> None:
    # RFC 8445 §7.2.5.2.1
    network = Network()
    a = network.full(A, controlling=True)
    secret = IceCredentials.generate(Random(9))
    agent_of(a).set_remote(secret, now=0.0)
    agent_of(a).add_remote_candidate(Candidate.make("host", Z, base=Z), now=0.0)
    agent_of(a).handle_timeout(now=0.0)
    (datagram,) = agent_of(a).datagrams_to_send()
    request = StunMessage.decode(datagram.data)
    mapped = (Attribute.XOR_MAPPED_ADDRESS, encode_xor_address(A, request.transaction_id))
    response = encode_message(
        MessageClass.SUCCESS, request.transaction_id, [mapped], key=secret.password.encode()
    )
    agent_of(a).receive_datagram(response, local=A, remote=("203.0.113.9", 1), now=0.1)
    assert agent_of(a).send_path is None


def test_replayed_and_foreign_messages_change_nothing() -> None:
    network = Network()
    a, z = pair(network)
    network.run_until_settled()
    seen = list(network.carried)
    for _, target, data in seen:
        agent = agent_of(network.where[target])
        agent.receive_datagram(data, local=target, remote=("203.0.113.66", 6), now=network.now)
        agent.receive_datagram(data, local=("192.0.2.200", 1), remote=Z, now=network.now)
    network.run(30.0)
    assert len(a.selected) == len(z.selected) == 1
    assert not a.agent.failed


def test_flood_of_checks_from_everywhere_keeps_little() -> None:
    network = Network()
    a, _z = pair(network)
    network.run_until_settled()
    agent, rng = agent_of(a), Random(4)
    sent = received = 0
    for _ in range(2000):
        source = (f"203.0.113.{rng.randrange(256)}", rng.randrange(1, 65536))
        forged = check(agent.credentials, password=PASSWORD, nominate=True)
        sent += len(forged)
        agent.receive_datagram(forged, local=A, remote=source, now=network.now)
        received += sum(len(d.data) for d in agent.datagrams_to_send())
    assert received <= sent
    assert len(agent.checklist.pairs) == 1
    assert agent.selected == (A, Z)
    # And from a peer that knows the password and goes mad:
    for port in range(1, 2000):
        agent.receive_datagram(
            check(agent.credentials, role=Attribute.ICE_CONTROLLED),
            local=A,
            remote=("203.0.113.5", port),
            now=network.now,
        )
    assert len(agent.checklist.pairs) <= 100
    assert len(agent.verified) <= 100
    network.run(5.0)
    assert agent.selected == (A, Z)


@given(st.binary(max_size=60), st.integers(0, 3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_bytes(data: bytes, kind: int, framed: bool) -> None:
    network = Network()
    a, _ = pair(network)
    if framed:
        data = (
            bytes((kind >> 1, 1 | (kind & 1) << 4))
            + len(data).to_bytes(2, "big")
            + (b"\x21\x12\xa4\x42" + bytes(12) + data)
        )
    assert not agent_of(a).receive_datagram(data, local=A, remote=Z, now=0.0)


# -- candidates as text ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        (
            "candidate:842163049 1 udp 1677729535 203.0.113.7 61665 typ srflx raddr 10.0.0.5"
            " rport 61665 generation 0 ufrag 4ZcD network-cost 999"
        ),
        "candidate:0 1 UDP 2122252543 192.0.2.3 52351 typ host",
        "candidate:2 1 TCP 2105524479 192.0.2.3 9 typ host tcptype active",
        "candidate:3 1 udp 5 9f2bd3e5-d2ac.local 52351 typ host",
        "candidate:3 1 udp 5 2001:db8::7 52351 typ relay raddr 0.0.0.0 rport 0",
    ],
)
def test_candidate_round_trip(text: str) -> None:
    candidate = Candidate.parse(text)
    assert Candidate.parse("a=" + str(candidate)) == candidate
    assert "generation" not in str(candidate)


def test_candidate_addresses_are_normalised() -> None:
    candidate = Candidate.parse("candidate:3 1 udp 5 2001:DB8:0:0::7 5 typ host")
    assert candidate.host == "2001:db8::7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "candidate:1 1 udp 5 192.0.2.3 5 typ",
        "candidate:1 1 udp 5 192.0.2.3 5 kind host",
        "candidate:1 1 udp 5 192.0.2.3 5 typ strange",
        "candidate:1 x udp 5 192.0.2.3 5 typ host",
        "candidate:1 1 udp 99999999999 192.0.2.3 5 typ host",
        "candidate:1 1 udp 4294967296 192.0.2.3 5 typ host",
        "candidate:1 1 udp -5 192.0.2.3 5 typ host",
        "candidate:1 1 udp 5 192.0.2.3 65536 typ host",
        "candidate:1 1 udp 5 192.0.2.3 5 typ srflx raddr 1.2.3.4 rport x",
        "candidate:1 1 udp 5 fe80::1%eth0 5 typ host",
    ],
)
def test_what_is_no_candidate(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Candidate.parse(text)


@given(st.text(max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_text_is_a_candidate_or_a_value_error(text: str) -> None:
    for candidate in (text, "candidate:" + text):
        try:
            Candidate.parse(candidate)
        except ValueError:
            continue


def test_credentials() -> None:
    made = IceCredentials.generate(Random(1))
    assert len(made.ufrag) >= 4
    assert len(made.password) >= 22
    assert IceCredentials.parse(*made) == made
    for ufrag, password in (
        ("abc", "x" * 22),
        ("abcd", "x" * 21),
        ("a bcd", "x" * 22),
        ("abcd", "x" * 22 + "\r"),
        ("ab:cd", "x" * 22),
        ("a" * 257, "x" * 22),
    ):
        with pytest.raises(ValueError, match="ice-"):
            IceCredentials.parse(ufrag, password)


def test_config_is_heeded() -> None:
    network = Network()
    config = IceConfig(connect_timeout=1.0, max_transmissions=2, initial_rto=0.1)
    a = network.full(A, controlling=True, config=config)
    agent_of(a).set_remote(IceCredentials.generate(Random(3)), now=0.0)
    agent_of(a).add_remote_candidate(Candidate.make("host", Z, base=Z), now=0.0)
    network.run_until_settled()
    assert a.agent.failed
    assert network.now < 3.0

"""What a full agent sends to addresses that only requests have named: no more than came from there."""

from __future__ import annotations

from random import Random

import pytest

from tests.webrtc.ice_support import Nat, Network, Node, check
from trio_sctp._webrtc.ice import IceAgent
from trio_sctp._webrtc.ice_allowance import Allowance
from trio_sctp._webrtc.ice_candidate import IceCredentials
from trio_sctp._webrtc.stun import Address, Attribute

A: Address = ("192.0.2.10", 1000)
Z: Address = ("198.51.100.20", 2000)
INSIDE_A: Address = ("10.0.0.5", 5000)
VICTIM: Address = ("203.0.113.251", 6)
CHECKS_IN_ADVANCE = 4 * 8 * 100
"""Bytes, at the most, of the checks that a session may send without having heard as much."""


def agent_of(node: Node) -> IceAgent:
    assert isinstance(node.agent, IceAgent)
    return node.agent


def waiting_agent(*, controlling: bool = False) -> tuple[Network, IceAgent]:
    """One whose peer is known and has told no address."""
    network = Network()
    agent = agent_of(network.full(A, controlling=controlling))
    agent.set_remote(IceCredentials.generate(Random(3)), now=0.0)
    return network, agent


def give(agent: IceAgent, data: bytes, source: Address, now: float) -> int:
    """Bytes that went in."""
    agent.receive_datagram(data, local=A, remote=source, now=now)
    return len(data)


def sent_to(network: Network, *victims: Address) -> int:
    network.collect()
    return sum(len(data) for _, target, data in network.carried if target in victims)


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("copies", [1, 3, 50])
def test_what_was_overheard_and_is_repeated_elsewhere(controlling: bool, copies: int) -> None:
    network, agent = waiting_agent(controlling=controlling)
    role = Attribute.ICE_CONTROLLED if controlling else Attribute.ICE_CONTROLLING
    overheard = check(agent.credentials, role=role)
    give(agent, overheard, Z, 0.0)
    received = sum(give(agent, overheard, VICTIM, 0.0) for _ in range(copies))
    network.run(60.0)
    assert 0 < sent_to(network, VICTIM) <= received
    assert all(pair.remote.address != VICTIM for pair in agent.checklist)


def test_what_was_overheard_and_never_arrived() -> None:
    network, agent = waiting_agent()
    victims = [(f"203.0.113.{number}", 6) for number in range(1, 251)]
    received = 0
    for victim in victims:
        received += give(agent, check(agent.credentials), victim, network.now)
        network.run(0.2)
    network.run(60.0)
    assert sent_to(network, *victims) <= received
    # One more that gets all the blame, when nothing is sent in advance any more:
    received = sum(give(agent, check(agent.credentials), VICTIM, network.now) for _ in range(20))
    network.run(60.0)
    assert sent_to(network, VICTIM) <= received


def test_what_goes_out_in_advance_is_bounded() -> None:
    network, agent = waiting_agent()
    received = 0
    for _ in range(30):
        received += give(agent, check(agent.credentials), VICTIM, network.now)
        network.run(0.2)
    network.run(60.0)
    assert received < sent_to(network, VICTIM) <= received + CHECKS_IN_ADVANCE / 4


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_peer_that_told_no_address_is_found(loss: float) -> None:
    """As browsers do that hide their addresses, and all from behind a symmetric NAT."""
    found = 0
    for seed in range(20):
        network = Network(loss=loss, seed=seed)
        nat = Nat("192.0.2.1", symmetric=True)
        a = network.full(INSIDE_A, controlling=True, nat=nat, seed=seed + 10)
        z = network.full(Z, controlling=False, seed=seed + 50)
        network.introduce(a, z)
        network.run_until_settled()
        found += bool(a.selected and z.selected)
        assert loss or network.now < 0.5
    assert found == 20


def test_who_has_answered_once_needs_no_allowance() -> None:
    allowance = Allowance()
    allowance.heard(Z, 100)
    assert allowance.take(Z, 90, in_advance=False)
    assert not allowance.take(Z, 90, in_advance=False)
    allowance.prove(Z)
    assert all(allowance.take(Z, 90, in_advance=False) for _ in range(100))


def test_little_is_remembered() -> None:
    allowance = Allowance()
    for port in range(1, 5000):
        allowance.heard(("203.0.113.66", port), 20)
        allowance.take(("203.0.113.66", port), 90, in_advance=True)
        allowance.prove(("203.0.113.67", port))
    assert len(allowance._credit) <= 256
    assert len(allowance._proven) <= 256
    assert len(allowance._advances) == 4

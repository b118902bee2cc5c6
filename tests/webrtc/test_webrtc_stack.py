"""The parts together, as the shell joins them: SDP, ICE and DTLS over one emulated network."""

from __future__ import annotations

from random import Random

import pytest

from tests.webrtc.dtls_support import CLIENT, SERVER
from tests.webrtc.ice_support import Network, Node, candidates_of
from trio_sctp._webrtc.certificate import Certificate, PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.dtls_common import DtlsConfig
from trio_sctp._webrtc.ice import IceAgent
from trio_sctp._webrtc.ice_lite import IceLiteAgent
from trio_sctp._webrtc.sdp_common import Setup
from trio_sctp._webrtc.sdp_local import LocalDescription, answer_setup
from trio_sctp._webrtc.sdp_remote import RemoteDescription
from trio_sctp._webrtc.stun import Address, is_stun

BROWSER: Address = ("198.51.100.7", 40000)
HERE: Address = ("192.0.2.1", 5000)


class Peer(Node):
    """An ICE agent with a DTLS association behind it."""

    dtls: DtlsAssociation

    def path(self) -> tuple[Address, Address] | None:
        if isinstance(self.agent, IceAgent):
            return self.agent.send_path
        address = self.agent.send_address
        return None if address is None else (self.agent.local_address, address)

    def lets_in(self, local: Address, remote: Address) -> bool:
        if isinstance(self.agent, IceAgent):
            return self.agent.is_verified(local, remote)
        return self.agent.is_verified(remote)


class Stack(Network):
    """Carries DTLS, too, for nodes that have an association by now."""

    def __init__(self, *, loss: float = 0.0, seed: int = 0) -> None:
        super().__init__(loss=loss, seed=seed)
        self.started: list[DtlsAssociation] = []

    def dtls_of(self, node: Node) -> DtlsAssociation | None:
        return getattr(node, "dtls", None)

    def deliver(self, source: Address, target: Address, data: bytes) -> None:
        if is_stun(data):
            super().deliver(source, target, data)
            return
        node = self.where[target]
        assert isinstance(node, Peer)
        if node.lets_in(target, source):
            node.dtls.receive_datagrams([data], now=self.now)

    def collect(self) -> None:
        super().collect()
        for node in self.nodes:
            dtls = self.dtls_of(node)
            if not isinstance(node, Peer) or dtls is None:
                continue
            path = node.path()
            if dtls.next_timeout() <= self.now:
                dtls.handle_timeout(now=self.now)
            if path is not None and dtls.client and node.selected and dtls not in self.started:
                self.started.append(dtls)
                dtls.start(now=self.now)
            for datagram in dtls.datagrams_to_send():
                assert path is not None
                self.carry(node, datagram, *path)

    def next_time(self) -> float:
        times = [dtls.next_timeout() for node in self.nodes if (dtls := self.dtls_of(node))]
        return min([super().next_time(), *times])


def describe(node: Node, certificate: Certificate) -> LocalDescription:
    agent = node.agent
    lite = isinstance(agent, IceLiteAgent)
    return LocalDescription(
        session_id=1,
        credentials=agent.credentials,
        fingerprints=(certificate.fingerprint(),),
        candidates=tuple(agent.local_candidates) if isinstance(agent, IceAgent) else (),
        ice_lite=lite,
    )


def exchange(network: Stack, browser: Node, server: Node, *, setup: Setup | None = None) -> None:
    """Offer, answer, and what both make of them."""
    offer_text = describe(browser, CLIENT).offer()
    offer = RemoteDescription.parse(offer_text, "offer")
    ours = describe(server, SERVER)
    answer = RemoteDescription.parse(ours.answer(offer, setup=setup), "answer")
    server_is_client = answer_setup(offer, setup) is Setup.ACTIVE
    config = DtlsConfig(initial_rto=0.25, max_rto=4.0)
    for node, mine, remote, client in (
        (browser, CLIENT, answer, not server_is_client),
        (server, SERVER, offer, server_is_client),
    ):
        node.__class__ = Peer
        assert isinstance(node, Peer)
        policy = PeerPolicy.fingerprints(*remote.fingerprints)
        node.dtls = DtlsAssociation(mine, policy, client=client, now=network.now, config=config)
        if isinstance(node.agent, IceAgent):
            node.agent.set_remote(remote.credentials, lite=remote.ice_lite, now=network.now)
            for candidate in remote.candidates or candidates_of(server):
                node.agent.add_remote_candidate(candidate, now=network.now)


def settle(network: Stack, *nodes: Node) -> None:
    ends = [network.dtls_of(node) for node in nodes]
    while not all(end is not None and (end.established or end.closed) for end in ends):
        if not network.step():
            return
        assert network.now < 300.0


@pytest.mark.parametrize("lite", [True, False])
@pytest.mark.parametrize("setup", [Setup.PASSIVE, Setup.ACTIVE])
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_browser_meets_server(lite: bool, setup: Setup, loss: float) -> None:
    up = 0
    for seed in range(5):
        network = Stack(loss=loss, seed=seed)
        browser = network.full(BROWSER, controlling=True, seed=seed)
        server = network.lite(HERE) if lite else network.full(HERE, controlling=False, seed=seed)
        exchange(network, browser, server, setup=setup)
        settle(network, browser, server)
        assert isinstance(browser, Peer)
        assert isinstance(server, Peer)
        if not (browser.dtls.established and server.dtls.established):
            assert loss > 0.1
            continue
        up += 1
        browser.dtls.send([b"INIT"], now=network.now)
        network.loss = 0.0
        network.run(1.0)
        assert server.dtls.packets_received() == [b"INIT"]
    assert up >= 4


def test_stranger_with_the_right_signalling_but_another_key() -> None:
    # Whoever reads the offer and the answer can pass ICE; only the certificate keeps it out.
    network = Stack()
    browser = network.full(BROWSER, controlling=True)
    server = network.lite(HERE)
    exchange(network, browser, server)
    assert isinstance(browser, Peer)
    stranger = Certificate.generate()
    policy = PeerPolicy.fingerprints(SERVER.fingerprint())
    browser.dtls = DtlsAssociation(stranger, policy, client=True, now=0.0)
    settle(network, browser, server)
    assert isinstance(server, Peer)
    assert server.dtls.closed
    assert server.dtls.packets_received() == []


def test_datagrams_from_unverified_addresses_are_not_let_in() -> None:
    network = Stack()
    browser = network.full(BROWSER, controlling=True)
    server = network.lite(HERE)
    exchange(network, browser, server)
    settle(network, browser, server)
    assert isinstance(server, Peer)
    rng = Random(1)
    before = server.dtls.statistics.records_dropped
    for port in range(1, 100):
        junk = b"\x17\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x28" + rng.randbytes(40)
        network.deliver(("203.0.113.3", port), HERE, junk)
    assert server.dtls.statistics.records_dropped == before

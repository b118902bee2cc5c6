"""A small internet in virtual time: hosts, NATs, a STUN server, loss."""

from __future__ import annotations

import heapq
import itertools
from random import Random

from trio_sctp._webrtc.ice import IceAgent
from trio_sctp._webrtc.ice_candidate import Candidate, IceCredentials
from trio_sctp._webrtc.ice_common import (
    GatheringComplete,
    IceConfig,
    IceEvent,
    LocalCandidate,
    PairSelected,
)
from trio_sctp._webrtc.ice_lite import IceLiteAgent
from trio_sctp._webrtc.stun import (
    Address,
    Attribute,
    MessageClass,
    StunMessage,
    encode_message,
    encode_xor_address,
)

STUN_SERVER: Address = ("203.0.113.1", 3478)
TRANSACTIONS = itertools.count()


class Nat:
    """Translates what its inside sends; lets in what its inside has asked for."""

    def __init__(self, outside: str, *, symmetric: bool = False) -> None:
        self.outside = outside
        self.symmetric = symmetric
        self.mappings: dict[tuple[Address, Address | None], Address] = {}
        self.allowed: set[tuple[Address, Address]] = set()
        self.ports = itertools.count(40000)

    def outward(self, source: Address, target: Address) -> Address:
        key = (source, target if self.symmetric else None)
        if key not in self.mappings:
            self.mappings[key] = (self.outside, next(self.ports))
        mapped = self.mappings[key]
        self.allowed.add((mapped, target))
        return mapped

    def inward(self, source: Address, target: Address) -> Address | None:
        if (target, source) not in self.allowed:
            return None
        for (inside, _), mapped in self.mappings.items():
            if mapped == target:
                return inside
        return None

    def rebind(self) -> None:
        """It forgets, as NATs do."""
        self.mappings.clear()
        self.allowed.clear()


class Node:
    """An agent, where it is, and what it reported."""

    def __init__(self, agent: IceAgent | IceLiteAgent, nat: Nat | None = None) -> None:
        self.agent, self.nat = agent, nat
        self.events: list[IceEvent] = []
        self.peer: Node | None = None
        self.trickle = False

    @property
    def selected(self) -> list[PairSelected]:
        return [event for event in self.events if isinstance(event, PairSelected)]


class Network:
    def __init__(self, *, loss: float = 0.0, seed: int = 0, delay: float = 0.02) -> None:
        self.now = 0.0
        self.loss, self.delay, self.rng = loss, delay, Random(seed)
        self.nodes: list[Node] = []
        self.nats: list[Nat] = []
        self.where: dict[Address, Node] = {}
        self.in_flight: list[tuple[float, int, Address, Address, bytes]] = []
        self.order = itertools.count()
        self.blocked: set[Address] = set()
        self.carried: list[tuple[Address, Address, bytes]] = []

    # -- building ------------------------------------------------------------------------------

    def full(
        self,
        *hosts: Address,
        controlling: bool,
        nat: Nat | None = None,
        stun: bool = False,
        seed: int = 1,
        config: IceConfig | None = None,
    ) -> Node:
        rng = Random(seed + 1000 * controlling)
        agent = IceAgent(
            IceCredentials.generate(rng),
            controlling=controlling,
            rng=rng,
            now=self.now,
            config=config,
        )
        node = Node(agent, nat)
        self.nodes.append(node)
        if nat is not None and nat not in self.nats:
            self.nats.append(nat)
        for host in hosts:
            agent.add_host(host, now=self.now)
            self.where[host] = node
        if stun:
            agent.add_stun_server(STUN_SERVER, now=self.now)
        agent.end_of_hosts(now=self.now)
        return node

    def lite(self, address: Address) -> Node:
        agent = IceLiteAgent(address, IceCredentials.generate(Random(77)), now=self.now)
        node = Node(agent)
        self.nodes.append(node)
        self.where[address] = node
        return node

    # -- time ----------------------------------------------------------------------------------

    def collect(self) -> None:
        for node in self.nodes:
            agent = node.agent
            if isinstance(agent, IceAgent):
                for datagram in agent.datagrams_to_send():
                    self.carry(node, *datagram)
            else:
                for data, target in agent.datagrams_to_send():
                    self.carry(node, data, agent.local_address, target)
            while (event := agent.next_event()) is not None:
                node.events.append(event)
                peer = node.peer
                if not node.trickle or peer is None or not isinstance(event, LocalCandidate):
                    continue
                if isinstance(peer.agent, IceAgent):
                    peer.agent.add_remote_candidate(event.candidate, now=self.now)

    def carry(self, node: Node, data: bytes, source: Address, target: Address) -> None:
        self.carried.append((source, target, data))
        if self.rng.random() < self.loss or source in self.blocked or target in self.blocked:
            return
        if node.nat is not None:
            source = node.nat.outward(source, target)
        at = self.now + self.delay * (1 + self.rng.random() / 4)
        heapq.heappush(self.in_flight, (at, next(self.order), source, target, data))

    def deliver(self, source: Address, target: Address, data: bytes) -> None:
        if target == STUN_SERVER:
            self.serve(source, data)
            return
        node = self.where.get(target)
        if node is not None and node.nat is not None:
            return  # a private address cannot be reached from here
        for nat in self.nats:
            if target[0] == nat.outside:
                inside = nat.inward(source, target)
                if inside is None:
                    return
                node, target = self.where[inside], inside
        if node is None:
            return
        if isinstance(node.agent, IceAgent):
            node.agent.receive_datagram(data, local=target, remote=source, now=self.now)
        else:
            node.agent.receive_datagram(data, source, now=self.now)

    def serve(self, source: Address, data: bytes) -> None:
        request = StunMessage.decode(data)
        mapped = encode_xor_address(source, request.transaction_id)
        response = encode_message(
            MessageClass.SUCCESS,
            request.transaction_id,
            [(Attribute.XOR_MAPPED_ADDRESS, mapped)],
        )
        at = self.now + self.delay
        heapq.heappush(self.in_flight, (at, next(self.order), STUN_SERVER, source, response))

    def next_time(self) -> float:
        self.collect()
        arrival = self.in_flight[0][0] if self.in_flight else float("inf")
        return min([arrival, *(node.agent.next_timeout() for node in self.nodes)])

    def step(self) -> bool:
        at = self.next_time()
        if at == float("inf"):
            return False
        arrival = self.in_flight[0][0] if self.in_flight else float("inf")
        self.now = max(self.now, at)
        if arrival <= self.now:
            _, _, source, target, data = heapq.heappop(self.in_flight)
            self.deliver(source, target, data)
        for node in self.nodes:
            if node.agent.next_timeout() <= self.now:
                node.agent.handle_timeout(now=self.now)
                assert node.agent.next_timeout() > self.now
        self.collect()
        return True

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.next_time() <= until:
            self.step()
        self.now = until

    def run_until_settled(self) -> None:
        while not all(node.agent.failed or node.selected for node in self.nodes):
            assert self.step()

    # -- signalling ----------------------------------------------------------------------------

    def gather(self) -> None:
        while not all(
            any(isinstance(event, GatheringComplete) for event in node.events)
            for node in self.nodes
            if isinstance(node.agent, IceAgent)
        ):
            assert self.step()

    def introduce(self, a: Node, z: Node, *, trickle: bool = False) -> None:
        for node, peer in ((a, z), (z, a)):
            node.peer, node.trickle = peer, trickle
            if isinstance(node.agent, IceAgent):
                lite = isinstance(peer.agent, IceLiteAgent)
                node.agent.set_remote(peer.agent.credentials, lite=lite, now=self.now)
                for candidate in candidates_of(peer):
                    node.agent.add_remote_candidate(candidate, now=self.now)


def candidates_of(node: Node) -> list[Candidate]:
    if isinstance(node.agent, IceAgent):
        return node.agent.local_candidates
    address = node.agent.local_address
    return [Candidate.make("host", address, base=address)]


def check(
    local: IceCredentials,
    *,
    remote_ufrag: str = "peer",
    password: str | None = None,
    nominate: bool = False,
    priority: int | None = 1 << 30,
    role: int = Attribute.ICE_CONTROLLING,
    transaction_id: bytes | None = None,
    extra: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """A Binding request as a peer would send it to the owner of ``local``."""
    attributes = [(Attribute.USERNAME, f"{local.ufrag}:{remote_ufrag}".encode())]
    if priority is not None:
        attributes.append((Attribute.PRIORITY, priority.to_bytes(4, "big")))
    attributes.append((role, (1 << 60).to_bytes(8, "big")))
    if nominate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    attributes += extra
    key = (local.password if password is None else password).encode()
    if transaction_id is None:
        transaction_id = next(TRANSACTIONS).to_bytes(12, "big")
    return encode_message(MessageClass.REQUEST, transaction_id, attributes, key=key)

"""The attacks of RFC 5062, each as a test named after its section, against an endpoint."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.association_pair import End, Packet, Pair, established_pair, packet_to
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.endpoint import Address, Endpoint
from trio_sctp._core.events import AssociationRestarted, CloseReason, Message
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import decode_chunks, decode_header, encode_packet
from trio_sctp._wire.parameters import (
    CookiePreservative,
    IPv4Address,
    Parameter,
    StateCookie,
    UnknownParameter,
)
from trio_sctp._wire.tlv import encode_chunk

ATTACKER: Address = ("203.0.113.66", 6666)
VICTIM: Address = ("192.0.2.7", 9899)
ADDRESSES = (IPv4Address("203.0.113.66"), IPv4Address("192.0.2.7"))


class Server:
    """An endpoint and the ways to talk to it as somebody else."""

    def __init__(self, *, path_mtu: int = 1200) -> None:
        self.now = 0.0
        config = Config(path_mtu=path_mtu, path_mtu_discovery=False)
        self.endpoint = Endpoint(config, rng=Random("server"))

    def receive(
        self,
        address: Address,
        *chunks: c.EncodableChunk | bytes,
        tag: int,
        source_port: int = 5000,
        destination_port: int = 5000,
    ) -> list[tuple[Address, bytes]]:
        """One packet arrives; what is sent because of it, and where to."""
        body = [chunk if isinstance(chunk, bytes) else chunk.encode() for chunk in chunks]
        packet = encode_packet(source_port, destination_port, tag, body)
        self.endpoint.receive_datagrams([(address, packet)], now=self.now)
        return self.send()

    def send(self) -> list[tuple[Address, bytes]]:
        sent: list[tuple[Address, bytes]] = []
        while batch := self.endpoint.datagrams_to_send(now=self.now):
            sent += batch
        return sent

    def pass_time(self, seconds: float) -> list[tuple[Address, bytes]]:
        """What is sent while nobody answers."""
        end, sent = self.now + seconds, self.send()
        while (due := self.endpoint.next_timeout()) <= end:
            self.now = max(self.now, due)
            self.endpoint.handle_timeout(now=self.now)
            sent += self.send()
        self.now = end
        return sent

    def ask_for_cookie(
        self, address: Address, *parameters: Parameter, tag: int = 666, tsn: int = 1000
    ) -> tuple[c.InitAck, c.CookieEcho]:
        init = c.Init(tag, 100_000, 10, 10, tsn, parameters)
        ((destination, packet),) = self.receive(address, init, tag=0)
        assert destination == address
        (init_ack,) = decode_chunks(packet)
        assert isinstance(init_ack, c.InitAck)
        (cookie,) = [p.cookie for p in init_ack.parameters if isinstance(p, StateCookie)]
        return init_ack, c.CookieEcho(cookie)

    def set_up(
        self, address: Address, *parameters: Parameter, tag: int = 666
    ) -> tuple[Association, c.CookieEcho, int]:
        """The four-way handshake; also the cookie, and the tag of the server."""
        init_ack, echo = self.ask_for_cookie(address, *parameters, tag=tag)
        ((_, answer),) = self.receive(address, echo, tag=init_ack.initiate_tag)
        assert isinstance(decode_chunks(answer)[0], c.CookieAck)
        association = self.endpoint.next_accepted()
        assert association is not None
        assert association.state is State.ESTABLISHED
        return association, echo, init_ack.initiate_tag


def kinds(sent: list[tuple[Address, bytes]]) -> list[list[type]]:
    return [[type(chunk) for chunk in decode_chunks(packet)] for _, packet in sent]


# -- §2 Address camping or stealing ------------------------------------------------------------------


def test_section_2_an_address_in_an_init_is_not_camped_upon() -> None:
    """The attacker lists the victim's address; the victim calls all the same."""
    server = Server()
    camping, _, _ = server.set_up(ATTACKER, *ADDRESSES)
    victims, _, _ = server.set_up(VICTIM, tag=7)
    assert camping is not victims
    assert camping.state is victims.state is State.ESTABLISHED
    assert server.endpoint.address_of(camping) == ATTACKER
    assert server.endpoint.address_of(victims) == VICTIM


# -- §3 Association hijacking 1 ----------------------------------------------------------------------


def test_section_3_a_cookie_does_not_tell_the_tags_of_the_association() -> None:
    """Whoever gets the peer's address can ask for a cookie: it holds tie-tags that are nonces."""
    server = Server()
    association, _, server_tag = server.set_up(VICTIM, tag=0x12345678)
    _, echo = server.ask_for_cookie(VICTIM, tag=4711)
    for tag in (server_tag, 0x12345678):
        assert tag.to_bytes(4, "big") not in echo.cookie
    assert association.state is State.ESTABLISHED


def test_section_3_addresses_cannot_be_added() -> None:
    """ASCONF (RFC 5061) is a chunk that we don't know, with the right tag too."""
    server = Server()
    association, _, server_tag = server.set_up(VICTIM, tag=7)
    asconf = encode_chunk(0xC1, 0, bytes(4) + ADDRESSES[0].encode())
    sent = server.receive(VICTIM, asconf, tag=server_tag)
    assert kinds(sent) == [[c.Error]]
    assert server.endpoint.address_of(association) == VICTIM
    association.send(0, b"x", now=server.now)
    assert {address for address, _ in server.pass_time(5)} == {VICTIM}


# -- §4 Association hijacking 2 ----------------------------------------------------------------------


def test_section_4_a_restart_is_told_before_anything_new() -> None:
    server = Server()
    association, _, server_tag = server.set_up(VICTIM, tag=7)
    server.receive(VICTIM, c.Data(1000, 0, 0, 0, b"secret"), tag=server_tag)
    association.send(0, b"for the victim", now=server.now)
    assert kinds(server.send()) == [[c.Data]]
    init_ack, echo = server.ask_for_cookie(VICTIM, tag=4711, tsn=1)
    data = c.Data(1, 0, 0, 0, b"from the hijacker")
    sent = server.receive(VICTIM, echo, data, tag=init_ack.initiate_tag)
    assert {decode_header(packet)[2] for _, packet in sent} == {4711}
    assert b"for the victim" not in b"".join(packet for _, packet in sent)
    events = []
    while (event := association.next_event()) is not None:
        events.append(event)
    (place,) = [i for i, event in enumerate(events) if isinstance(event, AssociationRestarted)]
    (new,) = [
        i
        for i, event in enumerate(events)
        if isinstance(event, Message) and event.payload == b"from the hijacker"
    ]
    assert place < new
    assert events[place] == AssociationRestarted(1)


# -- §5 Bombing attack (amplification) 1 -------------------------------------------------------------


def test_section_5_data_goes_only_where_the_cookie_came_from() -> None:
    """The attacker lists the victim, asks for much and acknowledges nothing."""
    server = Server()
    association, _, _ = server.set_up(ATTACKER, *ADDRESSES)
    for _ in range(100):
        association.send(0, bytes(10_000), now=server.now)
    sent = server.pass_time(3600)
    assert {address for address, _ in sent} == {ATTACKER}
    assert association.ended
    assert not server.endpoint.associations


def test_section_5_less_than_two_windows_go_to_a_peer_that_acknowledges_nothing() -> None:
    server = Server()
    association, _, _ = server.set_up(ATTACKER)
    for _ in range(100):
        association.send(0, bytes(10_000), now=server.now)
    sent = server.pass_time(3600)
    assert sum(len(packet) for _, packet in sent) < 40_000


@pytest.mark.parametrize("ahead", [1, 2, 100, 2**30])
def test_section_5_guessing_tsns_ends_the_association(ahead: int) -> None:
    pair = established_pair()
    pair.send(bytes(50_000))
    pair.a.pull(pair.now)
    tcb = pair.a.association.tcb
    assert tcb is not None
    guess = (tcb.retransmission_queue.next_tsn - 1 + ahead) % 2**32
    (answer,) = pair.a.receive(c.Sack(guess, 100_000), now=pair.now)
    assert answer.names == "ABORT"
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


# -- §6 Bombing attack (amplification) 2 -------------------------------------------------------------


def test_section_6_a_replayed_cookie_causes_no_heartbeats_and_one_packet_each() -> None:
    server = Server()
    _, echo, server_tag = server.set_up(ATTACKER, *ADDRESSES)
    for _ in range(20):
        sent = server.receive(ATTACKER, echo, tag=server_tag)
        assert kinds(sent) == [[c.CookieAck]]
        assert sent[0][0] == ATTACKER
    assert len(server.endpoint.associations) == 1


def test_section_6_a_cookie_replayed_after_the_end_sets_up_one_association_at_a_time() -> None:
    """The victim's ABORT removes the association; the stored cookie is echoed again."""
    server = Server()
    _, echo, server_tag = server.set_up(ATTACKER, *ADDRESSES)
    for _ in range(5):
        server.receive(ATTACKER, c.Abort(()), tag=server_tag)
        assert not server.endpoint.associations
        assert server.receive(VICTIM, echo, tag=server_tag) == [], "made for another address"
        sent = server.receive(ATTACKER, echo, tag=server_tag)
        assert kinds(sent) == [[c.CookieAck]]


def test_section_6_a_long_cookie_life_is_not_granted() -> None:
    """However long the attacker asks for it to be: twice the configured life at most."""
    server = Server()
    init_ack, echo = server.ask_for_cookie(ATTACKER, CookiePreservative(2**32 - 1))
    server.now = 2 * Config().valid_cookie_life + 0.01
    sent = server.receive(ATTACKER, echo, tag=init_ack.initiate_tag)
    assert kinds(sent) == [[c.Error]]
    assert not server.endpoint.associations


def test_section_6_heartbeats_are_small() -> None:
    server = Server()
    server.set_up(ATTACKER, *ADDRESSES)
    heartbeats = server.pass_time(3600)
    assert {address for address, _ in heartbeats} == {ATTACKER}
    assert max(len(packet) for _, packet in heartbeats) < 100


# -- §7 Association redirection ----------------------------------------------------------------------


@pytest.mark.parametrize("ports", [(5001, 5000), (5000, 5001), (5001, 5001), (4999, 5000)])
def test_section_7_a_cookie_is_worth_nothing_on_other_ports(ports: tuple[int, int]) -> None:
    server = Server()
    init_ack, echo = server.ask_for_cookie(ATTACKER)
    sent = server.receive(
        ATTACKER,
        echo,
        tag=init_ack.initiate_tag,
        source_port=ports[0],
        destination_port=ports[1],
    )
    assert sent == []
    assert server.endpoint.next_accepted() is None
    assert not server.endpoint.associations


# -- §8 and §10 Bombing attacks (amplification) 3 and 5 ----------------------------------------------


def repeated(chunk: c.EncodableChunk | bytes, size: int) -> bytes:
    encoded = chunk if isinstance(chunk, bytes) else chunk.encode()
    return encoded * (size // len(encoded))


PROVOKING: dict[str, c.EncodableChunk | bytes] = {
    "unknown chunks to report": c.UnknownChunk(0xFF, 0, b""),
    "HEARTBEAT": c.Heartbeat.from_info(b"x"),
    "empty HEARTBEAT": c.Heartbeat(b""),
    "COOKIE ECHO": c.CookieEcho(bytes(8)),
    "SHUTDOWN ACK": c.ShutdownAck(),
    "DATA on a stream that is not there": c.Data(1000, 9999, 0, 0, b"x"),
    "duplicate DATA": c.Data(999, 0, 0, 0, b"x"),
    "ERROR": c.Error(()),
    "RE-CONFIG": c.ReConfig((UnknownParameter(0xC001, b""),)),
    "FORWARD TSN": c.ForwardTsn(999),
    "unknown parameters": c.ReConfig((UnknownParameter(0xC001, b""),) * 50),
    "SACK": c.Sack(0, 0),
    "short chunk": b"\xff\0\0\0",
}


@pytest.mark.parametrize("name", PROVOKING)
@pytest.mark.parametrize("known", [True, False], ids=["peer", "stranger"])
@pytest.mark.parametrize("path_mtu", [1200, 512])
def test_sections_8_and_10_one_packet_is_answered_by_one_at_most(
    name: str, known: bool, path_mtu: int
) -> None:
    """Chunks that want an answer by the dozen, in a packet larger than those we may send."""
    server = Server(path_mtu=path_mtu)
    tag = 4711
    if known:
        _, _, tag = server.set_up(ATTACKER)
    packet = repeated(PROVOKING[name], 1180)
    sent = server.receive(ATTACKER, packet, tag=tag)
    assert len(sent) <= 1
    for address, answer in sent:
        assert address == ATTACKER
        assert len(answer) <= path_mtu
        assert len(answer) <= len(packet) + 100


def test_section_8_a_mixture_of_everything() -> None:
    server = Server()
    _, _, tag = server.set_up(ATTACKER)
    mixture = b"".join(repeated(chunk, 80) for chunk in PROVOKING.values())
    for _ in range(10):
        assert len(server.receive(ATTACKER, mixture, tag=tag)) <= 1


def test_section_8_no_answers_to_answers() -> None:
    """Two endpoints that are made to talk to each other fall silent at once."""
    one, other = Server().endpoint, Server().endpoint
    packet = encode_packet(5000, 5000, 4711, [repeated(PROVOKING["HEARTBEAT"], 1000)])
    one.receive_datagrams([(VICTIM, packet)], now=0.0)
    rounds = 0
    while answers := one.datagrams_to_send(now=0.0):
        other.receive_datagrams([(ATTACKER, answer) for _, answer in answers], now=0.0)
        one, other = other, one
        rounds += 1
        assert rounds < 3


# -- §9 Bombing attack (amplification) 4 -------------------------------------------------------------


def test_section_9_init_ack_is_small() -> None:
    """Larger than an INIT by not much more than the cookie."""
    server = Server()
    init = c.Init(666, 100_000, 10, 10, 1)
    ((_, answer),) = server.receive(ATTACKER, init, tag=0)
    (init_ack,) = decode_chunks(answer)
    assert isinstance(init_ack, c.InitAck)
    (cookie,) = [p.cookie for p in init_ack.parameters if isinstance(p, StateCookie)]
    assert len(cookie) < 160
    assert len(answer) < 44 + len(cookie) + 40
    own = Pair()
    own.a.association.connect(now=0.0)
    (packet,) = own.a.pull(0.0)
    assert len(answer) < 4.2 * len(packet.raw)


@pytest.mark.parametrize("count", [1, 10, 120])
def test_section_9_reports_in_an_init_ack_are_no_longer_than_what_they_report(count: int) -> None:
    server = Server()
    plain = c.Init(666, 100_000, 10, 10, 1)
    padded = c.Init(666, 100_000, 10, 10, 1, (UnknownParameter(0xC001, b""),) * count)
    ((_, short),) = server.receive(ATTACKER, plain, tag=0)
    ((_, long),) = server.receive(ATTACKER, padded, tag=0)
    assert len(long) <= 1200
    assert len(long) - len(short) <= 2 * (len(padded.encode()) - len(plain.encode()))


def test_section_9_a_flood_of_inits_is_answered_one_by_one_and_leaves_nothing() -> None:
    server = Server()
    for number in range(2000):
        init = c.Init(number + 1, 100_000, 10, 10, 1)
        assert len(server.receive((f"198.51.100.{number % 250}", number), init, tag=0)) == 1
    assert not server.endpoint.associations
    assert server.endpoint.next_timeout() == float("inf")


def test_a_stranger_between_two_peers_can_do_nothing_without_their_tags() -> None:
    """All of the above presumes that tags are hard to guess: wrong ones have no effect at all."""
    pair = established_pair()
    rng = Random(5)
    own = pair.a.association.local_tag
    for chunk in (c.Abort(()), c.Shutdown(0), c.Sack(0, 0), c.Data(0, 0, 0, 0, b"x")):
        for _ in range(200):
            tag = rng.randrange(1, 2**32)
            if tag != own:
                _give(pair.a, packet_to(pair.a.association, chunk, tag=tag))
    pair.send(b"unharmed")
    pair.run()
    assert pair.z.payloads == [b"unharmed"]


def _give(end: End, raw: bytes) -> None:
    end.give([raw], 0.0)
    answers: list[Packet] = end.pull(0.0)
    assert answers == []

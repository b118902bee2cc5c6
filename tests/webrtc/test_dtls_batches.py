"""A batch of datagrams is taken as its datagrams one by one: what comes of it and what is remembered.

What an association that is up takes of a batch in one loop is compared with the way of a single record
to the last attribute, whatever comes between the packets and in whatever order.
"""

from __future__ import annotations

import copy
import enum
from collections import Counter, deque
from collections.abc import Callable
from random import Random

import pytest

from tests.webrtc.dtls_support import connect, events, make_client, make_server
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.dtls_record import ContentType, RecordProtection, encode_record

pytestmark = pytest.mark.interpreted
LAST_NUMBER = (1 << 48) - 1
Take = Callable[[DtlsAssociation, list[bytes], Random], None]


def copied(end: DtlsAssociation) -> DtlsAssociation:
    """With the same keys, which cannot be copied and do not change."""
    assert end._incoming is not None
    assert end._outgoing is not None
    shared = (end._incoming._aead, end._outgoing._aead, end._config)
    return copy.deepcopy(end, {id(thing): thing for thing in shared})


def remembered(thing: object) -> object:
    """All attributes of our objects, and of those that hang on them."""
    if isinstance(thing, list | tuple | deque):
        return [remembered(item) for item in thing]
    if isinstance(thing, enum.Enum) or not type(thing).__module__.startswith("trio_sctp"):
        return thing
    names = set(getattr(thing, "__dict__", ())) | set(getattr(thing, "__slots__", ()))
    return {name: remembered(getattr(thing, name)) for name in names}


@pytest.fixture(scope="module")
def ends() -> tuple[DtlsAssociation, DtlsAssociation]:
    a, z = make_client(), make_server()
    connect(a, z)
    events(a), events(z)
    assert z.datagrams_to_send() == []
    return a, z


# -- what comes


def made_of(sender: RecordProtection, random: Random) -> list[bytes]:
    """Some datagrams: packets mostly."""
    number = 1 << random.choice((4, 48, 50, 63))
    junk = encode_record(
        random.choice((0, 20, 21, 22, 23)), random.randrange(number), random.randbytes(30)
    )
    packets = [random.randbytes(random.choice((0, 1, 12, 1180, 3000))) for _ in range(8)]
    kind = random.randrange(10)
    if kind == 0:
        return sender.protect([b"\x01\x64", b"?"], ContentType.ALERT)
    if kind == 1:  # a Finished once more, or so it seems, and what does not belong there
        return sender.protect([bytes(20)], random.choice((20, 22, 24)))
    if kind == 2:
        small = sender.protect([random.randbytes(40) for _ in range(random.randrange(2, 20))])
        return [b"".join([*small[:3], junk, *small[3:]] if random.random() < 0.3 else small)]
    if kind == 3:
        return [junk, random.randbytes(random.randrange(100)), b""]
    if kind == 4:  # the network has lost some
        sender.next_sequence_number += random.choice((1, 2, 64, 1000, 1023, 1024, 1025, 1 << 20))
    if kind == 5 and random.random() < 0.1:  # the end, and what may come after it
        return sender.protect([random.choice((b"\x02\x50", b"\x01\x00"))], ContentType.ALERT)
    return sender.protect(packets[: random.randrange(1, 9)])


def on_the_way(datagram: bytes, random: Random) -> list[bytes]:
    """What becomes of one."""
    chance = random.random()
    if chance < 0.05:
        return [datagram] * 2
    if chance < 0.09 and datagram:
        forged = bytearray(datagram)
        forged[random.randrange(min(len(forged), random.choice((13, 21, 9999))))] ^= 1
        return random.choice(([bytes(forged)], [bytes(forged), datagram]))
    if chance < 0.11:
        return [datagram[: random.randrange(len(datagram) + 1)]]
    if chance < 0.13:
        return [datagram + b"more"]
    return [] if chance < 0.15 else [datagram]


def traffic(sender: RecordProtection, random: Random) -> list[bytes]:
    datagrams: list[bytes] = []
    for _ in range(random.choice((2, 8, 30))):
        if sender.next_sequence_number > LAST_NUMBER - (1 << 21):
            datagrams += sender.protect([random.randbytes(20)])
        else:
            datagrams += made_of(sender, random)
    reach = random.choice((0, 0, 2, 8, 40, 1000))
    order = sorted(range(len(datagrams)), key=lambda n: n + random.random() * reach)
    arrived = [one for n in order for one in on_the_way(datagrams[n], random)]
    return arrived + arrived[: random.choice((0, 0, len(arrived)))]


# -- the ways to take it


def one_by_one(end: DtlsAssociation, datagrams: list[bytes], random: Random) -> None:
    for datagram in datagrams:
        end._receive_datagram(datagram, 1.0)


def at_once(end: DtlsAssociation, datagrams: list[bytes], random: Random) -> None:
    end.receive_datagrams(datagrams, now=1.0)


def in_parts(end: DtlsAssociation, datagrams: list[bytes], random: Random) -> None:
    while datagrams:
        count = random.randrange(1, 20)
        end.receive_datagrams(datagrams[:count], now=1.0)
        datagrams = datagrams[count:]


def past_the_reader(end: DtlsAssociation, datagrams: list[bytes], random: Random) -> None:
    """As the transport does: packets at once, and the rest when it is its turn."""
    packets: list[bytes] = []
    while datagrams:
        part, datagrams = datagrams[:12], datagrams[12:]
        count, taken = end.take_packets(part)
        end.receive_datagrams(part[count:], now=1.0)
        packets += taken + end.packets_received()
    end._packets = packets


@pytest.mark.parametrize("take", [at_once, in_parts, past_the_reader])
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("first", [0, 5, 1 << 32, LAST_NUMBER - (1 << 20), LAST_NUMBER - 20])
def test_a_batch_is_its_datagrams(
    ends: tuple[DtlsAssociation, DtlsAssociation], first: int, answered: bool, take: Take
) -> None:
    random = Random(first + answered)
    closed = 0
    for _ in range(12):
        a, z = map(copied, ends)
        assert a._outgoing is not None
        assert z._incoming is not None
        a._outgoing.next_sequence_number = first
        z._incoming.window.mark(max(0, first - random.randrange(1, 40)))
        if answered:
            z._retransmission.answered()
        datagrams = traffic(a._outgoing, random)
        expected = copied(z)
        one_by_one(expected, datagrams, random)
        take(z, datagrams, random)
        assert remembered(z) == remembered(expected)
        long = [packet for packet in z._packets if len(packet) > 11]
        assert max(Counter(long).values(), default=1) == 1  # none is taken twice
        closed += z.closed
    assert closed < 12


@pytest.mark.parametrize("jump", [False, True])
def test_the_numbers_of_an_epoch_end(
    ends: tuple[DtlsAssociation, DtlsAssociation], jump: bool
) -> None:
    """RFC 6347 §4.1: they may not wrap, and there are no keys for another epoch."""
    a, z = map(copied, ends)
    assert a._outgoing is not None
    assert z._incoming is not None
    if jump:
        z.receive_datagrams(a._outgoing.protect([b"first"]), now=1.0)
    else:
        z._incoming.window.mark(LAST_NUMBER - 2)
    a._outgoing.next_sequence_number = LAST_NUMBER - 1
    z.receive_datagrams(a._outgoing.protect([b"last but one", b"last", b"epoch 2"]), now=1.0)
    assert z.packets_received()[-2:] == [b"last but one", b"last"]
    assert z._incoming.window.highest == LAST_NUMBER
    assert z.statistics.records_dropped == 1

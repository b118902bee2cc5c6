"""Pairs of associations whose numbers begin anew (RFC 6525 §5.1.4), and what tests say to them."""

from __future__ import annotations

from typing import Any

from tests.support.association_pair import End, Packet, Pair, established_pair
from trio_sctp._core.transmission_control_block import TransmissionControlBlock
from trio_sctp._wire import chunks as c, parameters as p

__all__ = [
    "BAD_SN",
    "BUSY",
    "DENIED",
    "IN_PROGRESS",
    "JUMP",
    "MASK",
    "NOTHING_TO_DO",
    "PERFORMED",
    "data",
    "expected_tsn",
    "first_sn",
    "new_pair",
    "next_tsn",
    "parameters",
    "request",
    "respond",
    "send",
    "tcb",
    "used_pair",
]

MASK = 0xFFFFFFFF
JUMP = 1 << 31
NOTHING_TO_DO = p.ReConfigResult.SUCCESS_NOTHING_TO_DO
PERFORMED = p.ReConfigResult.SUCCESS_PERFORMED
DENIED = p.ReConfigResult.DENIED
BUSY = p.ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS
BAD_SN = p.ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER
IN_PROGRESS = p.ReConfigResult.IN_PROGRESS


def new_pair(**changes: Any) -> Pair:
    return established_pair(**{"interleaving": False, **changes})


def tcb(end: End) -> TransmissionControlBlock:
    assert end.association.tcb is not None
    return end.association.tcb


def next_tsn(end: End) -> int:
    return tcb(end).retransmission_queue.next_tsn & MASK


def expected_tsn(end: End) -> int:
    return (tcb(end).data_receiver.cumulative_tsn_ack + 1) & MASK


def first_sn(end: End) -> int:
    """The number of an end's first request (§4.1)."""
    return tcb(end).local.initial_tsn


def send(pair: Pair, end: End, *payloads: bytes, stream_id: int = 0) -> None:
    for payload in payloads:
        end.association.send(stream_id, payload, now=pair.now)


def parameters(packets: list[Packet]) -> list[p.Parameter]:
    return [
        parameter
        for packet in packets
        for chunk in packet.chunks
        if isinstance(chunk, c.ReConfig)
        for parameter in chunk.parameters
    ]


def data(packets: list[Packet]) -> list[c.Data]:
    return [chunk for packet in packets for chunk in packet.chunks if isinstance(chunk, c.Data)]


def used_pair(**changes: Any) -> Pair:
    """Both ends have sent three messages on stream 0, and all is acknowledged."""
    pair = new_pair(**changes)
    for end in (pair.a, pair.z):
        send(pair, end, b"1", b"2", b"3")
    pair.run_for(1.0)
    for end in (pair.a, pair.z):
        assert end.payloads == [b"1", b"2", b"3"]
        assert not tcb(end).retransmission_queue.outstanding_count
        end.events.clear()
    pair.exchange.clear()
    return pair


def request(pair: Pair, end: End, offset: int = 0) -> list[Packet]:
    """The other end asks this one for a reset, past its own state: what this one answers."""
    peer = pair.z if end is pair.a else pair.a
    sn = (first_sn(peer) + offset) & MASK
    return end.receive(c.ReConfig((p.SsnTsnResetRequest(sn),)), now=pair.now)


def respond(pair: Pair, result: int, *tsns: int, offset: int = 0) -> list[Packet]:
    """A is answered by a made-up Z."""
    sn = (first_sn(pair.a) + offset) & MASK
    return pair.a.receive(c.ReConfig((p.ReConfigResponse(sn, result, *tsns),)), now=pair.now)

"""One end of a transfer over a data channel of libdatachannel-py, over the whole stack: ICE and DTLS.

libdatachannel runs its own threads and calls back.  Its buffers are those that it has by default: the
binding offers no way to change them.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import libdatachannel

from tests.benchmarks.peers import signalling
from tests.benchmarks.workloads import PACKET_SIZE, Meter, Workload, say

HIGH_WATER = 1024 * 1024
ABOVE_SCTP = 12 + 48 + 8 + 40
"""What libdatachannel takes off its MTU to get the largest packet of SCTP."""
PATIENCE = 300.0


def connect() -> Any:
    configuration = libdatachannel.Configuration()
    configuration.bind_address = "127.0.0.1"
    configuration.mtu = PACKET_SIZE + ABOVE_SCTP
    configuration.disable_auto_negotiation = True
    return libdatachannel.PeerConnection(configuration)


def describe(connection: Any, kind: str) -> str:
    """Make a description with all candidates."""
    gathered = threading.Event()
    complete = libdatachannel.PeerConnection.GatheringState.Complete

    def on_gathering(state: Any) -> None:
        if state == complete:
            gathered.set()

    connection.on_gathering_state_change(on_gathering)
    connection.set_local_description(getattr(libdatachannel.Description.Type, kind))
    wait(gathered)
    return str(connection.local_description())


def wait(event: threading.Event) -> None:
    if not event.wait(PATIENCE):
        raise TimeoutError("nothing happens any more")


def server(workload: Workload) -> None:
    listener = signalling.listen()
    say("ready", port=listener.getsockname()[1])
    done = threading.Event()
    kept: list[Any] = []  # a channel lives as long as somebody has it

    def on_channel(channel: Any) -> None:
        kept.append(channel)

        def on_message(message: bytes) -> None:
            if len(message) == 1:
                channel.send(message)
                done.set()
                return
            meter.count(len(message))
            if workload.ping:
                channel.send(message)

        channel.on_message(on_message)

    with signalling.Caller(listener) as caller:
        meter = Meter()
        connection = connect()
        connection.on_data_channel(on_channel)
        offer = libdatachannel.Description(caller.offer(), libdatachannel.Description.Type.Offer)
        connection.set_remote_description(offer)
        caller.answer(describe(connection, "Answer"))
    done.wait()
    meter.report()
    time.sleep(0.3)
    connection.close()


def client(workload: Workload, port: int) -> None:
    meter = Meter()
    connection = connect()
    channel = connection.create_data_channel("bench")
    opened, replied = threading.Event(), threading.Event()
    channel.on_open(opened.set)
    channel.on_message(lambda message: replied.set())
    answer = signalling.call(port, describe(connection, "Offer"))
    connection.set_remote_description(
        libdatachannel.Description(answer, libdatachannel.Description.Type.Answer)
    )
    wait(opened)
    meter.is_up()
    (ping if workload.ping else send)(channel, workload, meter)
    replied.clear()
    channel.on_message(lambda message: replied.set())
    channel.send(b"!")
    wait(replied)
    meter.report()
    connection.close()


def send(channel: Any, workload: Workload, meter: Meter) -> None:
    drained = threading.Event()
    channel.set_buffered_amount_low_threshold(HIGH_WATER // 4)
    channel.on_buffered_amount_low(drained.set)
    payload = bytes(workload.size)
    for _ in workload.turns():
        channel.send(payload)
        if channel.buffered_amount() > HIGH_WATER:
            drained.clear()
            if channel.buffered_amount() > HIGH_WATER:
                wait(drained)


def ping(channel: Any, workload: Workload, meter: Meter) -> None:
    """Each reply sends the next one, from the thread that brings it."""
    payload = bytes(workload.size)
    end = time.perf_counter() + workload.seconds
    done = threading.Event()
    sent = [0.0]

    def on_reply(message: bytes) -> None:
        now = time.perf_counter()
        meter.round_trips.append(now - sent[0])
        if now < end:
            sent[0] = time.perf_counter()
            channel.send(payload)
        else:
            done.set()

    channel.on_message(on_reply)
    sent[0] = time.perf_counter()
    channel.send(payload)
    done.wait()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda done: None, server, client)  # there is no event loop to run

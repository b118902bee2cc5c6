"""What is in the handshake with usrsctp: the extensions it offers, and our answers to them."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import free_udp_ports, run_c_peer
from tests.support.packet_log import PacketLog
from tests.support.usrsctp_association import CONFIG, LOOPBACK
from trio_sctp import open_association
from trio_sctp._udp_socket import ConnectedUDPSocket
from trio_sctp._wire.chunks import Init, InitAck
from trio_sctp._wire.parameters import UnknownParameter, UnrecognizedParameter
from trio_sctp.testing import CapturedTransport

RANDOM, CHUNK_LIST, HMAC_ALGO = 0x8002, 0x8003, 0x8004  # RFC 4895 §3: not to be reported


async def test_parameters_we_do_not_know(c_peer: Path) -> None:
    # usrsctp -> INIT with AUTH's, ASCONF's and other parameters; what asks for it is reported
    here, there = free_udp_ports(2)
    log = PacketLog()
    with trio.fail_after(TIME_LIMIT):
        socket = await ConnectedUDPSocket.connect(
            LOOPBACK, there, local_host=LOOPBACK, local_port=here
        )
        server = open_association(
            CapturedTransport(socket, log), client=False, config=CONFIG, data_channels=False
        )
        connect = ("--udp", there, "--peer-udp", here, "--connect", LOOPBACK, "--job", "commands")
        async with run_c_peer(c_peer, *connect) as peer, server as association:
            await peer.command("text 0 51 hello")
            await association.messages.receive()
            assert (await peer.summary())["ending"] == "shutdown"
    init = log.chunks(sent=False)[0]
    init_ack = log.chunks(sent=True)[0]
    assert isinstance(init, Init)
    assert isinstance(init_ack, InitAck)
    unknown = [p for p in init.parameters if isinstance(p, UnknownParameter)]
    assert {parameter.type for parameter in unknown} >= {RANDOM, CHUNK_LIST, HMAC_ALGO}
    reported = [p.parameter for p in init_ack.parameters if isinstance(p, UnrecognizedParameter)]
    assert reported == [p.encode() for p in unknown if p.type & 0x4000]

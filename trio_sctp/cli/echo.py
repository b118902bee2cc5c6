"""``trio-sctp echo`` and ``trio-sctp client``: everything comes back as it was sent.

The server echoes data channels where the peer opens them, and plain messages, on the same stream
with the same PPID, where it does not: any SCTP stack that speaks UDP encapsulation can talk to it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial

import trio

from .. import (
    Association,
    Config,
    DataChannel,
    LocalProtocolError,
    Message,
    MessageChannel,
    serve_udp,
)
from .failure import Failure
from .running import connected, note, say, socket_name, stdin_lines

__all__ = ["run_client", "run_server"]

NO_PPID = 0  # "no such payload protocol identifier is available", RFC 9260 §3.3.1


class EchoTally:
    """What was echoed to one peer."""

    def __init__(self) -> None:
        self.messages = self.bytes = 0

    def add(self, size: int) -> None:
        self.messages += 1
        self.bytes += size


async def run_server(port: int, *, host: str | None, sctp_port: int) -> None:
    """Echo until cancelled."""
    config = Config(local_port=sctp_port)
    serve = partial(serve_udp, echo_everything, port, host=host, config=config, plain_messages=True)
    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(serve)
        say(f"echo: listening at UDP {socket_name(endpoint.local_address)}, SCTP port {sctp_port}")


async def echo_everything(association: Association) -> None:
    """Serve one peer until it shuts down."""
    peer = socket_name(association.peer_address)
    tally = EchoTally()
    note(f"{peer} came")
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_echo_messages, association.messages, tally)
            async for channel in association.listen():
                nursery.start_soon(_echo_channel, channel, tally)
    finally:
        note(f"{peer} left: {tally.messages} messages, {tally.bytes} bytes")


async def _echo_channel(channel: DataChannel, tally: EchoTally) -> None:
    with suppress(trio.BrokenResourceError):  # the peer went away in the middle
        async with channel:
            async for message in channel:
                await channel.send(message)
                tally.add(len(message.encode() if isinstance(message, str) else message))


async def _echo_messages(messages: MessageChannel, tally: EchoTally) -> None:
    with suppress(trio.BrokenResourceError):
        async for message in messages:
            with suppress(LocalProtocolError):  # the peer takes nothing on that stream
                await messages.send(message)
                tally.add(len(message.payload))


async def run_client(host: str, port: int, *, plain: bool, sctp_port: int, patience: float) -> None:
    """Send each line of standard input and print what comes back, until both ended."""
    config = Config(remote_port=sctp_port)
    async with connected(
        host, port, patience=patience, config=config, data_channels=not plain
    ) as association:
        if sys.stdin.isatty():
            note(f"connected to {socket_name(association.peer_address)}; Ctrl-D ends")
        if plain:
            await _Conversation(PlainText(association.messages)).run()
        else:
            async with association.open_channel("echo") as channel:
                await _Conversation(channel).run()


class PlainText(trio.abc.Channel[bytes | str]):
    """Lines as plain messages on stream 0."""

    def __init__(self, messages: MessageChannel) -> None:
        self._messages = messages

    async def send(self, value: bytes | str) -> None:
        payload = value.encode() if isinstance(value, str) else value
        # SCTP has no empty messages (RFC 9260 §3.3.1)
        await self._messages.send(Message(0, NO_PPID, payload or b"\n"))

    async def receive(self) -> bytes | str:
        return (await self._messages.receive()).payload

    async def aclose(self) -> None:
        await self._messages.aclose()


class _Conversation:
    """Lines out and replies in; over once every line had its reply."""

    def __init__(self, channel: trio.abc.Channel[bytes | str]) -> None:
        self._channel = channel
        self._unanswered = 0
        self._all_said = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._talk, nursery.cancel_scope)
            await self._listen()
            nursery.cancel_scope.cancel()

    async def _talk(self, everything: trio.CancelScope) -> None:
        async for line in stdin_lines():
            self._unanswered += 1
            await self._channel.send(line)
        self._all_said = True
        if not self._unanswered:
            everything.cancel()

    async def _listen(self) -> None:
        async for reply in self._channel:
            say(reply if isinstance(reply, str) else reply.decode(errors="replace").rstrip("\n"))
            self._unanswered -= 1
            if self._all_said and self._unanswered <= 0:
                return
        raise Failure("the peer ended the conversation")

"""Pages in Chromium that talk to a server of ours, and what they do there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from tests.support.chromium import Chromium, run_chromium
from tests.support.commands import TIME_LIMIT
from trio_sctp import Association, Config, DataChannel, serve_rtc
from trio_sctp._rtc import DEFAULT_RTC_CONFIG

__all__ = ["ECHO", "called_page", "echo", "echo_channel"]


ECHO = """
const channel = await opened(pc.createDataChannel(label, options));
const values = ['', 'x', 'gr\\u00fc\\u00df \\u20ac \\u{1d11e}', 'ab\\u00e7d'.repeat(52428),
  new Uint8Array(0), new Uint8Array([7]), crypto.getRandomValues(new Uint8Array(65536)),
  new Uint8Array(262144).fill(9)];
for (const value of values) {
  // Of what is sent only once no more than fits into a packet: a SACK that is late loses what is longer.
  if (channel.maxRetransmits === 0 && (value.length ?? value.byteLength) > 500) continue;
  const answer = message(channel);
  channel.send(value);
  const back = await answer;
  if (typeof value !== typeof back && typeof value === 'string') throw Error('another kind');
  if (await sha256(value) !== await sha256(back)) throw Error('not the same');
}
const closed = happened(channel, 'close');
channel.close();
await closed;
return channel.id;
"""
"""What a page does with a new channel whose other end sends back what it gets."""


async def echo_channel(channel: DataChannel) -> None:
    try:
        async for message in channel:
            await channel.send(message)
    except trio.BrokenResourceError:
        pass


async def echo(association: Association) -> None:
    try:
        await trio.serve_listeners(echo_channel, [association.listen()])
    except* trio.EndOfChannel:
        pass


@asynccontextmanager
async def called_page(
    *flags: str,
    calls: bool = True,
    lite: bool = True,
    before: str = "pc.createDataChannel('first');",
    handler: Callable[[Association], Awaitable[object]] = echo,
    config: Config = DEFAULT_RTC_CONFIG,
) -> AsyncIterator[Chromium]:
    """A page that ``calls`` a server of ours, or is called by it; that runs ``handler`` for it."""
    with trio.fail_after(TIME_LIMIT):
        async with run_chromium(*flags) as page, trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve_rtc, handler, 0, lite=lite, config=config))
            await page.run(f"pc = new RTCPeerConnection(); {before}")
            await (page.call(server) if calls else page.be_called(server))
            yield page
            nursery.cancel_scope.cancel()

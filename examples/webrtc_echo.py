"""Echo for browsers: everything that a peer sends on any data channel comes back.

    python examples/webrtc_echo.py [--host H] [--port P] [--udp-port Q]

Signalling is one HTTP request, see http_signalling.py; ``GET /`` gives a page to try it with.  A line
is printed for each peer and each channel.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

from functools import partial
from typing import cast

import trio

import trio_sctp
from http_signalling import run, serve_browsers

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>trio_sctp echo</title>
<h1>Echo</h1>
<form><input autofocus autocomplete="off" disabled> <button disabled>Send</button></form>
<pre></pre>
<script src="connect.js"></script>
<script>
const [form] = document.forms, [input, button] = form.elements;
const log = (text) => { document.querySelector('pre').textContent += text + '\\n'; };
const pc = new RTCPeerConnection();
pc.onconnectionstatechange = () => log(`connection: ${pc.connectionState}`);
const channel = pc.createDataChannel('echo');
channel.onopen = () => { input.disabled = button.disabled = false; };
channel.onclose = () => { input.disabled = button.disabled = true; log('channel closed'); };
channel.onmessage = ({data}) => log(`it said: ${data}`);
form.onsubmit = (event) => { event.preventDefault(); channel.send(input.value); input.value = ''; };
connect(pc).catch((error) => log(error));
</script>
"""


async def echo_channel(peer: str, channel: trio_sctp.DataChannel) -> None:
    """Until the peer closes it, which leaving the block answers."""
    print(f"{peer}: channel {channel.label!r}", flush=True)
    try:
        async with channel:
            async for message in channel:
                await channel.send(message)
    except (trio.BrokenResourceError, trio_sctp.LocalProtocolError):
        pass  # the channel, or the peer, is gone, or takes no messages as long as it sends


async def echo(association: trio_sctp.Association) -> None:
    """Handle one peer."""
    host, port = cast("tuple[str, int]", association.peer_address)
    peer = f"{host} port {port}"
    print(f"{peer}: connected", flush=True)
    await trio.serve_listeners(partial(echo_channel, peer), [association.listen()])


if __name__ == "__main__":
    run(partial(serve_browsers, echo, PAGE), "Echo for browsers, over WebRTC data channels.")

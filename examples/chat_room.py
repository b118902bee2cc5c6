"""A chat room for browsers: everybody who has the page open is told what anybody says.

    python examples/chat_room.py [--host H] [--port P] [--udp-port Q]

One task for each member, and none of them ever waits for another: who does not read misses something,
and nobody else notices.  many_peers.py is the same between trio programs.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from functools import partial

import trio

import trio_sctp
from http_signalling import run, serve_browsers

LONGEST_TEXT = 500
REMEMBERED = 20

PAGE = r"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Chat room</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 0 auto; padding: 1rem }
  ol { list-style: none; padding: 0; height: 60vh; overflow: auto }
  form { display: flex; gap: .5rem }
  input, button { font: inherit; padding: .4rem }
  #text { flex: 1; min-width: 0 }
</style>
<h1>Chat room</h1>
<p role="status">connecting …</p>
<ol role="log"></ol>
<form autocomplete="off">
  <input id="name" aria-label="Your name" placeholder="Name" maxlength="40" size="8" required>
  <input id="text" aria-label="Message" placeholder="Message" maxlength="500" required>
  <button disabled>Say</button></form>
<script src="connect.js"></script>
<script>
const [status, log, form] = ['p', 'ol', 'form'].map((name) => document.querySelector(name));
const [name, text, button] = form.elements;
const pc = new RTCPeerConnection();
const room = pc.createDataChannel('room');
room.onopen = () => { button.disabled = false; status.textContent = 'connected'; };
room.onclose = () => { button.disabled = true; status.textContent = 'the room is gone: reload'; };
room.onmessage = ({data}) => {
  const said = JSON.parse(data), line = document.createElement('li'), by = document.createElement('b');
  by.textContent = `${said.name}: `;
  line.append(by, said.text);
  log.append(line);
  line.scrollIntoView();
};
form.onsubmit = (event) => {
  event.preventDefault();
  room.send(JSON.stringify({name: name.value, text: text.value}));
  text.value = '';
};
connect(pc).catch((error) => { status.textContent = error; });
</script>
"""


class Room:
    """Who is here, and what was said last."""

    def __init__(self) -> None:
        self.members: set[trio_sctp.DataChannel] = set()
        self.said: deque[str] = deque(maxlen=REMEMBERED)

    async def welcome(self, association: trio_sctp.Association) -> None:
        """Serve one browser: its first channel is the room, more it does not get."""
        channel = await association.listen().accept()
        with suppress(trio.BrokenResourceError):  # the browser is gone
            for said in self.said:
                channel.send_nowait(said)
            self.members.add(channel)
            try:
                async for message in channel:
                    if (text := tidy(message)) is not None:
                        self.tell_all(text)
            finally:
                self.members.remove(channel)

    def tell_all(self, text: str) -> None:
        self.said.append(text)
        for member in self.members:
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                member.send_nowait(text)


def tidy(message: str | bytes) -> str | None:
    """What a page sends, with nothing in it that others need not have; None if it is no such thing."""
    try:
        said = json.loads(message)
        name, text = str(said["name"]).strip(), str(said["text"]).strip()
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return json.dumps({"name": name[:40] or "?", "text": text[:LONGEST_TEXT]})


if __name__ == "__main__":
    run(partial(serve_browsers, Room().welcome, PAGE), "A chat room for browsers.")

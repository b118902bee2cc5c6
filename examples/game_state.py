"""A game's state, sixty times a second to every browser: what is late is of no use, so nothing is
sent again and nothing waits for its turn.

    python examples/game_state.py [--host H] [--port P] [--udp-port Q]

The page opens one channel, unordered and with no retransmissions.  It sends where its player wants
to go and gets the whole state, each time complete, so that a lost message costs a sixtieth of a
second and no more.  A browser that cannot keep up is sent less.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import trio

import trio_sctp
from http_signalling import run, serve_browsers

TICKS_PER_SECOND = 60
SPEED = 0.6 / TICKS_PER_SECOND
"""What a player runs in a tick; the field is 1 wide and 1 high."""

STATE = struct.Struct("!II")  # tick, the receiver's own number; then for each player:
PLAYER = struct.Struct("!Iff")  # number, x, y
WISH = struct.Struct("!ff")  # where a player wants to go

PAGE = r"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Game state</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 36rem }
  canvas { width: 100%; aspect-ratio: 1; border: 1px solid gray; touch-action: none }
</style>
<p role="status">connecting …</p>
<canvas width="800" height="800" role="img"
  aria-label="The field: your player runs to the pointer"></canvas>
<script src="connect.js"></script>
<script>
const status = document.querySelector('p'), canvas = document.querySelector('canvas');
const pc = new RTCPeerConnection();
const channel = pc.createDataChannel('game', {ordered: false, maxRetransmits: 0});
channel.binaryType = 'arraybuffer';
let latest = 0, missed = 0, players = new Map(), me;
channel.onmessage = ({data}) => {
  const view = new DataView(data), tick = view.getUint32(0);
  if (tick <= latest) return; // overtaken
  if (latest) missed += tick - latest - 1;
  latest = tick;
  me = view.getUint32(4);
  players = new Map();
  for (let at = 8; at < data.byteLength; at += 12)
    players.set(view.getUint32(at), [view.getFloat32(at + 4), view.getFloat32(at + 8)]);
  status.textContent = `${players.size} here · tick ${latest} · ${missed} missed`;
};
channel.onclose = () => { status.textContent = 'the game is over: reload'; };
canvas.onpointermove = ({offsetX, offsetY}) => {
  if (channel.readyState !== 'open' || channel.bufferedAmount > 1000) return;
  const wish = new DataView(new ArrayBuffer(8));
  wish.setFloat32(0, offsetX / canvas.clientWidth);
  wish.setFloat32(4, offsetY / canvas.clientHeight);
  channel.send(wish);
};
const draw = () => {
  const g = canvas.getContext('2d');
  g.clearRect(0, 0, 800, 800);
  for (const [number, [x, y]] of players) {
    g.fillStyle = `hsl(${number * 137} 70% 50%)`;
    g.beginPath();
    g.arc(x * 800, y * 800, number === me ? 28 : 20, 0, 7);
    g.fill();
  }
  requestAnimationFrame(draw);
};
draw();
connect(pc).catch((error) => { status.textContent = error; });
</script>
"""


@dataclass(slots=True)
class Player:
    number: int
    channel: trio_sctp.DataChannel
    x: float = 0.5
    y: float = 0.5
    wish: tuple[float, float] = (0.5, 0.5)

    def step(self) -> None:
        dx, dy = self.wish[0] - self.x, self.wish[1] - self.y
        distance = math.hypot(dx, dy)
        part = min(1.0, SPEED / distance) if distance else 0.0
        self.x += dx * part
        self.y += dy * part


class Game:
    def __init__(self) -> None:
        self.players: dict[int, Player] = {}
        self.numbers = count(1)
        self.tick = 0

    async def welcome(self, association: trio_sctp.Association) -> None:
        """Serve one browser, which opens the channel as it has to be."""
        channel = await association.listen().accept()
        number = next(self.numbers)
        player = self.players[number] = Player(number, channel)
        try:
            async for message in channel:
                if isinstance(message, bytes) and len(message) == WISH.size:
                    x, y = WISH.unpack(message)
                    if 0 <= x <= 1 and 0 <= y <= 1:
                        player.wish = x, y
        except trio.BrokenResourceError:
            pass  # the browser is gone
        finally:
            del self.players[number]

    async def run(self) -> None:
        """The clock: a tick that comes late does not make the next one late."""
        due = trio.current_time()
        while True:
            await trio.sleep_until(due)
            due = max(due + 1 / TICKS_PER_SECOND, trio.current_time() - 0.25)
            self.tick += 1
            for player in self.players.values():
                player.step()
            self.tell_all()

    def tell_all(self) -> None:
        players = self.players.values()
        everybody = b"".join([PLAYER.pack(p.number, p.x, p.y) for p in players])
        for player in players:
            # No room: the ones before are not even on their way, and newer ones will come.
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                player.channel.send_nowait(STATE.pack(self.tick, player.number) + everybody)


async def main(host: str, port: int, udp_port: int) -> None:
    game = Game()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(game.run)
        await serve_browsers(game.welcome, PAGE, host, port, udp_port)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    run(main, "A game's state to many browsers.")

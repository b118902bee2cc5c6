"""Takes the picture of ``trio-sctp browser`` that is in the manual.

    python -m tests.support.page_picture browser.png [--dark]

Everything on it happens while it is taken: two pages, a bad network, a measurement, a file.  The
manual has it in its 56 most frequent colours as a lossless WebP, which keeps it below 40 kB.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import trio

from tests.support.commands import trio_sctp_command
from tests.support.devtools import Page, open_browser

STATE = "document.querySelector('#connection').dataset.state"
SECONDS_OF_PLOT = 16
SAID = [
    ("Ada", "Two tabs, one UDP port."),
    ("Grace", "Is this chat a data channel, too?"),
    ("Ada", "Everything here is one. The server is some lines of trio."),
]


async def take_picture(path: Path, *, dark: bool) -> None:
    async with trio_sctp_command("browser", "--port", "0") as server, open_browser() as browser:
        found = re.search(r"http://\S+", await server.line())
        assert found is not None
        ada, grace = [await browser.open(found[0]) for _ in range(2)]
        for page, name in ((ada, "Ada"), (grace, "Grace")):
            await page.until(f"{STATE} === 'connected'")
            await page.type("#name", name, enter=False)
        await ada.be(width=1100, height=900, dark=dark)
        await send_a_file(ada)
        await ada.click("#measure")
        await ada.until_text("#throughput-hint", "in messages")
        await ada.choose("#network", "delay=40&jitter=20&loss=4")
        await ada.until(f"{STATE} !== 'connected'")
        await ada.until(f"{STATE} === 'connected'")
        for name, text in SAID:
            await {"Ada": ada, "Grace": grace}[name].type("#text", text)
            await ada.until_text("#said", text)
        await ada.type("#call", "Hello, trio!")
        await trio.sleep(SECONDS_OF_PLOT)
        await ada.eval("document.activeElement.blur(), document.querySelector('#echo .log').blur()")
        path.write_bytes(await ada.picture())


async def send_a_file(page: Page) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "holiday.mp4"
        file.write_bytes(bytes(range(256)) * 8000)
        await page.put_files("#file", [file])
        await page.until("document.querySelector('#transfers .done') !== null")


if __name__ == "__main__":
    trio.run(lambda: take_picture(Path(sys.argv[1]), dark="--dark" in sys.argv))

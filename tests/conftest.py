"""What holds for every test: in CI random examples are the same each time.

A failure there should say something of the change and not of chance; everywhere else each run tries
other examples.  Programs under test can be interrupted wherever the tests run: a job in the background
of a shell ignores SIGINT, and so would its children.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

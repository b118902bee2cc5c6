"""What holds for every test: in CI random examples are the same each time.

A failure there should say something of the change and not of chance; everywhere else each run tries
other examples.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

"""``python -m trio_sctp.cli`` is the ``trio-sctp`` command."""

from __future__ import annotations

from . import main

main()

"""The stacks that are measured, one module each, run as `python -m ... server|client WORKLOAD`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.benchmarks.workloads import Workload


def run_peer(
    arguments: list[str],
    run: Callable[[Any], Any],
    server: Callable[[Workload], Any],
    client: Callable[[Workload, int], Any],
) -> None:
    """Do what the command line says: `server WORKLOAD` or `client WORKLOAD PORT`."""
    workload = Workload(**json.loads(arguments[2]))
    if arguments[1] == "server":
        run(server(workload))
    else:
        run(client(workload, int(arguments[3])))

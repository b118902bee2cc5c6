"""Where the CPU time of a transfer goes, by layer: `python -m tests.benchmarks.where --help`.

Both ends of a bulk transfer are sampled by py-spy, which has to be on the path and to be allowed to look
at other processes.  A sample counts for the innermost layer that it is in, so what the standard library
does for a layer is that layer's.  Start-up is left out, and so is the poll for the socket, which also
contains the waiting.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.runner import ROOT, hear, process
from tests.benchmarks.workloads import WORKLOADS, Workload

SAMPLES_PER_SECOND = 400
LAYERS = {
    "the poll for the socket": ("/trio/_core/_io_",),
    "core": ("/trio_sctp/_core/",),
    "headers and CRC-32C": ("/trio_sctp/_wire/",),
    "system calls for datagrams": ("/trio_sctp/_udp_calls",),
    "DTLS": ("/trio_sctp/_webrtc/dtls", "/trio_sctp/_dtls", "/OpenSSL/", "/cryptography/"),
    "this library's trio side": ("/trio_sctp/",),
    "trio": ("/trio/", "/outcome/"),
    "the program": ("/tests/benchmarks/",),
}
"""Parts of the path of a source file by layer; the first that fits counts."""
POLL = "the poll for the socket"
STACKS = {"UDP": "trio_sctp_udp", "DTLS": "trio_sctp_dtls"}


def layer_of(frames: Sequence[str]) -> str | None:
    """The innermost layer of a stack of frames, the outermost of which comes first."""
    for frame in reversed(frames):
        for layer, paths in LAYERS.items():
            if any(path in frame for path in paths):
                return layer
    return None


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Each layer's part of what py-spy has sampled while trio was running."""
    samples: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        layer = layer_of(stack.split(";"))
        if "unrolled_run" in stack and layer not in (None, POLL):
            samples[str(layer)] += int(count)
    total = samples.total()
    return {layer: count / total for layer, count in samples.most_common()}


def sampled(module: str, workload: Workload) -> dict[str, dict[str, float]]:
    """The shares at both ends of a transfer."""
    described = json.dumps(dataclasses.asdict(workload))
    command = [sys.executable, "-m", f"tests.benchmarks.peers.{module}"]
    with tempfile.TemporaryDirectory() as folder:
        files = {end: Path(folder, end) for end in ("sender", "receiver")}
        with process([*command, "server", described]) as server:
            port = hear(server, "ready")["port"]
            with process([*command, "client", described, str(port)]) as client:
                spies = [
                    _sample(child.pid, files[end])
                    for child, end in ((client, "sender"), (server, "receiver"))
                ]
                hear(client, "result")
            hear(server, "result")
        for spy in spies:
            spy.wait()
        return {end: shares(file.read_text().splitlines()) for end, file in files.items()}


def _sample(pid: int, file: Path) -> subprocess.Popen[bytes]:
    """Until the process ends."""
    how = f"--rate {SAMPLES_PER_SECOND} --full-filenames --format raw --nonblocking"
    return subprocess.Popen(
        ["py-spy", "record", *how.split(), "--pid", str(pid), "--output", str(file)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    rows = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for layer in LAYERS:
        if any(layer in column for column in columns.values()):
            cells = [f"{column.get(layer, 0):.0%}" for column in columns.values()]
            rows.append(f"| {layer} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.where", description=__doc__)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="bulk-16k")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    workload = dataclasses.replace(WORKLOADS[options.workload], seconds=options.seconds)
    found = {
        f"{end}, {name}": column
        for name, module in STACKS.items()
        for end, column in sampled(module, workload).items()
    }
    print(table(found))


if __name__ == "__main__":
    main(sys.argv[1:])

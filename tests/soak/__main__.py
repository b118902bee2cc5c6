"""Ten minutes of associations that come and go on this machine: `python -m tests.soak --minutes 10`.

Over UDP, DTLS and WebRTC at once.  Prints what the process holds whenever all is quiet, and fails if
that has grown.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import trio

from tests.soak.samples import Sample, growth
from tests.soak.soak import KINDS, soak


def tell(sample: Sample) -> None:
    print(sample, flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--period", type=float, default=30.0, help="seconds between two looks")
    parser.add_argument("--workers", type=int, default=5, help="clients of each kind at a time")
    parser.add_argument("--kinds", default=",".join(KINDS), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(Sample.heading(), flush=True)
    samples = trio.run(
        partial(
            soak,
            options.kinds.split(","),
            seconds=options.minutes * 60,
            period=options.period,
            workers=options.workers,
            seed=options.seed,
            tell=tell,
        )
    )
    complaints = growth(samples)
    print(*complaints or ["nothing has grown"], sep="\n")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

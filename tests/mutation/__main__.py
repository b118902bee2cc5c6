"""Which changes of the code no test notices: `python -m tests.mutation trio_sctp/_core/handshake.py`.

The mutants are mutmut's (`pip install mutmut`), and are named as it names them: `mutmut show NAME` tells
more.  Each is tried with the tests (--tests) that run its line, until one fails or so many CPU
seconds are used up.  A line of JSON for each goes to a file; --again tries those that survived there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.mutation.changes import mutants_of
from tests.mutation.trial import Trial


def survivors_of(output: Path) -> set[str]:
    found = map(json.loads, output.read_text().splitlines())
    return {mutant["name"] for mutant in found if mutant["status"] not in ("noticed", "hung")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="+", help="modules of trio_sctp")
    parser.add_argument("--output", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument(
        "--only", default="", help="a regular expression of the names of those to try"
    )
    parser.add_argument("--again", type=Path, help="an earlier output: those that survived there")
    parser.add_argument("--seconds", type=float, default=5.0, help="of tests for each mutant")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--tests", nargs="+", default=["tests/core"])
    options = parser.parse_args()
    mutants = chain.from_iterable(mutants_of(file) for file in options.files)
    names = survivors_of(options.again) if options.again else None
    chosen = (
        m for m in mutants if re.search(options.only, m.name) and (names is None or m.name in names)
    )
    # What counts lines and replaces methods would notice the replacing itself.
    quiet = ["-qq", "-p", "no:cacheprovider", "-m", "not interpreted", "-o", "addopts="]
    with options.output.open("a") as output:
        trial = Trial(chosen, seconds=options.seconds, processes=options.processes, output=output)
        status = pytest.main([*quiet, *options.tests], plugins=[trial])
    print(*(f"{count} {status}" for status, count in trial.counts.items()), sep=", ")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())

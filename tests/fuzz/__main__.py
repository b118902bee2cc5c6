"""Fuzz the library: `python -m tests.fuzz --minutes 60 --level association`.

Three levels: ``codec`` (bytes into the decoders), ``association`` (packets, calls of the program and
time into one association) and ``pair`` (two associations over a hostile network).  Without options all
three are played as CI does it: a fixed number of cases, the same each time.

With --guided the cases are made by a coverage-guided fuzzer (`pip install atheris`), and those that
reach something new are kept in a folder of their own.  A failure is cut down and printed; it can be
played again with --replay, and becomes a test of its own in tests/fuzz/test_fuzz_findings.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--level", choices=("codec", "association", "pair"), help="default: all")
    parser.add_argument("--minutes", type=float, help="of CPU time for each level")
    parser.add_argument("--cases", type=int, help="for each level, instead of minutes")
    parser.add_argument("--seed", type=int, default=0, help="of the random cases")
    parser.add_argument("--replay", metavar="HEX", help="play one case of a level")
    parser.add_argument("--guided", metavar="FOLDER", type=Path, help="let atheris make the cases")
    return parser.parse_args(arguments)


def guided(level: str, minutes: float, folder: Path) -> None:
    """Never returns: atheris ends the process."""
    import atheris

    with atheris.instrument_imports(include=["trio_sctp._wire", "trio_sctp._core"]):
        from tests.fuzz.runner import CORPUS, LEVELS

    folder.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={minutes * 60:.0f}",
            f"-max_len={2 * LEVELS[level].size}",
            f"-artifact_prefix={folder}/failure-",
            str(folder),
            str(CORPUS / level),
        ],
        LEVELS[level].play,
    )
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.guided:
        guided(options.level or "association", options.minutes or 60.0, options.guided)
    from tests.fuzz.runner import LEVELS, run

    if options.replay:
        LEVELS[options.level or "association"].play(bytes.fromhex(options.replay))
        return 0
    status = 0
    for name in [options.level] if options.level else list(LEVELS):
        seconds = options.minutes and options.minutes * 60
        cases = options.cases or (None if seconds else LEVELS[name].cases)
        count, failure = run(name, seed=options.seed, cases=cases, seconds=seconds)
        print(f"{name}: {count} cases", flush=True)
        if failure is not None:
            status = 1
            print(failure.report)
            print(f"python -m tests.fuzz --level {name} --replay {failure.case.hex()}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

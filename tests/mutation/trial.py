"""Which tests notice a mutant: of those that run its line, one after the other until one fails.

The tests are collected once, and played once to learn which lines each runs and how long it takes.  Then
each mutant gets a process of its own, forked from this one, in which nothing has to be imported again.
Tests that noticed mutants of the same function come first, then the quick ones.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

import coverage
import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.changes import Mutant

__all__ = ["Trial"]

MEMORY = 3 << 30
"""Bytes of address space; a mutant that fills it has failed."""
WAIT = 30.0
"""Seconds for a test that waits for what never comes, and uses no CPU."""


class Outcome(NamedTuple):
    mutant: Mutant
    status: str
    """What became of it: noticed, hung (noticed, too), survived, not reached by any test, or not tried
    because it is a text that people read."""
    test: str
    """Which noticed it."""
    played: int
    covering: int

    def line(self) -> str:
        mutant = self.mutant
        return json.dumps(
            {
                "name": mutant.name,
                "line": mutant.lines[0],
                "before": mutant.before[:300],
                "after": mutant.after[:300],
                "status": self.status,
                "test": self.test,
                "played": self.played,
                "covering": self.covering,
            },
            ensure_ascii=False,
        )


class Trial:
    """A plugin of pytest that does this instead of running the tests."""

    def __init__(
        self, mutants: Iterable[Mutant], *, seconds: float, processes: int, output: TextIO
    ) -> None:
        self.mutants = mutants
        self.seconds = seconds
        self.processes = processes
        self.output = output
        self.counts: Counter[str] = Counter()
        self._durations: dict[int, float] = {}
        self._tests_of: dict[str, dict[int, list[int]]] = {}
        self._noticed: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._running: dict[int, tuple[Mutant, list[int], int]] = {}

    def pytest_collection(self) -> None:
        """A failure is enough, it need not be a short one; and each run is like the other."""
        from hypothesis import Phase, settings  # not before pytest has prepared for it

        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        self._learn()
        gc.collect()
        gc.freeze()
        for mutant in self.mutants:
            if len(self._running) >= self.processes:
                self._await_one()
            self._start(mutant)
        while self._running:
            self._await_one()
        return True

    def _learn(self) -> None:
        trace = coverage.Coverage(data_file=None, config_file=False, include=["*/trio_sctp/*"])
        trace.start()
        for index, item in enumerate(self.items):
            trace.switch_context(str(index))
            start = time.process_time()
            if not self._passes(index, item):
                raise pytest.UsageError(f"{item.nodeid} fails without any change")
            self._durations[index] = time.process_time() - start
        trace.stop()
        data = trace.get_data()
        for file in data.measured_files():
            self._tests_of[file] = {
                line: [int(context) for context in contexts if context]
                for line, contexts in data.contexts_by_lineno(file).items()
            }

    def _passes(self, index: int, item: pytest.Item) -> bool:
        """The test, and the tidying up for the next one."""
        following = self.items[index + 1] if index + 1 < len(self.items) else None
        reports = runtestprotocol(item, log=False, nextitem=following)
        return not any(report.failed for report in reports)

    def _choose(self, mutant: Mutant) -> list[int]:
        lines = self._tests_of.get(str(Path(mutant.path).absolute()), {})
        found = {test for line in _range(mutant.lines) for test in lines.get(line, ())}
        if not found:  # in the middle of an expression, say, which has no line of its own
            found = {test for line in _range(mutant.function_lines) for test in lines.get(line, ())}
        near, far = self._noticed[_function(mutant)], self._noticed[mutant.path]
        return sorted(found, key=lambda test: (-near[test], -far[test], self._durations[test]))

    def _start(self, mutant: Mutant) -> None:
        if mutant.is_text:
            self._report(Outcome(mutant, "text", "", 0, 0))
            return
        tests = self._choose(mutant)
        if not tests:
            self._report(Outcome(mutant, "not reached", "", 0, 0))
            return
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            self._play(mutant, tests, writer)
        os.close(writer)
        self._running[process] = mutant, tests, reader

    def _play(self, mutant: Mutant, tests: list[int], writer: int) -> None:
        """In the process of the mutant; never returns."""
        gc.disable()
        gc.unfreeze()  # the function is to be found
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        result = b"broken"
        with contextlib.suppress(BaseException):
            mutant.put_in_place()
            result = self._verdict(tests, writer).encode()
        os.write(writer, result)
        os._exit(0)

    def _verdict(self, tests: list[int], writer: int) -> str:
        spent = 0.0
        for played, index in enumerate(tests, 1):
            duration = self._durations[index]
            if spent + duration > self.seconds:
                return f"survived {played - 1}"
            spent += duration
            os.write(writer, b"%d " % index)
            signal.setitimer(signal.ITIMER_PROF, 2.0 + 10.0 * duration)
            signal.setitimer(signal.ITIMER_REAL, WAIT + 10.0 * duration)
            reports = runtestprotocol(self.items[index], log=False, nextitem=None)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            if any(report.failed for report in reports):
                return "noticed"
        return f"survived {len(tests)}"

    def _await_one(self) -> None:
        process, status = os.wait()
        mutant, tests, reader = self._running.pop(process)
        with os.fdopen(reader) as pipe:
            story = pipe.read().split()
        if "broken" in story:
            self._report(Outcome(mutant, "broken", "", 0, len(tests)))
        elif "survived" in story:
            self._report(Outcome(mutant, "survived", "", int(story[-1]), len(tests)))
        else:
            last = int(story[-2] if story[-1] == "noticed" else story[-1])
            for place in (_function(mutant), mutant.path):
                self._noticed[place][last] += 1
            kind = "noticed" if status == 0 else "hung"
            test = self.items[last].nodeid
            self._report(Outcome(mutant, kind, test, tests.index(last) + 1, len(tests)))

    def _report(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        print(outcome.line(), file=self.output, flush=True)


def _function(mutant: Mutant) -> str:
    return mutant.name.rpartition("__mutmut")[0]


def _range(lines: tuple[int, int]) -> range:
    return range(lines[0], lines[1] + 1)

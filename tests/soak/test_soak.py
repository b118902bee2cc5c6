"""The soak itself, for some seconds, and that it would notice what it looks for."""

from __future__ import annotations

from dataclasses import replace

from tests.soak.samples import Sample, growth
from tests.soak.soak import KINDS, soak


async def test_a_few_seconds_of_it() -> None:
    samples = await soak(KINDS, seconds=2, period=2, workers=1)
    (last,) = samples
    assert last.associations >= len(KINDS)
    assert last.channels >= len(KINDS)
    assert last.bytes > 0


def test_growth_is_noticed() -> None:
    steady = [Sample(60.0 * n, n, n, n, n, 50_000 + n % 2, 10**8, 60, 20) for n in range(20)]
    assert growth(steady) == []
    for name, step in (("objects", 500), ("resident", 10**6), ("tasks", 1), ("files", 1)):
        grown = [
            replace(sample, **{name: getattr(sample, name) + number * step})
            for number, sample in enumerate(steady)
        ]
        (complaint,) = growth(grown)
        assert complaint.startswith(name)
    at_first = [replace(sample, objects=max(0, 9 - n) * 10**4) for n, sample in enumerate(steady)]
    assert growth(at_first) == []

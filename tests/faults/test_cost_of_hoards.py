"""What a packet sets free of what came before it goes in steps, each of which costs little.

Cost is counted in lines of Python: how fast the machine is does not matter.
"""

from __future__ import annotations

import pytest

from tests.support.incoming_data import executed_lines
from tests.support.worst_hoards import HOARDS, steps_of

pytestmark = [pytest.mark.no_cover, pytest.mark.interpreted]

MOST_LINES = 25_000
"""Of a step: about as many as take a millisecond."""


@pytest.mark.parametrize("name", HOARDS)
def test_each_step_is_short_however_much_is_held(name: str) -> None:
    costs = [
        [executed_lines(step) for step in steps_of(HOARDS[name](count))] for count in (1500, 3000)
    ]
    for lines in costs:
        assert max(lines) < MOST_LINES
    few, many = map(max, costs)
    assert many < 1.2 * few + 100

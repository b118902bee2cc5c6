"""What the tests of this folder share: each runs with DATA and with I-DATA."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.partial_reliability import MakePair, PrPair


@pytest.fixture(params=[False, True], ids=["DATA", "I-DATA"])
def interleaving(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def make_pair(interleaving: bool) -> MakePair:
    def make(**options: Any) -> PrPair:
        return PrPair(interleaving=interleaving, **options)

    return make

"""How much memory something takes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """How many bytes are allocated, beyond those of before."""
    gc.collect()
    tracemalloc.start()
    try:

        def grown() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        yield grown
    finally:
        tracemalloc.stop()

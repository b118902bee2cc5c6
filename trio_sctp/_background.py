"""A nursery for the tasks that serve a block: they end with it, and it ends if one of them crashes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, final

import trio

__all__ = ["BackgroundNursery", "leave_nursery"]


@final
class BackgroundNursery(AbstractAsyncContextManager["BackgroundNursery"]):
    """An exception of the block leaves it as it is, never in a group; a crash of a task alike."""

    def __init__(self) -> None:
        self._manager = trio.open_nursery()
        self._crashed = False

    async def __aenter__(self) -> BackgroundNursery:
        self._nursery = await self._manager.__aenter__()
        return self

    def start_soon(self, task: Callable[..., Awaitable[object]], *args: Any, name: str) -> None:
        self._nursery.start_soon(self._guard, task, *args, name=name)

    async def _guard(self, task: Callable[..., Awaitable[object]], *args: Any) -> None:
        try:
            await task(*args)
        except trio.Cancelled:
            raise
        except BaseException:
            self._crashed = True
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._nursery.cancel_scope.cancel()
        if self._crashed:  # what the block raises may be this nursery's own cancellation
            await leave_nursery(self._manager, error)
        else:
            self._nursery.cancel_scope.shield = True  # what leaves is what the block raised
            await leave_nursery(self._manager, None)


async def leave_nursery(
    manager: AbstractAsyncContextManager[trio.Nursery], error: BaseException | None
) -> None:
    """Leave a nursery by an exception, or normally; a crash comes out alone, and not in a group."""
    crash: BaseException
    try:
        if error is None:
            await manager.__aexit__(None, None, None)
        else:
            await manager.__aexit__(type(error), error, error.__traceback__)
        return
    except BaseException as caught:
        crash = caught
    while isinstance(crash, BaseExceptionGroup) and len(crash.exceptions) == 1:
        crash = crash.exceptions[0]
    raise crash

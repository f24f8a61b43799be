"""Runs work that must not stop half-way when the client disconnects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_log = get_logger(__name__)

# asyncio keeps only weak references to tasks. Without this set, a running task could be garbage collected.
_running: set[asyncio.Task[Any]] = set()


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end, even if the caller of this function is cancelled meanwhile.

    gRPC cancels a handler when its client disconnects or its deadline passes. If a commit were cancelled half-way,
    nobody would know whether it happened. So commits are run by this function. When the server drains, it waits for
    work that is still running.

    Raises:
        asyncio.CancelledError: the caller was cancelled. The work goes on, and its error is logged.
        Exception: the error of `work`.
    """
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            task.add_done_callback(_log_failure)
        raise
    finally:
        # The task refers to its error, and the error's traceback to this frame. Without this, the cycle would keep the
        # request in memory until the next full garbage collection.
        del task


async def settle_shielded(timeout_seconds: float | None = None) -> int:
    """Waits until the shielded work of this event loop has ended.

    Args:
        timeout_seconds: the longest wait; None for no limit.

    Returns:
        How many tasks are still running after that.
    """
    loop = asyncio.get_running_loop()
    waiting = {task for task in _running if task.get_loop() is loop}
    if not waiting:
        return 0
    _, still_running = await asyncio.wait(waiting, timeout=timeout_seconds)
    return len(still_running)


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("shielded_work_failed", exc_info=error)

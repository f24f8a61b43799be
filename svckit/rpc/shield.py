"""Work that must not stop half-way because the client went away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_log = get_logger(__name__)

# asyncio keeps weak references only: without this, a task that nobody waits for any more could vanish in the middle.
_running: set[asyncio.Task[Any]] = set()


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end, even if the caller of this is cancelled meanwhile.

    gRPC cancels a handler when its client goes away or its deadline passes. A commit that is cancelled half-way leaves
    it open whether it happened; so commits go through here. The server waits for what is still running when it drains.

    Raises:
        asyncio.CancelledError: when the caller is cancelled; the work goes on, and what it raises is logged.
        Exception: whatever `work` raises.
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


async def settle_shielded(timeout_seconds: float | None = None) -> int:
    """Waits until the shielded work of this event loop has ended.

    Args:
        timeout_seconds: how long at most; None for as long as it takes.

    Returns:
        How many are still running after that.
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

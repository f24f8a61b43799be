"""Waits, by polling for states without an event: those of other processes, or inside a library."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar, overload

T = TypeVar("T")

# Long, because the machine may be busy with other runs.
WAIT_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1
_PAUSES_OF_A_WAIT = 50
"""A pause grows to this part of the wait so far. Looking costs time that what is waited for could have."""


class WaitTimeoutError(AssertionError):
    """The state did not come in time. The text says what was seen last."""


def wait_until(
    look: Callable[[], T],
    what: str,
    *,
    wanted: Callable[[T], object] = bool,
    seconds: float = WAIT_SECONDS,
    failure: Callable[[], object] = lambda: None,
    more: Callable[[], str] = lambda: "",
) -> T:
    """Calls `look` until its result is the wanted one, and returns that result.

    Args:
        look: reads the present state.
        what: the state that is waited for, as the end of the sentence "waited in vain for".
        wanted: whether a result is the wanted one; by default, any true value.
        seconds: how long to wait. Set it in tests that something happens soon.
        failure: why the state cannot come any more, such as the exit code of a process; None while it can.
        more: additional text for the error, such as a log.

    Raises:
        WaitTimeoutError: if it does not come in time, or cannot come any more.
    """
    began = time.monotonic()
    while not wanted(seen := look()):
        _go_on(began + seconds, what, seen, failure(), more)
        time.sleep(pause_seconds(time.monotonic() - began))
    return seen


@overload
async def wait_until_async(
    look: Callable[[], Awaitable[T]],
    what: str,
    *,
    wanted: Callable[[T], object] = ...,
    seconds: float = ...,
    more: Callable[[], str] = ...,
) -> T: ...


@overload
async def wait_until_async(
    look: Callable[[], T],
    what: str,
    *,
    wanted: Callable[[T], object] = ...,
    seconds: float = ...,
    more: Callable[[], str] = ...,
) -> T: ...


async def wait_until_async(
    look: Callable[[], Any],
    what: str,
    *,
    wanted: Callable[[Any], object] = bool,
    seconds: float = WAIT_SECONDS,
    more: Callable[[], str] = lambda: "",
) -> Any:
    """Like `wait_until`, without blocking the event loop. `look` may be a coroutine function."""
    began = time.monotonic()
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if wanted(seen):
            return seen
        _go_on(began + seconds, what, seen, None, more)
        await asyncio.sleep(pause_seconds(time.monotonic() - began))


def result_of(work: "Future[T]", what: str, *, seconds: float = WAIT_SECONDS) -> T:
    """Waits for work in a thread, and returns its result. An error of the work is raised as it is.

    `Future.result` raises a TimeoutError that says neither what was waited for nor who has raised it.

    Args:
        work: the work.
        what: what it is, as the end of the sentence "waited in vain for".
        seconds: how long to wait.

    Raises:
        WaitTimeoutError: if it does not end in time.
    """
    if not wait([work], seconds).done:
        raise WaitTimeoutError(f"waited in vain for {what}")
    return work.result()


def pause_seconds(waited_seconds: float) -> float:
    """How long to pause before the next look, after a wait of `waited_seconds`."""
    return min(max(waited_seconds / _PAUSES_OF_A_WAIT, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)


def _go_on(deadline: float, what: str, seen: object, failure: object, more: Callable[[], str]) -> None:
    if failure is None and time.monotonic() < deadline:
        return
    reason = "" if failure is None else f"it cannot come any more: {failure!r}; "
    raise WaitTimeoutError(f"waited in vain for {what}; {reason}last seen: {seen!r}\n{more()}".rstrip())

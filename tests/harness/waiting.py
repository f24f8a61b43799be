"""Waits for what announces itself by no event: what other processes do, and what a library keeps to itself."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

# What has not come by then will not come. It is long, because a machine may be busy with other runs.
WAIT_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.005


class WaitedInVainError(AssertionError):
    """What was waited for did not come; the text says what was seen last."""


def wait_until(
    look: Callable[[], T],
    what: str,
    *,
    wanted: Callable[[T], object] = bool,
    seconds: float = WAIT_SECONDS,
    hopeless: Callable[[], object] = lambda: None,
    more: Callable[[], str] = lambda: "",
) -> T:
    """Looks again and again until what is seen is wanted, and returns it.

    Args:
        look: sees something.
        what: is waited for, as the end of the sentence "waited in vain for".
        wanted: whether this is it; unless said, whatever is true.
        seconds: less, where it is tested that something comes soon.
        hopeless: why it cannot come any more, such as the exit code of a process; None as long as it can.
        more: what else tells why it did not come, such as a log.

    Raises:
        WaitedInVainError: if it does not come in time, or cannot come any more.
    """
    deadline = time.monotonic() + seconds
    while not wanted(seen := look()):
        _go_on(deadline, what, seen, hopeless(), more)
        time.sleep(_LOOK_EVERY_SECONDS)
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
    """The same, while the event loop goes on; `look` may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if wanted(seen):
            return seen
        _go_on(deadline, what, seen, None, more)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _go_on(deadline: float, what: str, seen: object, hopeless: object, more: Callable[[], str]) -> None:
    if hopeless is None and time.monotonic() < deadline:
        return
    reason = "" if hopeless is None else f"it cannot come any more: {hopeless!r}; "
    raise WaitedInVainError(f"waited in vain for {what}; {reason}last seen: {seen!r}\n{more()}".rstrip())

"""What a long stream does: give what is there, and then what comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from svckit.rpc.streams import current_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

Item = TypeVar("Item")
Position = TypeVar("Position")


class Notifier:
    """Wakes all who wait for something new."""

    def __init__(self) -> None:
        """Has nothing new."""
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wakes them."""
        told, self._next = self._next, asyncio.Event()
        told.set()

    def next(self) -> asyncio.Event:
        """What is set when something new comes from now on. Take it before looking, or what comes between is missed."""
        return self._next


@dataclass(frozen=True, slots=True)
class FollowedPage(Generic[Item, Position]):
    """What a stream has read.

    Attributes:
        items: to be sent; may be none.
        position: where the next page begins.
        has_more: whether it is there already.
    """

    items: Sequence[Item]
    position: Position
    has_more: bool = False


async def follow(
    read: Callable[[Position], Awaitable[FollowedPage[Item, Position] | None]],
    start: Position,
    notifier: Notifier,
    *,
    poll_seconds: float | None = None,
) -> AsyncIterator[Item]:
    """Gives what is there, and then what comes: read a page, close the unit of work, send, wait, repeat.

    Nothing is held while the stream waits, and nothing while its client reads: a thousand idle streams cost no database
    connection.

    Args:
        read: reads the page at a position. It opens its own unit of work and closes it before it returns. None once
            nothing will ever come any more, which ends the stream with OK.
        start: the position of the first page.
        notifier: is told when there may be something new.
        poll_seconds: after which time to look without having been told; for what other processes write. None: never.

    Raises:
        DomainError: GOING_AWAY, the server drains; whatever `read` raises.
        LookupError: the contract does not declare the RPC as long-lived.
    """
    stream = current_stream()
    position = start
    while True:
        news = notifier.next()
        async with stream.reading():
            page = await read(position)
        if page is None:
            return
        for item in page.items:
            yield item
        position = page.position
        if not page.has_more:
            await stream.wait_for(news.wait(), poll_seconds)

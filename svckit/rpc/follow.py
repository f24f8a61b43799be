"""Follows a sequence in a long stream: sends the existing items, then new ones as they appear."""

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
    """Wakes all tasks that wait for new items."""

    def __init__(self) -> None:
        """Starts without waiting tasks."""
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wakes all waiting tasks."""
        current, self._next = self._next, asyncio.Event()
        current.set()

    def next(self) -> asyncio.Event:
        """The event that the next `notify` sets. Take it before reading: otherwise items in between are missed."""
        return self._next


@dataclass(frozen=True, slots=True)
class FollowedPage(Generic[Item, Position]):
    """One page of items.

    Attributes:
        items: the items to send; may be empty.
        position: the position at which the next page begins.
        has_more: whether the next page has items already.
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
    """Sends the existing items, then new ones: reads a page, closes the unit of work, sends, waits, and repeats.

    No database connection is held while the stream waits or while its client reads. So a thousand idle streams use
    none.

    Args:
        read: reads the page at a position. It opens its own unit of work and closes it before it returns. It returns
            None when there will be no more items; then the stream ends with OK.
        start: the position of the first page.
        notifier: is notified when there may be new items.
        poll_seconds: how long to wait before reading without a notification, for items that other processes write; None
            for never.

    Raises:
        DomainError: GOING_AWAY if the server drains; any error of `read`.
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

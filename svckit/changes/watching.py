"""One reader's stream: the changes behind a position, then new ones, and heartbeats in between."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from svckit.change import K
from svckit.changes.feed import PAGE_CHANGES
from svckit.rpc.streams import current_stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from svckit.change import ChangeFilter, ChangePage, LogPosition
    from svckit.changes.feed import ChangeFeed
    from svckit.changes.rights import ReadRight
    from svckit.changes.store import ChangeStore

DEFAULT_HEARTBEAT_SECONDS = 15.0


async def watch(
    store: ChangeStore[K],
    feed: ChangeFeed[K],
    start: LogPosition | None,
    wanted: ChangeFilter[K],
    right: ReadRight,
    *,
    heartbeat_seconds: float = DEFAULT_HEARTBEAT_SECONDS,
) -> AsyncGenerator[ChangePage[K]]:
    """Yields pages. The first comes at once, and one without changes is a heartbeat.

    Only one page is made ahead of what the client has taken, and no database connection is held meanwhile. So slow
    readers cost little, and hold nobody up.

    Args:
        store: the log.
        feed: its recent changes.
        start: where to begin; None for behind the newest change.
        wanted: which changes.
        right: the right of the caller, already opened.
        heartbeat_seconds: the longest time between two pages.

    Raises:
        DomainError: EPOCH_MISMATCH, REVISION_COMPACTED, REVISION_AHEAD; GOING_AWAY if the server drains; the refusal
            if the caller loses the right.
    """
    stream = current_stream()
    with feed.reading():
        if start is None:
            async with stream.reading():
                start = (await store.state()).position
        position = start
        next_page_at = 0.0
        while True:
            news = feed.news
            await right.check()
            page = feed.recent(position, wanted)
            if page is None:
                async with stream.reading():
                    page = await store.read(position, limit=PAGE_CHANGES, wanted=wanted)
            position = page.position
            now = time.monotonic()
            if page.changes or now >= next_page_at:
                yield page
                next_page_at = time.monotonic() + heartbeat_seconds
            if page.has_more:
                # A long way through what does not match must not keep the others waiting.
                await asyncio.sleep(0)
                continue
            # Kept while the stream waits, it would be a page of memory for each reader.
            del page
            await stream.wait_for(news.wait(), min(next_page_at - time.monotonic(), right.seconds_left))

"""The RPCs of a ChangeService. Each service has one in its own package; the messages differ by their package only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from svckit.access.call import current_call
from svckit.access.decision import ProjectKey, ResolvedProject
from svckit.change import ChangeFilter, Cursor, K
from svckit.changes.convert import from_change, from_cursor, from_position, to_position
from svckit.changes.feed import PAGE_CHANGES
from svckit.changes.retention import compact
from svckit.changes.rights import ReadRight
from svckit.changes.watching import DEFAULT_HEARTBEAT_SECONDS, watch
from svckit.errors import Invalid, NotFound
from svckit.paging import clamp_page_size

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from svckit.changes.feed import ChangeFeed
    from svckit.changes.settings import ChangeLogSettings
    from svckit.changes.store import ChangeStore

_MOST_LISTED = 1000

Fields: TypeAlias = dict[str, Any]
"""The fields of a response, by name."""
InRepository: TypeAlias = Callable[[ChangeFilter[K], ResolvedProject, str], ChangeFilter[K]]
"""Narrows a filter to the repository of a project with this name."""


@dataclass(frozen=True, slots=True)
class ChangeServing(Generic[K]):
    """What a servicer of a ChangeService calls. Each method returns the fields of its response.

    Attributes:
        store: the log.
        feed: its recent changes.
        kinds: all its kinds of change.
        rules: how long changes are kept.
        now: the present time.
        in_repository: narrows a filter to one repository of a project; None where there are no repositories.
    """

    store: ChangeStore[K]
    feed: ChangeFeed[K]
    kinds: type[K]
    rules: ChangeLogSettings
    now: Callable[[], datetime]
    in_repository: InRepository[K] | None = None

    async def watch(self, request: Any) -> AsyncGenerator[Fields]:
        """Watch."""
        right, wanted = await self._open(request)
        start = to_position(request.position) if request.HasField("position") else None
        pages = watch(
            self.store,
            self.feed,
            start,
            wanted,
            right,
            heartbeat_seconds=request.heartbeat_seconds or DEFAULT_HEARTBEAT_SECONDS,
        )
        async with aclosing(pages):
            async for page in pages:
                yield {
                    "changes": [from_change(change, with_origin=right.sees_origin) for change in page.changes],
                    "position": from_position(page.position),
                    "newest_revision": page.newest,
                }

    async def list_changes(self, request: Any) -> Fields:
        """ListChanges."""
        right, wanted = await self._open(request)
        start = to_position(request.position) if request.HasField("position") else (await self.store.state()).position
        size = clamp_page_size(request.page_size, PAGE_CHANGES, _MOST_LISTED)
        page = await self.store.read(start, limit=size, wanted=wanted)
        return {
            "changes": [from_change(change, with_origin=right.sees_origin) for change in page.changes],
            "position": from_position(page.position),
            "has_more": page.has_more,
            "oldest": {"epoch": page.position.epoch, "revision": page.compacted_to},
        }

    async def put_cursor(self, request: Any) -> Fields:
        """PutCursor."""
        cursor = Cursor(
            name=request.name,
            position=to_position(request.position),
            holder=current_call().caller_service or "",
            put_time=self.now(),
        )
        put = await self.store.put_cursor(cursor)
        return {"cursor": from_cursor(put, await self.store.state())}

    async def get_cursor(self, request: Any) -> Fields:
        """GetCursor."""
        cursor = await self.store.cursor(request.name)
        if cursor is None:
            raise NotFound
        return {"cursor": from_cursor(cursor, await self.store.state())}

    async def list_cursors(self) -> Fields:
        """ListCursors."""
        state = await self.store.state()
        return {
            "cursors": [from_cursor(cursor, state) for cursor in await self.store.cursors()],
            "newest": from_position(state.position),
            "oldest": from_position(state.oldest),
        }

    async def delete_cursor(self, request: Any) -> Fields:
        """DeleteCursor."""
        if not await self.store.delete_cursor(request.name):
            raise NotFound
        return {}

    async def compact_changes(self, request: Any) -> Fields:
        """CompactChanges."""
        done = await compact(self.store, self.rules, self.now(), request.limit)
        return {"deleted_changes": done.deleted, "compacted_to": done.compacted_to, "has_more": done.has_more}

    async def _open(self, request: Any) -> tuple[ReadRight, ChangeFilter[K]]:
        """The right of the caller, and what it wants to read."""
        right = ReadRight(current_call())
        await right.open(_project_of(request))
        wanted: ChangeFilter[K] = ChangeFilter(
            kinds=self._kinds(request.kinds), project_id=None if right.project is None else right.project.id
        )
        repository_name = getattr(request, "repository_name", "")
        if not repository_name or self.in_repository is None:
            return right, wanted
        if right.project is None:
            raise Invalid.of_field("repository_name", "needs a project beside it")
        return right, self.in_repository(wanted, right.project, repository_name)

    def _kinds(self, names: list[str]) -> frozenset[K] | None:
        if not names:
            return None
        known = {kind.value: kind for kind in self.kinds}
        if unknown := [name for name in names if name not in known]:
            raise Invalid.of_field("kinds", f"has a kind that this log does not have: {unknown[0]}")
        return frozenset(known[name] for name in names)


def _project_of(request: Any) -> ProjectKey | None:
    if not request.HasField("project"):
        return None
    reference = request.project
    return ProjectKey(id=reference.id) if reference.HasField("id") else ProjectKey(name=reference.name)

"""Lists of tags and of their moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, bindparam, func, literal, select

from metasvc.domain.lists import MOST_LISTED_ROWS, NEVER_PULLED, PastMove
from metasvc.store.parts import PartsQuery
from metasvc.store.tables import tag, tag_history
from metasvc.store.tag import TAGS, to_tag
from svckit.sql.actor import to_actor
from svckit.sql.selection import count_rows, read_page
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.lists import Parts
    from metasvc.domain.model import Tag
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": tag.c.id,
    "name": tag.c.name,
    "push_time": tag.c.push_time,
    "pull_time": func.coalesce(tag.c.pull_time, literal(NEVER_PULLED, UtcDateTime())),
}
_ON_ARTIFACTS = PartsQuery(TAGS, ["artifact_id"], ["push_time", "id"], to_tag, most=MOST_LISTED_ROWS, descending=True)
_IDS = select(tag.c.id).where(tag.c.artifact_id == bindparam("artifact_id"))
_ON_ARTIFACT = TAGS.where(tag.c.artifact_id == bindparam("artifact_id"))
_MOVE_COLUMNS: Mapping[str, ColumnElement[Any]] = {"revision": tag_history.c.revision}
_MOVES = select(tag_history).where(
    tag_history.c.repository_id == bindparam("repository_id"), tag_history.c.name == bindparam("tag_name")
)


class SqlTagLists:
    """See `domain.lists.TagLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def on_artifacts(self, artifact_ids: Sequence[int]) -> Parts[int, Tag]:
        """See the port."""
        return await _ON_ARTIFACTS.read(self._conn, [(artifact_id,) for artifact_id in artifact_ids])

    async def page(self, artifact_id: int, selection: Selection) -> list[Tag]:
        """See the port."""
        rows = await read_page(self._conn, _ON_ARTIFACT, _COLUMNS, selection, values={"artifact_id": artifact_id})
        return list(map(to_tag, rows))

    async def count(self, artifact_id: int, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _IDS, _COLUMNS, clauses, values={"artifact_id": artifact_id})

    async def moves(self, repository_id: int, name: str, selection: Selection) -> list[PastMove]:
        """See the port."""
        rows = await read_page(
            self._conn,
            _MOVES,
            _MOVE_COLUMNS,
            selection,
            values={"repository_id": repository_id, "tag_name": name},
        )
        return [
            PastMove(
                name=row.name,
                revision=row.revision,
                digest=row.digest,
                previous_digest=row.previous_digest,
                actor=to_actor(row),
                move_time=row.move_time,
            )
            for row in rows
        ]

    async def move_count(self, repository_id: int, name: str, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(
            self._conn,
            _MOVES,
            _MOVE_COLUMNS,
            clauses,
            values={"repository_id": repository_id, "tag_name": name},
        )

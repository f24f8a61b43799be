"""Tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, update

from metasvc.domain.model import Tag
from metasvc.store.prepared import Prepared
from metasvc.store.tables import artifact, artifact_accessory, repository, tag
from svckit.oci.referrers import read_accessory_tag
from svckit.sql.database import run_short
from svckit.sql.errors import WriteConflictError
from svckit.sql.statements import ID_LIST, batches, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import Insert, ReturningInsert

    from metasvc.domain.tag_rows import TagPut

_NAMES = (
    select(tag.c.name)
    .join(repository, repository.c.id == tag.c.repository_id)
    .where(
        repository.c.name == bindparam("repository"),
        repository.c.project_id == bindparam("project_id"),
        tag.c.name > bindparam("start_after"),
    )
    .order_by(tag.c.name)
    .limit(bindparam("most"))
)

TAGS = select(tag, artifact.c.digest).join(artifact, artifact.c.id == tag.c.artifact_id)
"""Tags with the digests of their artifacts. `to_tag` reads the rows."""

_GET = TAGS.where(tag.c.id == bindparam("tag_id"), tag.c.repository_id == bindparam("repository_id"))
# Without the artifact. After PostgreSQL has waited for a lock, it reads the new state of the tag, but joins it with the
# artifacts that existed before. So a tag that has moved to a new artifact would not be found.
_LOCK = (
    select(tag.c.id)
    .where(tag.c.repository_id == bindparam("repository_id"), tag.c.name.in_(bindparam("names", expanding=True)))
    .order_by(tag.c.name)
    .with_for_update()
)
_LOCKED = TAGS.where(tag.c.id.in_(bindparam("ids", expanding=True)))
_ON_ARTIFACTS = TAGS.where(tag.c.artifact_id.in_(ID_LIST)).order_by(tag.c.name).with_for_update(of=tag)
_MOVE = (
    update(tag)
    .where(tag.c.id == bindparam("tag_id"))
    .values(artifact_id=bindparam("target"), push_time=bindparam("now"))
)
# cosign adds a signature by a new manifest under the same tag. The old one stays an accessory of its subject.
_LEAVE_ACCESSORY = (
    update(artifact_accessory).where(artifact_accessory.c.tag_id == bindparam("of_tag")).values(tag_id=None)
)
# ON DELETE CASCADE removes the accessories of the tags.
_REMOVE = delete(tag).where(tag.c.id.in_(ID_LIST))
_PULLED = (
    update(tag)
    .where(tag.c.repository_id == bindparam("in_repository"), tag.c.name == bindparam("tag_name"))
    .values(pull_time=bindparam("pulled"))
)


@Prepared
def _add(conn: AsyncConnection) -> ReturningInsert[int, str]:
    insert = upsert(conn, tag).on_conflict_do_nothing(index_elements=[tag.c.repository_id, tag.c.name])
    return insert.returning(tag.c.id, tag.c.name)


@Prepared
def _add_accessory(conn: AsyncConnection) -> Insert:
    # A tag may come back to an artifact.
    row = upsert(conn, artifact_accessory)
    reason = [artifact_accessory.c.artifact_id, artifact_accessory.c.subject_digest, artifact_accessory.c.source]
    return row.on_conflict_do_update(index_elements=reason, set_={"tag_id": row.excluded.tag_id})


class SqlTags:
    """See `domain.tag_rows.TagRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def names(self, project_id: int, repository: str, start_after: str, limit: int) -> list[str]:
        """See the port."""
        values = {"project_id": project_id, "repository": repository, "start_after": start_after, "most": limit}
        return list(await self._conn.scalars(_NAMES, values))

    async def lock(self, repository_id: int, names: Iterable[str]) -> dict[str, Tag]:
        """See the port."""
        tags: dict[str, Tag] = {}
        for batch in batches(sorted(set(names))):
            locked = await run_short(self._conn, _LOCK, {"repository_id": repository_id, "names": batch})
            if locked:
                ids = [row.id for row in locked]
                tags |= {row.name: to_tag(row) for row in await run_short(self._conn, _LOCKED, {"ids": ids})}
        return tags

    async def get(self, repository_id: int, tag_id: int) -> Tag | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"repository_id": repository_id, "tag_id": tag_id})).one_or_none()
        return None if row is None else to_tag(row)

    async def on_artifacts(self, artifact_ids: Sequence[int]) -> list[Tag]:
        """See the port."""
        return [to_tag(row) for row in await self._conn.execute(_ON_ARTIFACTS, {"ids": artifact_ids})]

    async def put(self, repository_id: int, puts: Sequence[TagPut], now: datetime) -> None:
        """See the port."""
        await self._move([put for put in puts if put.held is not None], now)
        made = await self._add(repository_id, [put for put in puts if put.held is None], now)
        rows = [
            {
                "artifact_id": put.artifact_id,
                "repository_id": repository_id,
                "subject_digest": put.subject.digest,
                "source": put.subject.source.value,
                "tag_id": made[put.name] if put.held is None else put.held.id,
                "type": put.subject.type,
                "create_time": now,
            }
            for put in puts
            if put.subject is not None
        ]
        if rows:
            await run_short(self._conn, _add_accessory(self._conn), rows)

    async def _move(self, puts: Sequence[TagPut], now: datetime) -> None:
        moved = [(put.held.id, put) for put in puts if put.held is not None]
        if moved:
            rows = [{"tag_id": tag_id, "target": put.artifact_id, "now": now} for tag_id, put in moved]
            await run_short(self._conn, _MOVE, rows)
        left = [{"of_tag": tag_id} for tag_id, put in moved if read_accessory_tag(put.name) is not None]
        if left:
            await run_short(self._conn, _LEAVE_ACCESSORY, left)

    async def _add(self, repository_id: int, puts: Sequence[TagPut], now: datetime) -> Mapping[str, int]:
        """The ids of new tags, by their names."""
        if not puts:
            return {}
        # In the order of names, as `lock`: two units that make the same tags wait for each other's.
        rows = [
            {"repository_id": repository_id, "name": put.name, "artifact_id": put.artifact_id, "push_time": now}
            for put in sorted(puts, key=lambda put: put.name)
        ]
        made = {row.name: row.id for row in await run_short(self._conn, _add(self._conn), rows)}
        if len(made) < len(rows):
            # Somebody else has made one since `lock`, so the decisions of this unit are out of date.
            raise WriteConflictError
        return made

    async def remove(self, tag_ids: Iterable[int]) -> None:
        """See the port."""
        ids = list(tag_ids)
        if ids:
            await self._conn.execute(_REMOVE, {"ids": ids})

    async def touch_pulled(self, repository_id: int, pulls: Mapping[str, datetime]) -> None:
        """See the port."""
        if pulls:
            await self._conn.execute(
                _PULLED,
                [{"in_repository": repository_id, "tag_name": name, "pulled": pulls[name]} for name in sorted(pulls)],
            )


def to_tag(row: Row[Any]) -> Tag:
    """Reads a row of `TAGS`."""
    return Tag(
        id=row.id,
        repository_id=row.repository_id,
        artifact_id=row.artifact_id,
        name=row.name,
        digest=row.digest,
        push_time=row.push_time,
        pull_time=row.pull_time,
    )

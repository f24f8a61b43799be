"""Copies of artifacts between repositories. See `domain.copy_rows`.

Rows are copied inside the database, so a copy moves no manifests and no attributes through this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, Text, bindparam, exists, insert, literal, select

from metasvc.domain.copy_rows import CopiedArtifact
from metasvc.domain.model import AccessorySource, BlobState, KeptArtifact
from metasvc.store.artifact_graph import reachable
from metasvc.store.prepared import Prepared
from metasvc.store.tables import (
    artifact,
    artifact_accessory,
    artifact_blob,
    artifact_reference,
    blob,
    manifest,
    repository_blob,
)
from metasvc.store.tag import TAGS, to_tag
from svckit.sql.errors import WriteConflictError
from svckit.sql.statements import ID_LIST, batches, upsert
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import ReturningInsert

    from metasvc.domain.model import Repository, Tag

_TARGET: BindParameter[int] = bindparam("target_id")
_NOW = bindparam("now", type_=UtcDateTime())
_ROOT = select(artifact.c.id).where(
    artifact.c.repository_id == bindparam("of_repository"), artifact.c.digest == bindparam("digest")
)
_DIGESTS = select(artifact.c.id, artifact.c.digest).where(artifact.c.id.in_(ID_LIST)).order_by(artifact.c.id)
# FOR KEY SHARE, as a push locks children: a deletion waits, and an update of the pull time does not.
_LOCK = _DIGESTS.with_for_update(read=True, key_share=True)
_held = artifact.alias("held")
_ABSENT = (
    select(artifact.c.id)
    .where(
        artifact.c.id.in_(ID_LIST),
        ~exists().where(_held.c.repository_id == _TARGET, _held.c.digest == artifact.c.digest).correlate(artifact),
    )
    .order_by(artifact.c.id)
)
_IS_ACCESSORY = select(exists().where(artifact_accessory.c.artifact_id == bindparam("of_artifact")))

_source, _copy, _child = artifact.alias("source"), artifact.alias("copied"), artifact.alias("child")
# The rows of the artifacts that are copied, next to their copies.
_PAIRS = _source.join(_copy, (_copy.c.repository_id == _TARGET) & (_copy.c.digest == _source.c.digest))
_IS_COPIED = _source.c.id.in_(ID_LIST)
# What is about one repository is written anew. Every other column is copied, also those that come later.
_OWN: Mapping[str, ColumnElement[Any]] = {
    "project_id": bindparam("target_project"),
    "repository_id": _TARGET,
    "repository_name": bindparam("target_name", type_=Text()),
    "push_time": _NOW,
}
_LEFT_OUT = frozenset({"id", "pull_time", "repeat_time", "asked_time"})
_COLUMNS = [column.name for column in artifact.c if column.name not in _LEFT_OUT]
# In the order of digests: two copies into one repository wait for each other's rows, and must do so in one order.
_ROWS = select(*(_OWN.get(name, _source.c[name]) for name in _COLUMNS)).where(_IS_COPIED).order_by(_source.c.digest)


_ADD_MANIFESTS = insert(manifest).from_select(
    ["artifact_id", "content"],
    select(_copy.c.id, manifest.c.content)
    .select_from(_PAIRS.join(manifest, manifest.c.artifact_id == _source.c.id))
    .where(_IS_COPIED),
)
_ADD_REFERENCES = insert(artifact_reference).from_select(
    ["parent_id", "position", "child_id", "child_digest", "platform", "annotations", "urls"],
    select(
        _copy.c.id,
        artifact_reference.c.position,
        _child.c.id,
        artifact_reference.c.child_digest,
        artifact_reference.c.platform,
        artifact_reference.c.annotations,
        artifact_reference.c.urls,
    )
    .select_from(
        _PAIRS.join(artifact_reference, artifact_reference.c.parent_id == _source.c.id).join(
            _child, (_child.c.repository_id == _TARGET) & (_child.c.digest == artifact_reference.c.child_digest)
        )
    )
    .where(_IS_COPIED),
)
_ADD_BLOBS = insert(artifact_blob).from_select(
    ["artifact_id", "digest", "repository_id", "media_type", "size"],
    select(_copy.c.id, artifact_blob.c.digest, _TARGET, artifact_blob.c.media_type, artifact_blob.c.size)
    .select_from(_PAIRS.join(artifact_blob, artifact_blob.c.artifact_id == _source.c.id))
    .where(_IS_COPIED),
)
# Those by the subject field, and those whose tag has moved on. A tag that is still there makes its own row
# (`SqlTags.put`).
_ADD_ACCESSORIES = insert(artifact_accessory).from_select(
    ["artifact_id", "repository_id", "subject_digest", "source", "type", "create_time"],
    select(
        _copy.c.id,
        _TARGET,
        artifact_accessory.c.subject_digest,
        artifact_accessory.c.source,
        artifact_accessory.c.type,
        _NOW,
    )
    .select_from(_PAIRS.join(artifact_accessory, artifact_accessory.c.artifact_id == _source.c.id))
    .where(
        _IS_COPIED,
        (artifact_accessory.c.source == AccessorySource.SUBJECT.value) | artifact_accessory.c.tag_id.is_(None),
    )
    .order_by(artifact_accessory.c.id),
)


@Prepared
def _add(conn: AsyncConnection) -> ReturningInsert[int, str, int, str, int]:
    return (
        upsert(conn, artifact)
        # The WHERE also keeps SQLite from parsing ON CONFLICT as a join condition.
        .from_select(_COLUMNS, _ROWS)
        .on_conflict_do_nothing(index_elements=[artifact.c.repository_id, artifact.c.digest])
        .returning(
            artifact.c.id, artifact.c.digest, artifact.c.size, artifact.c.manifest_media_type, artifact.c.manifest_size
        )
    )


@Prepared
def _link(conn: AsyncConnection) -> ReturningInsert[str]:
    live = (
        select(_TARGET, blob.c.digest, _NOW, literal(True))  # noqa: FBT003 - an SQL value
        .where(blob.c.digest.in_(bindparam("digests", expanding=True)), blob.c.state == BlobState.LIVE.value)
        .order_by(blob.c.digest)
    )
    return (
        upsert(conn, repository_blob)
        .from_select(["repository_id", "digest", "create_time", "charged"], live)
        .on_conflict_do_update(
            index_elements=[repository_blob.c.repository_id, repository_blob.c.digest],
            set_={"charged": True},
            where=~repository_blob.c.charged,
        )
        .returning(repository_blob.c.digest)
    )


class SqlCopies:
    """See `domain.copy_rows.CopyRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def graph(self, repository_id: int, digest: str) -> Mapping[str, int]:
        """See the port."""
        ids = await self._reachable(repository_id, digest)
        return {row.digest: row.id for row in await self._conn.execute(_DIGESTS, {"ids": ids})}

    async def lock_graph(self, repository_id: int, digest: str) -> Mapping[str, int]:
        """See the port.

        What was deleted since it was found is left out. A child is deleted with all its parents only, and a locked one
        is not deleted. So the children of what is locked are locked, too.
        """
        ids = await self._reachable(repository_id, digest)
        return {row.digest: row.id for row in await self._conn.execute(_LOCK, {"ids": ids})}

    async def _reachable(self, repository_id: int, digest: str) -> list[int]:
        root = await self._conn.scalar(_ROOT, {"of_repository": repository_id, "digest": digest})
        return [] if root is None else sorted(await reachable(self._conn, {root}))

    async def absent(self, artifact_ids: Iterable[int], repository_id: int) -> list[int]:
        """See the port."""
        return list(await self._conn.scalars(_ABSENT, {"ids": list(artifact_ids), "target_id": repository_id}))

    async def is_accessory(self, artifact_id: int) -> bool:
        """See the port."""
        return bool(await self._conn.scalar(_IS_ACCESSORY, {"of_artifact": artifact_id}))

    async def tags(self, artifact_ids: Sequence[int]) -> list[Tag]:
        """See the port."""
        statement = TAGS.where(artifact.c.id.in_(ID_LIST))
        return sorted(map(to_tag, await self._conn.execute(statement, {"ids": artifact_ids})), key=lambda tag: tag.name)

    async def add(self, artifact_ids: Sequence[int], target: Repository, now: datetime) -> list[CopiedArtifact]:
        """See the port."""
        if not artifact_ids:
            return []
        values = {
            "ids": list(artifact_ids),
            "target_id": target.id,
            "target_project": target.project_id,
            "target_name": target.name,
            "now": now,
        }
        rows = (await self._conn.execute(_add(self._conn), values)).all()
        if len(rows) < len(artifact_ids):
            # Somebody else has pushed one of them since the lookup, so the decisions of this unit are out of date.
            raise WriteConflictError
        for statement in (_ADD_MANIFESTS, _ADD_REFERENCES, _ADD_BLOBS, _ADD_ACCESSORIES):
            await self._conn.execute(statement, values)
        return [
            CopiedArtifact(KeptArtifact(row.id, row.digest, row.size, row.manifest_media_type), row.manifest_size)
            for row in rows
        ]

    async def link(self, repository_id: int, digests: Collection[str], now: datetime) -> list[str]:
        """See the port."""
        charged: list[str] = []
        for batch in batches(sorted(digests)):
            values = {"target_id": repository_id, "digests": batch, "now": now}
            charged += await self._conn.scalars(_link(self._conn), values)
        return charged

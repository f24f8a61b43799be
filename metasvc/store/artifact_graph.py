"""Reads and locks the graph of an artifact that will be deleted. See `domain.artifact_graph`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from metasvc.domain.artifact_graph import ArtifactGraph, GraphArtifact
from metasvc.store.artifact_condition import IS_ORDINARY
from metasvc.store.tables import artifact, artifact_accessory, artifact_reference, tag
from svckit.sql.statements import ID_LIST

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

_ROOT = select(artifact.c.id).where(
    artifact.c.repository_id == bindparam("repository_id"), artifact.c.digest == bindparam("digest")
)
_CHILDREN = select(artifact_reference.c.child_id).where(artifact_reference.c.parent_id.in_(ID_LIST)).distinct()
_subject = artifact.alias("subject")
_IS_SUBJECT = (_subject.c.repository_id == artifact_accessory.c.repository_id) & (
    _subject.c.digest == artifact_accessory.c.subject_digest
)
_ACCESSORIES = (
    select(artifact_accessory.c.artifact_id)
    .select_from(_subject.join(artifact_accessory, _IS_SUBJECT))
    .where(_subject.c.id.in_(ID_LIST))
    .distinct()
)
_LOCK = (
    select(
        artifact.c.id,
        artifact.c.digest,
        func.coalesce(artifact.c.repeat_time, artifact.c.push_time).label("put_time"),
        artifact.c.asked_time,
    )
    .where(artifact.c.id.in_(ID_LIST))
    .order_by(artifact.c.id)
    .with_for_update()
)
_TAGGED = select(tag.c.artifact_id).where(tag.c.artifact_id.in_(ID_LIST), IS_ORDINARY).distinct()
_PARENTS = (
    select(artifact_reference.c.child_id, artifact_reference.c.parent_id)
    .where(artifact_reference.c.child_id.in_(ID_LIST))
    .distinct()
)
_SUBJECTS = (
    select(artifact_accessory.c.artifact_id, _subject.c.id.label("subject_id"))
    .select_from(artifact_accessory.outerjoin(_subject, _IS_SUBJECT))
    .where(artifact_accessory.c.artifact_id.in_(ID_LIST))
    .distinct()
)


async def lock_graph(conn: AsyncConnection, repository_id: int, digest: str) -> ArtifactGraph | None:
    """See `domain.rows.ArtifactRows.lock_graph`. The number of statements grows with the depth of the graph only."""
    root: int | None = await conn.scalar(_ROOT, {"repository_id": repository_id, "digest": digest})
    if root is None:
        return None
    found = await reachable(conn, {root})
    while True:
        # All at once, in the order of their ids, as every write does.
        locked = {row.id: row for row in await conn.execute(_LOCK, {"ids": sorted(found)})}
        if root not in locked:
            # Somebody else has deleted it meanwhile.
            return None
        # An accessory may have been pushed before the lock. After it, a push waits for the lock of its subject, so
        # this ends. Locks out of order may deadlock; then `Store.repeat` tries again.
        new = await reachable(conn, locked.keys()) - found
        if not new:
            break
        found |= new
    # Each statement sees what was committed before it began. Nobody can name a locked artifact meanwhile.
    ids = {"ids": list(locked)}
    tagged = set(await conn.scalars(_TAGGED, ids))
    parents: defaultdict[int, set[int]] = defaultdict(set)
    for child_id, parent_id in await conn.execute(_PARENTS, ids):
        parents[child_id].add(parent_id)
    subjects: defaultdict[int, set[int | None]] = defaultdict(set)
    for artifact_id, subject_id in await conn.execute(_SUBJECTS, ids):
        subjects[artifact_id].add(subject_id)
    return ArtifactGraph(
        root=root,
        artifacts={
            row.id: GraphArtifact(row.id, row.digest, row.put_time, row.asked_time, row.id in tagged)
            for row in locked.values()
        },
        parents=parents,
        subjects=subjects,
    )


async def reachable(conn: AsyncConnection, roots: Collection[int]) -> set[int]:
    """The artifacts that can be reached from some, and these, by references to children and accessories.

    The number of statements grows with the depth of the graph only.
    """
    found = set(roots)
    edge = found
    while edge:
        ids = {"ids": sorted(edge)}
        below = set(await conn.scalars(_CHILDREN, ids)) | set(await conn.scalars(_ACCESSORIES, ids))
        edge = below - found
        found = found | edge
    return found

"""Artifacts: their rows, bytes, references and referrers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, bindparam, delete, func, insert, select, update

from metasvc.domain.model import AccessorySource, Artifact, KeptArtifact
from metasvc.store.artifact_graph import lock_graph
from metasvc.store.prepared import Prepared
from metasvc.store.reads import fetch_in, find_manifests
from metasvc.store.referrer import SubjectKey, count_referrers, read_referrers
from metasvc.store.tables import (
    artifact,
    artifact_accessory,
    artifact_blob,
    artifact_reference,
    manifest,
)
from svckit.sql.database import run_short, run_short_one
from svckit.sql.errors import WriteConflictError
from svckit.sql.statements import ID_LIST, batches, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Insert, Row
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import ReturningInsert

    from metasvc.domain.artifact_graph import ArtifactGraph
    from metasvc.domain.model import NeededBlob, NewArtifact, Reference, Referrer, StoredManifest, WantedManifest
    from svckit.listing import Selection

_ID: BindParameter[int] = bindparam("artifact_id")
_IN_REPOSITORY = artifact.c.repository_id == bindparam("repository_id")
_GET = select(artifact).where(_IN_REPOSITORY, artifact.c.digest == bindparam("digest"))
# FOR KEY SHARE: a delete waits for this lock, but an update of the pull time does not.
_LOCK_KEPT = (
    select(artifact.c.id, artifact.c.digest, artifact.c.size, artifact.c.manifest_media_type)
    .where(_IN_REPOSITORY, artifact.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(artifact.c.id)
    .with_for_update(read=True, key_share=True)
)
_ADD_MANIFEST = insert(manifest)
_ADD_REFERENCES = insert(artifact_reference)
_ADD_BLOBS = insert(artifact_blob)
_ADD_ACCESSORY = insert(artifact_accessory)
# References have no ON DELETE CASCADE for children, because a child must stay as long as an index names it.
_REMOVE_REFERENCES = delete(artifact_reference).where(artifact_reference.c.parent_id.in_(ID_LIST))
_REMOVE = delete(artifact).where(artifact.c.id.in_(ID_LIST))
_REPEATED = (
    update(artifact).where(artifact.c.id == _ID).values(repeat_time=bindparam("now"), asked_time=bindparam("now"))
)
_ASKED = (
    update(artifact)
    .where(artifact.c.id == _ID, func.coalesce(artifact.c.asked_time, artifact.c.push_time) <= bindparam("now"))
    .values(asked_time=bindparam("now"))
)
_BLOB_DIGESTS = (
    select(artifact_blob.c.digest)
    .where(artifact_blob.c.artifact_id.in_(ID_LIST))
    .distinct()
    .order_by(artifact_blob.c.digest)
)
_PULLED = update(artifact).where(artifact.c.id == _ID).values(pull_time=bindparam("pulled"))


@Prepared
def _add(conn: AsyncConnection) -> ReturningInsert[Any]:
    return (
        upsert(conn, artifact)
        .on_conflict_do_nothing(index_elements=[artifact.c.repository_id, artifact.c.digest])
        .returning(artifact)
    )


@Prepared
def _hold_blobs(conn: AsyncConnection) -> Insert:
    return upsert(conn, artifact_blob).on_conflict_do_nothing()


class SqlArtifacts:
    """See `domain.rows.ArtifactRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def find_manifests(
        self, wanted: Sequence[WantedManifest], *, content_bytes: int | None = None
    ) -> list[StoredManifest | None]:
        """See the port."""
        return await find_manifests(fetch_in(self._conn), self._conn.dialect.name, wanted, content_bytes)

    async def get(self, repository_id: int, digest: str) -> Artifact | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"repository_id": repository_id, "digest": digest})).one_or_none()
        return None if row is None else to_artifact(row)

    async def lock_kept(self, repository_id: int, digests: Iterable[str]) -> dict[str, KeptArtifact]:
        """See the port."""
        kept: dict[str, KeptArtifact] = {}
        for batch in batches(sorted(set(digests))):
            rows = await run_short(self._conn, _LOCK_KEPT, {"repository_id": repository_id, "digests": batch})
            kept |= {row.digest: KeptArtifact(row.id, row.digest, row.size, row.manifest_media_type) for row in rows}
        return kept

    async def add(
        self,
        new: NewArtifact,
        content: bytes,
        *,
        references: Sequence[Reference],
        blobs: Sequence[NeededBlob],
        accessory_type: str,
    ) -> Artifact:
        """See the port."""
        row = await run_short_one(
            self._conn,
            _add(self._conn),
            {
                "project_id": new.project_id,
                "repository_id": new.repository_id,
                "repository_name": new.repository_name,
                "digest": new.digest,
                "media_type": new.media_type,
                "manifest_media_type": new.manifest_media_type,
                "artifact_type": new.artifact_type,
                "type": new.type,
                "size": new.size,
                "manifest_size": new.manifest_size,
                "subject_digest": new.subject_digest,
                "config_digest": new.config_digest,
                "push_time": new.push_time,
                "pull_time": new.pull_time,
                "extra_attrs": dict(new.extra_attrs),
                "annotations": dict(new.annotations),
            },
        )
        if row is None:
            # Somebody else has pushed it since the lookup, so the decisions of this unit are out of date.
            raise WriteConflictError
        made = to_artifact(row)
        await run_short(self._conn, _ADD_MANIFEST, {"artifact_id": made.id, "content": content})
        if references:
            await run_short(self._conn, _ADD_REFERENCES, _reference_rows(made.id, references))
        if blobs:
            await run_short(self._conn, _ADD_BLOBS, _blob_rows(made.id, made.repository_id, blobs))
        if made.subject_digest:
            await run_short(
                self._conn,
                _ADD_ACCESSORY,
                {
                    "artifact_id": made.id,
                    "repository_id": made.repository_id,
                    "subject_digest": made.subject_digest,
                    "source": AccessorySource.SUBJECT.value,
                    "type": accessory_type,
                    "create_time": made.push_time,
                },
            )
        return made

    async def hold_blobs(self, artifact_id: int, repository_id: int, blobs: Sequence[NeededBlob]) -> None:
        """See the port."""
        await run_short(self._conn, _hold_blobs(self._conn), _blob_rows(artifact_id, repository_id, blobs))

    async def lock_graph(self, repository_id: int, digest: str) -> ArtifactGraph | None:
        """See the port."""
        return await lock_graph(self._conn, repository_id, digest)

    async def remove(self, artifact_ids: Sequence[int]) -> None:
        """See the port. ON DELETE CASCADE removes the other rows."""
        for statement in (_REMOVE_REFERENCES, _REMOVE):
            await self._conn.execute(statement, {"ids": artifact_ids})

    async def note_repeat(self, artifact_id: int, now: datetime) -> None:
        """See the port."""
        await run_short(self._conn, _REPEATED, {"artifact_id": artifact_id, "now": now})

    async def note_asked(self, artifact_id: int, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(_ASKED, {"artifact_id": artifact_id, "now": now})

    async def blob_digests(self, artifact_ids: Sequence[int]) -> list[str]:
        """See the port."""
        return list(await self._conn.scalars(_BLOB_DIGESTS, {"ids": artifact_ids}))

    async def referrers(
        self,
        project_id: int,
        repository: str,
        subject: str,
        artifact_type: str,
        selection: Selection,
        *,
        room_bytes: int,
    ) -> list[Referrer]:
        """See the port."""
        of = SubjectKey(project_id, repository, subject, artifact_type)
        return await read_referrers(self._conn, of, selection, room_bytes)

    async def referrer_count(self, project_id: int, repository: str, subject: str, artifact_type: str) -> int:
        """See the port."""
        return await count_referrers(self._conn, SubjectKey(project_id, repository, subject, artifact_type))

    async def touch_pulled(self, pulls: Mapping[int, datetime]) -> None:
        """See the port."""
        if pulls:
            await self._conn.execute(_PULLED, [{"artifact_id": key, "pulled": pulls[key]} for key in sorted(pulls)])


def _reference_rows(parent_id: int, references: Sequence[Reference]) -> list[dict[str, object]]:
    return [
        {
            "parent_id": parent_id,
            "position": position,
            "child_id": reference.child_id,
            "child_digest": reference.child_digest,
            "platform": None if reference.platform is None else dict(reference.platform),
            "annotations": dict(reference.annotations),
            "urls": list(reference.urls),
        }
        for position, reference in enumerate(references)
    ]


def _blob_rows(artifact_id: int, repository_id: int, blobs: Sequence[NeededBlob]) -> list[dict[str, object]]:
    return [
        {
            "artifact_id": artifact_id,
            "digest": blob.digest,
            "repository_id": repository_id,
            "media_type": blob.media_type,
            "size": blob.size,
        }
        for blob in blobs
    ]


def to_artifact(row: Row[Any]) -> Artifact:
    """Reads a row of the artifact table."""
    return Artifact(
        id=row.id,
        project_id=row.project_id,
        repository_id=row.repository_id,
        repository_name=row.repository_name,
        digest=row.digest,
        media_type=row.media_type,
        manifest_media_type=row.manifest_media_type,
        artifact_type=row.artifact_type,
        type=row.type,
        size=row.size,
        manifest_size=row.manifest_size,
        subject_digest=row.subject_digest,
        config_digest=row.config_digest,
        push_time=row.push_time,
        pull_time=row.pull_time,
        extra_attrs=row.extra_attrs,
        annotations=row.annotations,
    )

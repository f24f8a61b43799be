"""Pages of referrers, which end early if their annotations are large."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, func, literal, select

from metasvc.domain.model import AccessorySource, Referrer
from metasvc.store.tables import artifact, artifact_accessory, repository
from svckit.sql.selection import after, count_rows, order_by
from svckit.sql.types import Json

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.listing import Selection
    from svckit.sql.selection import Columns

_COLUMNS: Columns = {"artifact_id": artifact_accessory.c.artifact_id}
# The rest of a descriptor: names of members, digests, numbers.
_DESCRIPTOR_BYTES = 512
# Annotations and types are part of the manifest, so this is never less than the bytes of the descriptor.
_WEIGHT = artifact.c.manifest_size + _DESCRIPTOR_BYTES
_KEYS = (
    select(artifact.c.id, _WEIGHT.label("weight"))
    .select_from(
        repository.join(artifact_accessory, artifact_accessory.c.repository_id == repository.c.id).join(
            artifact, artifact.c.id == artifact_accessory.c.artifact_id
        )
    )
    .where(
        repository.c.name == bindparam("repository"),
        repository.c.project_id == bindparam("project_id"),
        artifact_accessory.c.subject_digest == bindparam("subject"),
        # The spec asks for a subject field, so accessories by a tag are not listed.
        artifact_accessory.c.source == AccessorySource.SUBJECT.value,
    )
)
_KEYS_OF_TYPE = _KEYS.where(artifact.c.artifact_type == bindparam("artifact_type"))


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """Whose referrers are asked for; `artifact_type` '' means all."""

    project_id: int
    repository: str
    subject: str
    artifact_type: str

    @property
    def query(self) -> Select[Any]:
        """The ids and weights of all of them."""
        return _KEYS_OF_TYPE if self.artifact_type else _KEYS


async def read_referrers(
    conn: AsyncConnection, of: SubjectKey, selection: Selection, room_bytes: int
) -> list[Referrer]:
    """See `domain.rows.ArtifactRows.referrers`."""
    keys = of.query
    if selection.after is not None:
        keys = keys.where(after(selection.orders, _COLUMNS, selection.after))
    keys = keys.order_by(*order_by(selection.orders, _COLUMNS)).limit(selection.limit)
    if selection.offset:
        keys = keys.offset(selection.offset)
    page = keys.subquery()
    running = select(page, func.sum(page.c.weight).over(order_by=page.c.id).label("total")).subquery()
    # Of a thousand rows, the annotations are read only of those that fit. The first always does.
    fits = (running.c.total <= room_bytes) | (running.c.total == running.c.weight)
    query = (
        select(
            artifact.c.id,
            artifact.c.manifest_media_type,
            artifact.c.digest,
            artifact.c.manifest_size,
            artifact.c.artifact_type,
            case((fits, artifact.c.annotations), else_=literal({}, Json())).label("annotations"),
            case((fits, 0), else_=1).label("is_cut"),
        )
        .join(running, running.c.id == artifact.c.id)
        .order_by(artifact.c.id)
    )
    return [
        Referrer(
            artifact_id=row.id,
            media_type=row.manifest_media_type,
            digest=row.digest,
            size=row.manifest_size,
            artifact_type=row.artifact_type,
            annotations=row.annotations,
            is_cut=bool(row.is_cut),
        )
        for row in await conn.execute(query, asdict(of))
    ]


async def count_referrers(conn: AsyncConnection, of: SubjectKey) -> int:
    """See `domain.rows.ArtifactRows.referrer_count`."""
    return await count_rows(conn, of.query, _COLUMNS, (), values=asdict(of))

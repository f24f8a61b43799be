"""Lists of artifacts, with their children, tags and accessories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Select, Text, bindparam, case, cast, func, literal, select, true, tuple_

from metasvc.domain.artifact_type import SIGNATURE_COSIGN, SIGNATURE_NOTATION
from metasvc.domain.lists import (
    MOST_LISTED_CHARACTERS,
    MOST_LISTED_CHILD_CHARACTERS,
    MOST_LISTED_INHERITED,
    MOST_LISTED_ROWS,
    Accessory,
)
from metasvc.domain.model import Reference
from metasvc.store.artifact import to_artifact
from metasvc.store.artifact_condition import (
    COLUMNS,
    LISTED,
    artifact_condition,
    columns,
    condition_on,
    exist_by_index,
    listed,
)
from metasvc.store.parts import PartsQuery
from metasvc.store.tables import artifact, artifact_accessory, artifact_reference, repository, tag
from svckit.sql.selection import count_rows, read_page
from svckit.sql.types import Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.lists import Parts
    from metasvc.domain.model import Artifact
    from svckit.listing import Selection
    from svckit.oci.reference import Reference as OciReference
    from svckit.query import Clause


def _unless_long(column: Column[Any], characters: int, instead: object) -> ColumnElement[Any]:
    """A JSON column, or `instead` if its JSON is longer than `characters`."""
    # The database compares the length, so that long values are not sent.
    is_long = func.length(cast(column, Text)) > characters
    return case((is_long, literal(instead, Json())), else_=column).label(column.name)


_LONG = (artifact.c.extra_attrs, artifact.c.annotations)
_IN_REPOSITORY = (artifact.c.repository_id == bindparam("repository_id"), LISTED)
_IN_PROJECT = (artifact.c.project_id == bindparam("project_id"), LISTED)
_SHOWN = select(
    *(column for column in artifact.c if column not in set(_LONG)),
    *(_unless_long(column, MOST_LISTED_CHARACTERS, {}) for column in _LONG),
)
_PAGE = _SHOWN.where(*_IN_REPOSITORY)
_IDS = select(artifact.c.id).where(*_IN_REPOSITORY)
_PROJECT_PAGE = _SHOWN.where(*_IN_PROJECT)
_PROJECT_IDS = select(artifact.c.id).where(*_IN_PROJECT)
_newer = artifact.alias("newer")
_NEWER = (
    select(true())
    .where(
        _newer.c.repository_id == artifact.c.repository_id,
        tuple_(_newer.c.push_time, _newer.c.id) > tuple_(artifact.c.push_time, artifact.c.id),
        listed(_newer),
    )
    # The nearest one first. From the other end, each of many artifacts would look at all newer ones that do not match.
    .order_by(_newer.c.push_time, _newer.c.id)
    .limit(1)
    .correlate(artifact)
)
_NEWER_COLUMNS = columns(_newer)
_newer_condition = condition_on(_newer)

_NAMED_REPOSITORY = (
    repository.c.name == bindparam("repository"),
    repository.c.project_id == bindparam("project_id"),
)
_GET_BY_DIGEST = (
    select(artifact)
    .join(repository, repository.c.id == artifact.c.repository_id)
    .where(*_NAMED_REPOSITORY, artifact.c.digest == bindparam("digest"))
)
_GET_BY_TAG = (
    select(artifact)
    .select_from(
        repository.join(tag, tag.c.repository_id == repository.c.id).join(artifact, artifact.c.id == tag.c.artifact_id)
    )
    .where(*_NAMED_REPOSITORY, tag.c.name == bindparam("tag"))
)

_CHILDREN = select(artifact_reference)
_SHORT_CHILDREN = select(
    artifact_reference.c.parent_id,
    artifact_reference.c.position,
    artifact_reference.c.child_id,
    artifact_reference.c.child_digest,
    _unless_long(artifact_reference.c.platform, MOST_LISTED_CHILD_CHARACTERS, None),
    _unless_long(artifact_reference.c.annotations, MOST_LISTED_CHILD_CHARACTERS, {}),
    _unless_long(artifact_reference.c.urls, MOST_LISTED_CHILD_CHARACTERS, []),
)

# An artifact may be an accessory of one subject for several reasons. It is listed once.
_other = artifact_accessory.alias("other")
_IS_FIRST = ~exist_by_index(
    artifact_accessory,
    _other.c.artifact_id == artifact_accessory.c.artifact_id,
    _other.c.subject_digest == artifact_accessory.c.subject_digest,
    _other.c.id < artifact_accessory.c.id,
)
_subject = artifact.alias("subject")
_IS_ACCESSORY = artifact.c.id == artifact_accessory.c.artifact_id
_IS_SUBJECT = (_subject.c.repository_id == artifact_accessory.c.repository_id) & (
    _subject.c.digest == artifact_accessory.c.subject_digest
)
_ACCESSORIES: Select[Any] = select(
    artifact_accessory.c.id,
    artifact_accessory.c.artifact_id,
    artifact_accessory.c.repository_id,
    artifact_accessory.c.subject_digest,
    artifact_accessory.c.type,
    artifact_accessory.c.create_time,
    artifact.c.repository_name,
    artifact.c.size,
    artifact.c.digest,
    func.coalesce(_subject.c.id, 0).label("subject_artifact_id"),
).select_from(artifact_accessory.join(artifact, _IS_ACCESSORY).outerjoin(_subject, _IS_SUBJECT))
_earlier = artifact_reference.alias("earlier")
# Not for a child that its index names a second time.
_IS_NAMED_FIRST = ~exist_by_index(
    artifact_reference,
    _earlier.c.parent_id == artifact_reference.c.parent_id,
    _earlier.c.child_id == artifact_reference.c.child_id,
    _earlier.c.position < artifact_reference.c.position,
)
# As in Harbor, signatures only: one on an index covers its children.
_INHERITED = (
    select(*_ACCESSORIES.selected_columns, artifact_reference.c.child_id)
    .select_from(
        artifact_reference.join(_subject, _subject.c.id == artifact_reference.c.parent_id)
        .join(artifact_accessory, _IS_SUBJECT)
        .join(artifact, _IS_ACCESSORY)
    )
    .where(artifact_accessory.c.type.in_([SIGNATURE_COSIGN, SIGNATURE_NOTATION]), _IS_FIRST, _IS_NAMED_FIRST)
)
_OF_SUBJECT = (
    artifact_accessory.c.repository_id == bindparam("repository_id"),
    artifact_accessory.c.subject_digest == bindparam("subject_digest"),
    _IS_FIRST,
)
_ACCESSORY_PAGE = _ACCESSORIES.where(*_OF_SUBJECT)
_ACCESSORY_IDS = select(artifact_accessory.c.id).join(artifact, _IS_ACCESSORY).where(*_OF_SUBJECT)
_HAS_ACCESSORY = _ACCESSORY_IDS.limit(1)
_ACCESSORY_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "artifact_id": artifact_accessory.c.artifact_id,
    "type": artifact_accessory.c.type,
    "size": artifact.c.size,
    "digest": artifact.c.digest,
    "creation_time": artifact_accessory.c.create_time,
}


class SqlArtifactLists:
    """See `domain.lists.ArtifactLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, project_id: int, repository: str, reference: OciReference) -> Artifact | None:
        """See the port."""
        values = {"project_id": project_id, "repository": repository}
        if reference.tag is not None:
            result = await self._conn.execute(_GET_BY_TAG, {**values, "tag": reference.tag.name})
        else:
            result = await self._conn.execute(_GET_BY_DIGEST, {**values, "digest": str(reference.digest)})
        row = result.one_or_none()
        return None if row is None else to_artifact(row)

    async def page(self, repository_id: int, selection: Selection) -> list[Artifact]:
        """See the port."""
        values = {"repository_id": repository_id}
        rows = await read_page(self._conn, _PAGE, COLUMNS, selection, values=values, condition_of=artifact_condition)
        return list(map(to_artifact, rows))

    async def count(self, repository_id: int, clauses: Sequence[Clause]) -> int:
        """See the port."""
        values = {"repository_id": repository_id}
        return await count_rows(self._conn, _IDS, COLUMNS, clauses, values=values, condition_of=artifact_condition)

    async def project_page(self, project_id: int, selection: Selection, *, latest: bool) -> list[Artifact]:
        """See the port."""
        query = _latest(_PROJECT_PAGE, selection.clauses) if latest else _PROJECT_PAGE
        values = {"project_id": project_id}
        rows = await read_page(self._conn, query, COLUMNS, selection, values=values, condition_of=artifact_condition)
        return list(map(to_artifact, rows))

    async def project_count(self, project_id: int, clauses: Sequence[Clause], *, latest: bool) -> int:
        """See the port."""
        query = _latest(_PROJECT_IDS, clauses) if latest else _PROJECT_IDS
        values = {"project_id": project_id}
        return await count_rows(self._conn, query, COLUMNS, clauses, values=values, condition_of=artifact_condition)

    async def children(self, parent_ids: Sequence[int], *, whole: bool) -> Parts[int, Reference]:
        """See the port."""
        query = _CHILDREN_OF if whole else _LISTED_CHILDREN_OF
        return await query.read(self._conn, [(parent_id,) for parent_id in parent_ids])

    async def accessories(self, artifacts: Sequence[Artifact]) -> Parts[tuple[int, str], Accessory]:
        """See the port."""
        return await _ACCESSORIES_OF.read(
            self._conn, [(subject.repository_id, subject.digest) for subject in artifacts]
        )

    async def inherited_accessories(self, artifact_ids: Sequence[int]) -> Parts[int, Accessory]:
        """See the port."""
        return await _INHERITED_BY.read(self._conn, [(artifact_id,) for artifact_id in artifact_ids])

    async def accessory_page(self, repository_id: int, subject: str, selection: Selection) -> list[Accessory]:
        """See the port."""
        values = {"repository_id": repository_id, "subject_digest": subject}
        rows = await read_page(self._conn, _ACCESSORY_PAGE, _ACCESSORY_COLUMNS, selection, values=values)
        return list(map(_accessory, rows))

    async def accessory_count(self, repository_id: int, subject: str, clauses: Sequence[Clause]) -> int:
        """See the port."""
        values = {"repository_id": repository_id, "subject_digest": subject}
        return await count_rows(self._conn, _ACCESSORY_IDS, _ACCESSORY_COLUMNS, clauses, values=values)

    async def has_accessory(self, repository_id: int, subject: str) -> bool:
        """See the port."""
        values = {"repository_id": repository_id, "subject_digest": subject}
        return (await self._conn.execute(_HAS_ACCESSORY, values)).first() is not None


def _latest(query: Select[Any], clauses: Sequence[Clause]) -> Select[Any]:
    """Those that no other artifact of their repository that matches the clauses comes after.

    The next newer one is read from the index on the push times of a repository. So a page reads the artifacts of the
    project in its order until it is full, and looks at each of them twice at most.
    """
    newer = _NEWER.where(*(_newer_condition(clause, _NEWER_COLUMNS) for clause in clauses))
    return query.where(newer.scalar_subquery().is_not(true()))


def _reference(row: Row[Any]) -> Reference:
    return Reference(
        child_id=row.child_id,
        child_digest=row.child_digest,
        platform=row.platform,
        annotations=row.annotations,
        urls=tuple(row.urls),
    )


def _accessory(row: Row[Any]) -> Accessory:
    return Accessory(
        id=row.id,
        artifact_id=row.artifact_id,
        subject_artifact_id=row.subject_artifact_id,
        subject_digest=row.subject_digest,
        repository=row.repository_name,
        size=row.size,
        digest=row.digest,
        type=row.type,
        create_time=row.create_time,
    )


_CHILDREN_OF, _LISTED_CHILDREN_OF = (
    PartsQuery(children, ["parent_id"], ["position"], _reference, most=MOST_LISTED_ROWS)
    for children in (_CHILDREN, _SHORT_CHILDREN)
)
_INHERITED_BY = PartsQuery(_INHERITED, ["child_id"], ["artifact_id", "id"], _accessory, most=MOST_LISTED_INHERITED)
_ACCESSORIES_OF = PartsQuery(
    _ACCESSORIES.where(_IS_FIRST),
    ["repository_id", "subject_digest"],
    ["artifact_id"],
    _accessory,
    most=MOST_LISTED_ROWS,
)

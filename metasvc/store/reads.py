"""The queries that pulls wait for: many manifests, or many blobs, with one statement.

The text of each statement is the same for any number of keys, so it is compiled once, and a database prepares it once.
What several callers ask for in one batch, such as a tag that a whole cluster pulls, is looked up once. All of them
have asked before the query begins.
Only unique indexes are used: the repository by its name, the tag or the digest in it, then the artifact by its id.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import BigInteger, ColumnElement, FromClause, Integer, Text, bindparam, case, func, or_, select

from metasvc.domain.model import BlobState, ReviewKind, ServedBlob, StoredManifest
from metasvc.store.tables import (
    artifact,
    artifact_blob,
    artifact_reference,
    blob,
    manifest,
    repository,
    repository_blob,
    review,
    tag,
)
from svckit.sql.database import run_short
from svckit.sql.statements import given_rows, rows_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.types import TypeEngine

    from metasvc.domain.model import WantedBlob, WantedManifest

# The values of the columns, in their order.
_Key = tuple[str | int | None, ...]

_ANY_SIZE = 2**62
_MANIFEST_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "project_id": BigInteger(),
    "repository": Text(),
    "tag": Text(),
    "digest": Text(),
    "content": Integer(),
    "held_digest": Text(),
}
_BLOB_COLUMNS: Mapping[str, TypeEngine[Any]] = {"project_id": BigInteger(), "repository": Text(), "digest": Text()}


def _in_repository(wanted: FromClause) -> ColumnElement[bool]:
    return (repository.c.name == wanted.c.repository) & (repository.c.project_id == wanted.c.project_id)


@functools.cache
def _manifests(dialect: str) -> Select[Any]:
    wanted = given_rows(dialect, "wanted", _MANIFEST_COLUMNS)
    by_digest = artifact.alias("by_digest")
    named_id: ColumnElement[int] = case(
        (
            wanted.c.tag.is_not(None),
            select(tag.c.artifact_id)
            .where(tag.c.repository_id == repository.c.id, tag.c.name == wanted.c.tag)
            .correlate(repository, wanted)
            .scalar_subquery(),
        ),
        else_=select(by_digest.c.id)
        .where(by_digest.c.repository_id == repository.c.id, by_digest.c.digest == wanted.c.digest)
        .correlate(repository, wanted)
        .scalar_subquery(),
    )
    is_sent = (
        (wanted.c.content == 1)
        & or_(wanted.c.held_digest.is_(None), wanted.c.held_digest != artifact.c.digest)
        & (artifact.c.manifest_size <= bindparam("content_bytes"))
    )
    content = select(manifest.c.content).where(manifest.c.artifact_id == artifact.c.id).correlate(artifact)
    # A HEAD reads no bytes, but who relies on the manifest (`domain.review`).
    is_head = wanted.c.content == 0
    parent = artifact.alias("parent")
    named_time = (
        select(func.max(func.coalesce(parent.c.repeat_time, parent.c.push_time)))
        .select_from(artifact_reference.join(parent, parent.c.id == artifact_reference.c.parent_id))
        .where(artifact_reference.c.child_id == artifact.c.id)
        .correlate(artifact)
    )
    review_due_time = (
        select(review.c.due_time)
        .where(
            review.c.kind == ReviewKind.MANIFEST.value,
            review.c.digest == artifact.c.digest,
            review.c.repository_id == artifact.c.repository_id,
        )
        .correlate(artifact)
    )
    return select(
        wanted.c.n,
        artifact.c.id,
        artifact.c.repository_id,
        artifact.c.digest,
        artifact.c.manifest_media_type,
        artifact.c.manifest_size,
        case((is_sent, content.scalar_subquery())),
        case((is_head, artifact.c.asked_time)),
        case((is_head, named_time.scalar_subquery())),
        case((is_head, review_due_time.scalar_subquery())),
    ).select_from(wanted.join(repository, _in_repository(wanted)).join(artifact, artifact.c.id == named_id))


@functools.cache
def _blobs(dialect: str) -> Select[Any]:
    wanted = given_rows(dialect, "wanted", _BLOB_COLUMNS)
    media_type = (
        select(func.min(artifact_blob.c.media_type))
        .where(
            artifact_blob.c.repository_id == repository_blob.c.repository_id, artifact_blob.c.digest == blob.c.digest
        )
        .correlate(repository_blob, blob)
    )
    review_due_time = (
        select(review.c.due_time)
        .where(review.c.kind == ReviewKind.BLOB.value, review.c.digest == blob.c.digest, review.c.repository_id == 0)
        .correlate(blob)
    )
    link = (repository_blob.c.repository_id == repository.c.id) & (repository_blob.c.digest == wanted.c.digest)
    return (
        select(
            wanted.c.n,
            blob.c.digest,
            blob.c.generation,
            blob.c.size,
            func.coalesce(media_type.scalar_subquery(), ""),
            review_due_time.scalar_subquery(),
        )
        .select_from(
            wanted.join(repository, _in_repository(wanted))
            .join(repository_blob, link)
            .join(blob, blob.c.digest == repository_blob.c.digest)
        )
        .where(blob.c.state == BlobState.LIVE.value)
    )


class Fetch(Protocol):
    """Runs a query, in a unit or without one."""

    async def __call__(self, query: Select[Any], values: Mapping[str, object], /) -> Sequence[Any]:
        """All rows, as named tuples."""


def fetch_in(conn: AsyncConnection) -> Fetch:
    """Runs queries in the unit of a connection."""

    async def fetch(query: Select[Any], values: Mapping[str, object], /) -> Sequence[Any]:
        return await run_short(conn, query, values)

    return fetch


async def find_manifests(
    fetch: Fetch, dialect: str, wanted: Sequence[WantedManifest], content_bytes: int | None
) -> list[StoredManifest | None]:
    """See `domain.rows.ArtifactRows.find_manifests`."""
    keys: list[_Key] = [
        (
            each.project_id,
            each.repository,
            None if each.reference.tag is None else each.reference.tag.name,
            None if each.reference.digest is None else str(each.reference.digest),
            int(each.content),
            each.held_digest or None,
        )
        for each in wanted
    ]
    distinct = list(dict.fromkeys(keys))
    values = {
        "wanted": _rows(_MANIFEST_COLUMNS, distinct),
        "content_bytes": _ANY_SIZE if content_bytes is None else content_bytes,
    }
    rows = await fetch(_manifests(dialect), values)
    found = {distinct[n]: StoredManifest(*columns) for n, *columns in rows}
    return [found.get(key) for key in keys]


async def find_blobs(fetch: Fetch, dialect: str, wanted: Sequence[WantedBlob]) -> list[ServedBlob | None]:
    """See `domain.rows.BlobRows.find_served`."""
    keys: list[_Key] = [(each.project_id, each.repository, each.digest) for each in wanted]
    distinct = list(dict.fromkeys(keys))
    rows = await fetch(_blobs(dialect), {"wanted": _rows(_BLOB_COLUMNS, distinct)})
    found = {distinct[n]: ServedBlob(*columns) for n, *columns in rows}
    return [found.get(key) for key in keys]


def _rows(columns: Iterable[str], keys: Iterable[_Key]) -> str:
    return rows_json(dict(zip(columns, key, strict=True)) for key in keys)

"""Blobs, and which repository serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, bindparam, delete, exists, insert, select, tuple_, update

from metasvc.domain.model import Blob, BlobState, LinkedBlob
from metasvc.store.prepared import Prepared
from metasvc.store.reads import Fetch, fetch_in, find_blobs
from metasvc.store.tables import artifact_blob, blob, blob_store, repository, repository_blob
from svckit.sql.database import run_short, run_short_one
from svckit.sql.statements import advisory_xact_lock, batches, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Insert, Row
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import ReturningInsert

    from metasvc.domain.model import ServedBlob, WantedBlob

_DIGEST: BindParameter[str] = bindparam("of_digest")

_LINKED = repository_blob.join(blob, blob.c.digest == repository_blob.c.digest)
_SERVED_BY_ANY = (
    select(blob)
    .select_from(_LINKED.join(repository, repository.c.id == repository_blob.c.repository_id))
    .where(
        repository_blob.c.digest == _DIGEST,
        blob.c.state == BlobState.LIVE.value,
        tuple_(repository.c.project_id, repository.c.name).in_(bindparam("repositories", expanding=True)),
    )
    .limit(1)
)
_ANY = select(blob).where(blob.c.digest == _DIGEST)
_LOCK_ANY = _ANY.with_for_update()
_LOCK_LIVE = _ANY.where(blob.c.state == BlobState.LIVE.value).with_for_update(read=True)
# Of the link FOR KEY SHARE: a deletion that discharges it waits, but other pushes may charge it again.
_LOCK_LINKED = (
    select(blob.c.digest, blob.c.generation, blob.c.size, repository_blob.c.charged)
    .select_from(_LINKED)
    .where(
        repository_blob.c.repository_id == bindparam("repository_id"),
        repository_blob.c.digest.in_(bindparam("digests", expanding=True)),
        blob.c.state == BlobState.LIVE.value,
    )
    .order_by(blob.c.digest)
    .with_for_update(read=True, of=blob)
    .suffix_with("FOR KEY SHARE OF repository_blob", dialect="postgresql")
)
_LINKS = (
    repository_blob.c.repository_id == bindparam("in_repository"),
    repository_blob.c.digest.in_(bindparam("digests", expanding=True)),
)
_LOCK_UNCHARGED = (
    select(repository_blob.c.digest)
    .where(*_LINKS, ~repository_blob.c.charged)
    .order_by(repository_blob.c.digest)
    .with_for_update(key_share=True)
)
_CHARGE = update(repository_blob).where(*_LINKS).values(charged=True)
_LOCK_CHARGED = (
    select(repository_blob.c.digest)
    .where(*_LINKS, repository_blob.c.charged)
    .order_by(repository_blob.c.digest)
    .with_for_update()
)
_DISCHARGE_UNNAMED = (
    update(repository_blob)
    .where(
        *_LINKS,
        ~exists()
        .where(
            artifact_blob.c.repository_id == repository_blob.c.repository_id,
            artifact_blob.c.digest == repository_blob.c.digest,
        )
        .correlate(repository_blob),
    )
    .values(charged=False)
    .returning(repository_blob.c.digest)
)
_IS_NAMED = select(
    exists().where(artifact_blob.c.repository_id == bindparam("in_repository"), artifact_blob.c.digest == _DIGEST)
)
_FIND_LINKED = (
    select(blob)
    .select_from(_LINKED.join(repository, repository.c.id == repository_blob.c.repository_id))
    .where(
        repository.c.name == bindparam("repository"),
        repository.c.project_id == bindparam("project_id"),
        repository_blob.c.digest.in_(bindparam("digests", expanding=True)),
        blob.c.state == BlobState.LIVE.value,
    )
)
_ADD = insert(blob)
_QUARANTINE = (
    update(blob).where(blob.c.digest == _DIGEST).values(state=BlobState.QUARANTINED.value, update_time=bindparam("now"))
)
_ADOPT = (
    update(blob)
    .where(blob.c.digest == _DIGEST)
    .values(
        generation=bindparam("new_generation"),
        size=bindparam("new_size"),
        state=BlobState.LIVE.value,
        update_time=bindparam("now"),
    )
)
_UNLINK = (
    delete(repository_blob)
    .where(repository_blob.c.repository_id == bindparam("in_repository"), repository_blob.c.digest == _DIGEST)
    .returning(repository_blob.c.charged)
)


@Prepared
def _name_store(conn: AsyncConnection) -> Insert:
    return upsert(conn, blob_store).on_conflict_do_nothing()


@Prepared
def _link(conn: AsyncConnection) -> ReturningInsert[str]:
    return (
        upsert(conn, repository_blob)
        .on_conflict_do_update(
            index_elements=[repository_blob.c.repository_id, repository_blob.c.digest],
            set_={"charged": True},
            where=~repository_blob.c.charged,
        )
        .returning(repository_blob.c.digest)
    )


class SqlBlobs:
    """See `domain.rows.BlobRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def find_served(self, wanted: Sequence[WantedBlob]) -> list[ServedBlob | None]:
        """See the port."""
        return await find_blobs(fetch_in(self._conn), self._conn.dialect.name, wanted)

    async def served_by_any(self, repositories: Sequence[tuple[int, str]], digest: str) -> Blob | None:
        """See the port."""
        if not repositories:
            return None
        values = {"of_digest": digest, "repositories": list(repositories)}
        return _blob((await self._conn.execute(_SERVED_BY_ANY, values)).one_or_none())

    async def store_id(self, first: str) -> str:
        """See the port."""
        await self._conn.execute(_name_store(self._conn), {"id": 1, "store_id": first})
        return str(await self._conn.scalar(select(blob_store.c.store_id)))

    async def forget_store(self) -> str | None:
        """See the port."""
        return await self._conn.scalar(delete(blob_store).returning(blob_store.c.store_id))

    async def lock_digest(self, digest: str) -> None:
        """See the port."""
        await advisory_xact_lock(self._conn, f"blob {digest}")

    async def lock_live(self, digest: str) -> Blob | None:
        """See the port."""
        return _blob(await run_short_one(self._conn, _LOCK_LIVE, {"of_digest": digest}))

    async def lock_any(self, digest: str) -> Blob | None:
        """See the port."""
        return _blob(await run_short_one(self._conn, _LOCK_ANY, {"of_digest": digest}))

    async def lock_linked(self, repository_id: int, digests: Iterable[str]) -> dict[str, LinkedBlob]:
        """See the port."""
        linked: dict[str, LinkedBlob] = {}
        for batch in batches(sorted(set(digests))):
            rows = await run_short(self._conn, _LOCK_LINKED, {"repository_id": repository_id, "digests": batch})
            linked |= {row.digest: LinkedBlob(row.generation, row.size, row.charged) for row in rows}
        return linked

    async def add(self, new: Blob, now: datetime) -> None:
        """See the port."""
        await run_short(
            self._conn,
            _ADD,
            {
                "digest": new.digest,
                "generation": new.generation,
                "size": new.size,
                "state": new.state.value,
                "create_time": now,
                "update_time": now,
            },
        )

    async def adopt(self, new: Blob, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(
            _ADOPT, {"of_digest": new.digest, "new_generation": new.generation, "new_size": new.size, "now": now}
        )

    async def quarantine(self, digest: str, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(_QUARANTINE, {"of_digest": digest, "now": now})

    async def link(self, repository_id: int, digest: str, now: datetime) -> bool:
        """See the port."""
        values = {"repository_id": repository_id, "digest": digest, "create_time": now, "charged": True}
        return await run_short_one(self._conn, _link(self._conn), values) is not None

    async def unlink(self, repository_id: int, digest: str) -> bool | None:
        """See the port."""
        was_charged: bool | None = await self._conn.scalar(
            _UNLINK, {"in_repository": repository_id, "of_digest": digest}
        )
        return was_charged

    async def charge_links(self, repository_id: int, digests: Iterable[str]) -> list[str]:
        """See the port."""
        charged = []
        for batch in batches(sorted(digests)):
            found = await self._conn.scalars(_LOCK_UNCHARGED, {"in_repository": repository_id, "digests": batch})
            uncharged = list(found)
            if uncharged:
                await self._conn.execute(_CHARGE, {"in_repository": repository_id, "digests": uncharged})
                charged += uncharged
        return charged

    async def discharge_unnamed(self, repository_id: int, digests: Sequence[str]) -> list[str]:
        """See the port."""
        discharged: list[str] = []
        for batch in batches(sorted(digests)):
            values = {"in_repository": repository_id, "digests": batch}
            locked = list(await self._conn.scalars(_LOCK_CHARGED, values))
            if locked:
                # In a statement of its own, so that it sees the manifests of pushes that the lock has waited for.
                discharged += await self._conn.scalars(_DISCHARGE_UNNAMED, {**values, "digests": locked})
        return discharged

    async def is_named(self, repository_id: int, digest: str) -> bool:
        """See the port."""
        return bool(await self._conn.scalar(_IS_NAMED, {"in_repository": repository_id, "of_digest": digest}))


async def find_blob(fetch: Fetch, digest: str) -> Blob | None:
    """See `domain.unit.Store.find_blob`."""
    rows = await fetch(_ANY, {"of_digest": digest})
    return _to_blob(rows[0]) if rows else None


async def find_linked(fetch: Fetch, project_id: int, repository: str, digests: Iterable[str]) -> list[Blob]:
    """See `domain.unit.Store.find_linked`."""
    found: list[Blob] = []
    for batch in batches(sorted(set(digests))):
        values = {"project_id": project_id, "repository": repository, "digests": batch}
        found += [_to_blob(row) for row in await fetch(_FIND_LINKED, values)]
    return found


def _blob(row: Row[Any] | None) -> Blob | None:
    return None if row is None else _to_blob(row)


def _to_blob(row: Row[Any]) -> Blob:
    return Blob(row.digest, row.generation, row.size, BlobState(row.state))

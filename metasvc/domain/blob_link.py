"""Which repository serves which blob: links, mounts, and the live generation of a digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasvc.domain.model import Blob, BlobState, Charge, ReviewKind
from metasvc.domain.project import in_project
from metasvc.domain.review import ReviewReason, review_blobs
from svckit.errors import DomainError, NotFound, Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from metasvc.domain.model import ServedBlob
    from metasvc.domain.ports import Ports, PullRights
    from metasvc.domain.unit import UnitOfWork


@dataclass(frozen=True, slots=True)
class FinishedBlob:
    """The content of a receipt: blobsvc has stored and hashed these bytes for this repository.

    `subject` is who uploaded them: "user:7", "robot:12".
    """

    project_id: int
    repository: str
    digest: str
    generation: int
    size: int
    subject: str


async def link_blob(ports: Ports, finished: FinishedBlob) -> None:
    """Links a finished blob to its repository, and charges the project once per digest.

    The repository is created if it does not exist. A repeat changes nothing.

    Raises:
        DomainError: INSUFFICIENT_SCOPE, the uploader may not push there any more; QUOTA_EXCEEDED; PROJECT_UNKNOWN;
            BLOB_UPLOAD_UNKNOWN, this generation is being deleted; UNAVAILABLE.
    """
    # The token that began the upload may be a day old. Meanwhile, its owner may have been deleted, or have lost the
    # role.
    if not await ports.directory.may_push(finished.subject, finished.project_id):
        raise Unauthenticated("INSUFFICIENT_SCOPE", metadata={"scope": f"repository:{finished.repository}:push"})

    async def work(unit: UnitOfWork, now: datetime) -> None:
        repository = await unit.repositories.ensure(finished.project_id, finished.repository, now)
        uploaded = Blob(finished.digest, finished.generation, finished.size, BlobState.LIVE)
        await settle_generation(unit, uploaded, now)
        is_charged = await unit.blobs.link(repository.id, finished.digest, now)
        await review_blobs(unit, [finished.digest], ports.review_policy, now, ReviewReason.LINKED)
        if is_charged:
            await unit.projects.charge(finished.project_id, [Charge(finished.digest, finished.size)], now)
        await unit.commit()

    await in_project(ports, finished.project_id, work)


async def settle_generation(unit: UnitOfWork, uploaded: Blob, now: datetime) -> None:
    """Decides which generation of a digest is live after an upload, and locks it against deletion.

    A live generation stays, and the uploaded one is queued as surplus. If the digest is new, condemned or quarantined,
    the uploaded generation becomes the live one. So a push repairs corrupt blobs, and never waits for garbage
    collection.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; the uploaded generation is already condemned, because its receipt came late.
            The client has to upload the bytes again.
    """
    while True:
        # Tried first, because most uploads have a new digest.
        if await unit.blobs.add(uploaded, now):
            await unit.blobs.remove_surplus(uploaded.digest, uploaded.generation)
            return
        live = await unit.blobs.lock_live(uploaded.digest)
        if live is not None:
            if live.generation != uploaded.generation:
                await unit.blobs.add_surplus(uploaded.digest, uploaded.generation, now)
            return
        held = await unit.blobs.lock_any(uploaded.digest)
        if held is None:
            # Garbage collection has removed the row since the first statement.
            continue
        if held.state is BlobState.LIVE:
            # It became live between the two statements.
            continue
        if held.generation == uploaded.generation:
            raise NotFound(
                "BLOB_UPLOAD_UNKNOWN", f"the bytes of {uploaded.digest} are being deleted; upload them again"
            )
        await unit.blobs.adopt(uploaded, now)
        await unit.blobs.remove_surplus(uploaded.digest, uploaded.generation)
        # Garbage collection may have stopped between condemning the old generation and deleting its bytes.
        await unit.blobs.add_surplus(held.digest, held.generation, now)
        return


async def mount_blob(
    ports: Ports,
    rights: PullRights,
    *,
    project_id: int,
    repository: str,
    digest: str,
    from_repository: str | None,
) -> int | None:
    """Links a blob from another repository, if the caller may pull from that one.

    A failed mount is not an error, even if the quota is the cause. The client then uploads the bytes, and gets the
    error there (distribution-spec, "Mounting a blob from another repository").

    Args:
        ports: the ports of metasvc.
        rights: what the caller may pull.
        project_id: the project of the target repository.
        repository: the full name of the target repository.
        digest: the digest of the blob.
        from_repository: the full name of the source; None for any repository that the caller's token names.

    Returns:
        The size of the blob; None if it was not mounted.
    """
    try:
        sources = await rights.sources(from_repository)
        if not sources:
            return None
        async with ports.store.read() as unit:
            if not await unit.blobs.served_by_any(sources, digest):
                return None

        async def work(unit: UnitOfWork, now: datetime) -> int | None:
            target = await unit.repositories.ensure(project_id, repository, now)
            # The blob may have been condemned since it was found. Then it cannot be mounted.
            blob = await unit.blobs.lock_live(digest)
            if blob is None:
                return None
            is_charged = await unit.blobs.link(target.id, digest, now)
            await review_blobs(unit, [digest], ports.review_policy, now, ReviewReason.MOUNTED)
            if is_charged:
                await unit.projects.charge(project_id, [Charge(digest, blob.size)], now)
            await unit.commit()
            return blob.size

        return await in_project(ports, project_id, work)
    except DomainError:
        return None


async def resolve_blob(ports: Ports, *, project_id: int, repository: str, digest: str) -> ServedBlob:
    """Finds a blob that a repository serves. One query, unless the blob's review is near. Then the review is postponed.

    Raises:
        DomainError: BLOB_UNKNOWN.
    """
    async with ports.store.read() as unit:
        served = await unit.blobs.served(project_id, repository, digest)
    if served is None:
        raise NotFound("BLOB_UNKNOWN", metadata={"digest": digest})
    now = ports.clock()
    if ports.review_policy.is_near(served.review_due_time, now):
        await ports.store.repeat(lambda: _postpone(ports, digest, now))
        async with ports.store.read() as unit:
            # The blob may have been condemned before its review was postponed.
            served = await unit.blobs.served(project_id, repository, digest)
        if served is None:
            raise NotFound("BLOB_UNKNOWN", metadata={"digest": digest})
    return served


async def _postpone(ports: Ports, digest: str, now: datetime) -> None:
    async with ports.store.write() as unit:
        due_time = ports.review_policy.due_time(now)
        await unit.reviews.postpone(ReviewKind.BLOB, 0, digest, due_time, due_time)
        await unit.commit()


async def unlink_blob(ports: Ports, *, project_id: int, repository: str, digest: str) -> None:
    """Removes the link of a blob to a repository. The bytes are deleted once nothing links or names them.

    A blob that a manifest of the repository names is refused, as by zot, because pulls of the manifest would fail. With
    the setting `delete_blobs_in_use` it is unlinked, as by distribution, until it is pushed again.

    Raises:
        DomainError: UNSUPPORTED, clients may not delete in this installation; BLOB_UNKNOWN; BLOB_IN_USE.
    """
    if not ports.delete_enabled:
        raise DomainError("UNSUPPORTED", "deleting blobs is disabled")

    async def attempt() -> None:
        async with ports.store.write() as unit:
            now = ports.clock()
            held = await unit.repositories.lock_open(project_id, repository)
            # Locked first, and the manifests looked for in a later statement. A push that names the blob holds a lock
            # of it, so this finds the pushed manifest, or the push finds the link gone.
            blob = await unit.blobs.lock_any(digest)
            was_charged = None if held is None or blob is None else await unit.blobs.unlink(held.id, digest)
            if held is None or was_charged is None:
                raise NotFound("BLOB_UNKNOWN", metadata={"digest": digest})
            if not ports.delete_blobs_in_use and await unit.blobs.is_named(held.id, digest):
                raise DomainError(
                    "BLOB_IN_USE", "a manifest names this blob; delete the manifest first", metadata={"digest": digest}
                )
            await review_blobs(unit, [digest], ports.review_policy, now, ReviewReason.UNLINKED)
            if was_charged:
                await unit.projects.discharge(project_id, [digest], now)
            await unit.commit()

    await ports.store.repeat(attempt)

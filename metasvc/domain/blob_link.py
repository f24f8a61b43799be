"""Which repository serves which blob: links, mounts, and the generation that lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasvc.domain.model import Blob, BlobState, Charge
from metasvc.domain.project import in_project
from metasvc.domain.review import ReviewReason, review_blobs
from svckit.errors import DomainError, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from metasvc.domain.model import ServedBlob
    from metasvc.domain.ports import Ports, PullRights
    from metasvc.domain.unit import UnitOfWork


@dataclass(frozen=True, slots=True)
class FinishedBlob:
    """What a receipt says: these bytes were here and hashed, for this repository."""

    project_id: int
    repository: str
    digest: str
    generation: int
    size: int


async def link_blob(ports: Ports, finished: FinishedBlob) -> None:
    """Links finished bytes to their repository, which is made if need be, and charges the project once per digest.

    Repeating it does no harm.

    Raises:
        DomainError: QUOTA_EXCEEDED, PROJECT_UNKNOWN, or BLOB_UPLOAD_UNKNOWN where these very bytes are being deleted.
    """

    async def work(unit: UnitOfWork, now: datetime) -> None:
        repository = await unit.repositories.ensure(finished.project_id, finished.repository, now)
        newcomer = Blob(finished.digest, finished.generation, finished.size, BlobState.LIVE)
        await settle_generation(unit, newcomer, now)
        is_new = await unit.blobs.link(repository.id, finished.digest, now)
        await review_blobs(unit, [finished.digest], ports.review_policy, now, ReviewReason.LINKED)
        if is_new:
            await unit.projects.charge(finished.project_id, [Charge(finished.digest, finished.size)], now)
        await unit.commit()

    await in_project(ports, finished.project_id, work)


async def settle_generation(unit: UnitOfWork, newcomer: Blob, now: datetime) -> None:
    """Decides which generation of a digest lives, now that another has come, and keeps it from being condemned.

    A live one stays and the newcomer is queued as surplus. What is absent, condemned or quarantined adopts the
    newcomer: so a push heals what was corrupt, and never waits for the collector.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; the newcomer is the very generation that was condemned. Its receipt came late,
            and its bytes are going, or gone: the client uploads them again.
    """
    while True:
        # First, because what was just uploaded is mostly new.
        if await unit.blobs.add(newcomer, now):
            await unit.blobs.remove_surplus(newcomer.digest, newcomer.generation)
            return
        live = await unit.blobs.lock_live(newcomer.digest)
        if live is not None:
            if live.generation != newcomer.generation:
                await unit.blobs.add_surplus(newcomer.digest, newcomer.generation, now)
            return
        held = await unit.blobs.lock_any(newcomer.digest)
        if held is None:
            # The collector has forgotten it in between.
            continue
        if held.state is BlobState.LIVE:
            # Became live between the two looks.
            continue
        if held.generation == newcomer.generation:
            raise NotFound(
                "BLOB_UPLOAD_UNKNOWN", f"the bytes of {newcomer.digest} are being deleted: upload them again"
            )
        await unit.blobs.adopt(newcomer, now)
        await unit.blobs.remove_surplus(newcomer.digest, newcomer.generation)
        # Whoever condemned the old generation may have been stopped before its bytes were deleted.
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
    """Links a blob that a repository serves from which the caller may pull.

    Whatever prevents it, the quota included, is no error: the client uploads the bytes instead, and hears then what is
    wrong (distribution-spec, "Mounting a blob from another repository").

    Args:
        ports: the store; authsvc knows projects without a row.
        rights: what the caller may pull.
        project_id: of the repository to link to.
        repository: its full name.
        digest: of the blob.
        from_repository: the full name of the one that serves it; None for any that the caller's token names.

    Returns:
        The size of the blob; None where it was not mounted.
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
            # It may have been condemned since it was found; then there is nothing to mount.
            blob = await unit.blobs.lock_live(digest)
            if blob is None:
                return None
            is_new = await unit.blobs.link(target.id, digest, now)
            await review_blobs(unit, [digest], ports.review_policy, now, ReviewReason.MOUNTED)
            if is_new:
                await unit.projects.charge(project_id, [Charge(digest, blob.size)], now)
            await unit.commit()
            return blob.size

        return await in_project(ports, project_id, work)
    except DomainError:
        return None


async def resolve_blob(ports: Ports, *, project_id: int, repository: str, digest: str) -> ServedBlob:
    """Finds a blob that a repository serves. One query, but for a blob whose review is near, which it postpones.

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
            # It may have been condemned before the date was pushed forward.
            served = await unit.blobs.served(project_id, repository, digest)
        if served is None:
            raise NotFound("BLOB_UNKNOWN", metadata={"digest": digest})
    return served


async def _postpone(ports: Ports, digest: str, now: datetime) -> None:
    async with ports.store.write() as unit:
        due_time = ports.review_policy.due_time(now)
        await unit.reviews.postpone(digest, due_time, due_time)
        await unit.commit()


async def unlink_blob(ports: Ports, *, project_id: int, repository: str, digest: str) -> None:
    """Ends a link. The bytes go when nothing links or names them any more.

    Manifests that name the blob stay, and so do its bytes, but this repository no longer serves it: as in distribution,
    it is for the caller to delete the manifest first. Pushing the blob again heals it.

    Raises:
        DomainError: UNSUPPORTED where this installation does not let clients delete; BLOB_UNKNOWN.
    """
    if not ports.delete_enabled:
        raise DomainError("UNSUPPORTED", "blobs are not deleted here")

    async def attempt() -> None:
        async with ports.store.write() as unit:
            now = ports.clock()
            held = await unit.repositories.lock_open(project_id, repository)
            if held is None or not await unit.blobs.unlink(held.id, digest):
                raise NotFound("BLOB_UNKNOWN", metadata={"digest": digest})
            await review_blobs(unit, [digest], ports.review_policy, now, ReviewReason.UNLINKED)
            await unit.projects.discharge(project_id, [digest], now)
            await unit.commit()

    await ports.store.repeat(attempt)

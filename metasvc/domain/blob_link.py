"""Which repository serves which blob: links, mounts, and the live generation of a digest."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasvc.domain.blob_generation import choose_generation
from metasvc.domain.blob_health import with_health
from metasvc.domain.model import Blob, BlobState, Charge
from metasvc.domain.project import in_project
from metasvc.domain.quarantine import quarantine_damaged
from metasvc.domain.review import ReviewReason, review_blobs
from metasvc.domain.tombstone import TombstoneReason, add_tombstones
from svckit.errors import DomainError, NotFound, Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from metasvc.domain.blob_health import Health
    from metasvc.domain.model import BlobKey
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
            BLOB_UPLOAD_UNKNOWN, this generation is damaged or being deleted, so the bytes must be uploaded again;
            UNAVAILABLE, also if blobsvc cannot say whether the live generation is healthy.
    """
    uploaded = Blob(finished.digest, finished.generation, finished.size, BlobState.LIVE)

    async def find() -> list[Blob]:
        held = await ports.store.find_blob(finished.digest)
        return [] if held is None else [held]

    async def link(health: Health) -> None:
        if uploaded.key in health.damages:
            # A repeat, after its bytes were damaged. It must not answer that they are there.
            await quarantine_damaged(ports, health, "link")

        async def work(unit: UnitOfWork, now: datetime) -> Blob | None:
            repository = await unit.repositories.ensure(finished.project_id, finished.repository, now)
            replaced = await choose_generation(unit, uploaded, health, now)
            is_charged = await unit.blobs.link(repository.id, finished.digest, now)
            await review_blobs(unit, [finished.digest], ports.review_policy, now, ReviewReason.LINKED)
            if is_charged:
                await unit.projects.charge(finished.project_id, [Charge(finished.digest, finished.size)], now)
            await unit.commit()
            return replaced

        replaced = await in_project(ports, finished.project_id, work)
        if replaced is not None:
            ports.blob_log.damaged(replaced.key, health.damages[replaced.key], "link")

    try:
        await _require_push(ports, finished)
        await with_health(ports, find, link)
    except DomainError as error:
        if _is_final(error):
            await refuse_upload(ports, uploaded.key)
        raise
    ports.settled.note(uploaded.key)


async def _require_push(ports: Ports, finished: FinishedBlob) -> None:
    # The token that began the upload may be a day old. Meanwhile, its owner may have been deleted, or have lost the
    # role.
    if not await ports.directory.may_push(finished.subject, finished.project_id):
        raise Unauthenticated("INSUFFICIENT_SCOPE", metadata={"scope": f"repository:{finished.repository}:push"})


async def refuse_upload(ports: Ports, key: BlobKey) -> None:
    """Has an uploaded generation deleted that may not be linked, unless it is live.

    A failure is ignored: what stays is deleted later, with the uploads that nobody has linked.
    """
    with suppress(DomainError):
        await add_tombstones(ports, [key], TombstoneReason.REFUSED)
        ports.settled.note(key)


def _is_final(error: DomainError) -> bool:
    """Whether a repeat of the link cannot succeed soon, such as with an exceeded quota."""
    # BLOB_UPLOAD_UNKNOWN: the generation has a tombstone already, or is quarantined.
    return 400 <= error.entry.http_status < 500 and error.reason != "BLOB_UPLOAD_UNKNOWN"


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

        async def find() -> list[Blob]:
            async with ports.store.read(short=True) as unit:
                source = await unit.blobs.served_by_any(sources, digest)
            return [] if source is None else [source]

        async def mount(health: Health) -> int | None:
            await quarantine_damaged(ports, health, "mount")
            if not health.is_healthy(digest):
                return None

            async def work(unit: UnitOfWork, now: datetime) -> int | None:
                target = await unit.repositories.ensure(project_id, repository, now)
                # The blob may have been condemned or quarantined since it was found. Then it cannot be mounted.
                blob = await unit.blobs.lock_live(digest)
                if blob is None:
                    return None
                health.require(blob.key)
                is_charged = await unit.blobs.link(target.id, digest, now)
                await review_blobs(unit, [digest], ports.review_policy, now, ReviewReason.MOUNTED)
                if is_charged:
                    await unit.projects.charge(project_id, [Charge(digest, blob.size)], now)
                await unit.commit()
                return blob.size

            return await in_project(ports, project_id, work)

        return await with_health(ports, find, mount)
    except DomainError:
        return None


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

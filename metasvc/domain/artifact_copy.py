"""Copies of artifacts between repositories, which may belong to different projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasvc.domain.accessory import named_subjects
from metasvc.domain.artifact import find_digest, unknown_artifact
from metasvc.domain.blob_health import with_health
from metasvc.domain.manifest_push import missing_content
from metasvc.domain.model import BlobKey, ChangeKind, Charge
from metasvc.domain.project import in_project
from metasvc.domain.quarantine import quarantine_damaged
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.review import ReviewReason, postpone_manifest, review_blobs, review_manifests
from metasvc.domain.tag import TagTarget, point_tags
from svckit.errors import Denied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from metasvc.domain.blob_health import Health
    from metasvc.domain.copy_rows import CopiedArtifact
    from metasvc.domain.model import Blob, LinkedBlob, Repository
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class ArtifactCopy:
    """What to copy, and where.

    Attributes:
        source_project_id: the project of the source. The caller may read artifacts there, and pull.
        source: the full name of the source repository.
        reference: a tag or digest of the source.
        project_id: the project of the target.
        repository: the full name of the target repository.
    """

    source_project_id: int
    source: str
    reference: Reference
    project_id: int
    repository: str


async def copy_artifact(ports: Ports, wanted: ArtifactCopy, origin: ChangeOrigin) -> str:
    """Copies an artifact with its children, the accessories of each, and their tags, in one transaction.

    The target links the blobs, and its project is charged for each digest that is new to it. What the target holds
    already stays. A tag of the target moves if an artifact that is new there has a tag of that name in the source, or
    the artifact itself has, as in Harbor. A repeat changes nothing but these tags of the artifact itself.

    Everything happens in one transaction, so a crash leaves all or nothing.

    Returns:
        The digest of the artifact.

    Raises:
        DomainError: NOT_FOUND; DENIED, it is an accessory; MANIFEST_BLOB_UNKNOWN, the source does not serve all its
            blobs; QUOTA_EXCEEDED; PROJECT_UNKNOWN; CONFLICT, a repository of another project has the target's name;
            TAG_IMMUTABLE, a tag would move; UNAVAILABLE, also if blobsvc cannot say whether the blobs are healthy.
    """

    async def find() -> list[Blob]:
        digests = await _blobs_to_link(ports, wanted)
        return await ports.store.find_linked(wanted.source_project_id, wanted.source, digests) if digests else []

    async def copy(health: Health) -> str:
        # The source does not serve damaged blobs from now on, so they are missing below.
        await quarantine_damaged(ports, health, "copy")

        async def work(unit: UnitOfWork, now: datetime) -> str:
            source, target = await _lock_repositories(unit, wanted, now)
            write = RepositoryWrite(unit, target, origin, now, ports.review_policy)
            digest = await _copy(write, source, wanted.reference, health)
            await unit.commit()
            return digest

        return await in_project(ports, wanted.project_id, work, short=False)

    return await with_health(ports, find, copy)


async def _blobs_to_link(ports: Ports, wanted: ArtifactCopy) -> list[str]:
    """The blobs of the artifacts that the target does not hold, as things are now."""
    async with ports.store.read(snapshot=True) as unit:
        source = await unit.repositories.get(wanted.source_project_id, wanted.source)
        digest = None if source is None else await find_digest(unit, source, wanted.reference)
        if source is None or digest is None:
            raise unknown_artifact(wanted.source, wanted.reference)
        graph = await unit.copies.graph(source.id, digest)
        target = await unit.repositories.get(wanted.project_id, wanted.repository)
        ids = list(graph.values()) if target is None else await unit.copies.absent(graph.values(), target.id)
        return await unit.artifacts.blob_digests(ids)


async def _lock_repositories(unit: UnitOfWork, wanted: ArtifactCopy, now: datetime) -> tuple[Repository, Repository]:
    """Locks both against deletion, in the order of their ids, and makes the target if it is missing."""
    source = await unit.repositories.get(wanted.source_project_id, wanted.source)
    target = await unit.repositories.get(wanted.project_id, wanted.repository)
    is_target_first = source is not None and target is not None and target.id < source.id
    if is_target_first:
        target = await unit.repositories.ensure(wanted.project_id, wanted.repository, now)
    source = await unit.repositories.lock_open(wanted.source_project_id, wanted.source)
    if source is None:
        raise unknown_artifact(wanted.source, wanted.reference)
    if target is None or not is_target_first:
        target = await unit.repositories.ensure(wanted.project_id, wanted.repository, now)
    return source, target


async def _copy(write: RepositoryWrite, source: Repository, reference: Reference, health: Health) -> str:
    """Copies what is missing and moves the tags. Does not commit. Returns the digest."""
    unit, target, now, policy = write.unit, write.repository, write.now, write.review_policy
    digest = await find_digest(unit, source, reference)
    graph = {} if digest is None else await unit.copies.lock_graph(source.id, digest)
    if digest is None or digest not in graph:
        raise unknown_artifact(source.name, reference)
    if await unit.copies.is_accessory(graph[digest]):
        raise Denied("DENIED", "an accessory cannot be copied by itself; it is copied with its subject")
    found = await unit.copies.tags(list(graph.values()))
    kept = await unit.artifacts.lock_kept(target.id, [*graph, *named_subjects(tag.name for tag in found)])
    missing = [id_ for each, id_ in graph.items() if each not in kept]
    tags = [tag for tag in found if tag.digest == digest or tag.digest not in kept]
    held = await unit.tags.lock(target.id, [tag.name for tag in tags])
    present = await _lock_blobs(unit, source, missing, health)
    made = await unit.copies.add(missing, target, now)
    for copied in made:
        write.record(ChangeKind.MANIFEST_PUT, reference=copied.artifact.digest, digest=copied.artifact.digest)
    artifacts = kept | {copied.artifact.digest: copied.artifact for copied in made}
    moved = await point_tags(write, [TagTarget(tag.name, held.get(tag.name), artifacts[tag.digest]) for tag in tags])
    linked = await unit.copies.link(target.id, present.keys(), now)
    await review_blobs(unit, present.keys(), policy, now, ReviewReason.MOUNTED)
    left = {each.held.digest for each in moved if each.held is not None}
    await review_manifests(unit, target.id, left, policy, now, ReviewReason.UNTAGGED)
    await review_manifests(
        unit, target.id, (copied.artifact.digest for copied in made), policy, now, ReviewReason.PUSHED
    )
    if digest in kept:
        # As a repeated push: a deletion of an index does not take along what was just asked for.
        await unit.artifacts.note_repeat(kept[digest].id, now)
        await postpone_manifest(unit, target.id, digest, policy, now)
    if moved or made:
        await unit.repositories.touch(target.id, now)
    await unit.projects.charge(target.project_id, _charges(made, linked, present), now)
    return digest


async def _lock_blobs(
    unit: UnitOfWork, source: Repository, artifact_ids: Sequence[int], health: Health
) -> Mapping[str, LinkedBlob]:
    """Locks the blobs of artifacts, which the source serves, against garbage collection."""
    needed = await unit.artifacts.blob_digests(artifact_ids) if artifact_ids else []
    present = await unit.blobs.lock_linked(source.id, needed)
    for blob_digest, linked in present.items():
        health.require(BlobKey(blob_digest, linked.generation))
    missing = [blob_digest for blob_digest in needed if blob_digest not in present]
    if missing:
        raise missing_content(missing, "the artifact needs")
    return present


def _charges(made: Sequence[CopiedArtifact], linked: Sequence[str], present: Mapping[str, LinkedBlob]) -> list[Charge]:
    manifests = [Charge(copied.artifact.digest, copied.manifest_size) for copied in made]
    return [*manifests, *(Charge(blob_digest, present[blob_digest].size) for blob_digest in linked)]

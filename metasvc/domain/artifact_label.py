"""The labels on an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.artifact import find_digest, unknown_artifact
from metasvc.domain.label import unknown_label
from metasvc.domain.label_model import NO_PROJECT
from metasvc.domain.model import ChangeKind
from metasvc.domain.repository_write import RepositoryWrite
from svckit.errors import Conflict, NotFound

if TYPE_CHECKING:
    from metasvc.domain.model import KeptArtifact
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.oci.reference import Reference


async def add_artifact_label(
    ports: Ports, *, project_id: int, repository: str, reference: Reference, label_id: int, origin: ChangeOrigin
) -> None:
    """Puts a label on an artifact: a global one, or one of the artifact's project.

    Raises:
        DomainError: LABEL_UNKNOWN, also for a label of another project; NOT_FOUND, there is no such artifact; CONFLICT,
            the label is on it already.
    """

    async def attempt() -> None:
        async with ports.store.write(short=True) as unit:
            write, artifact = await _lock_artifact(ports, unit, project_id, repository, reference, origin)
            label = await unit.labels.lock_kept(label_id)
            if label is None or label.project_id not in (NO_PROJECT, project_id):
                raise unknown_label(label_id)
            if not await unit.labels.put_on(artifact.id, label.id, write.now):
                raise Conflict("CONFLICT", f"label {label_id} is already on artifact {artifact.digest}")
            write.record(ChangeKind.ARTIFACT_LABEL_ADD, reference=label.name, digest=artifact.digest)
            await unit.commit()

    await ports.store.repeat(attempt)


async def remove_artifact_label(
    ports: Ports, *, project_id: int, repository: str, reference: Reference, label_id: int, origin: ChangeOrigin
) -> None:
    """Takes a label from an artifact.

    Raises:
        DomainError: NOT_FOUND, there is no such artifact; LABEL_UNKNOWN, the label is not on it.
    """

    async def attempt() -> None:
        async with ports.store.write(short=True) as unit:
            write, artifact = await _lock_artifact(ports, unit, project_id, repository, reference, origin)
            label = await unit.labels.lock_kept(label_id)
            if label is None or not await unit.labels.take_from(artifact.id, label.id):
                raise NotFound("LABEL_UNKNOWN", f"label {label_id} is not on artifact {artifact.digest}")
            write.record(ChangeKind.ARTIFACT_LABEL_REMOVE, reference=label.name, digest=artifact.digest)
            await unit.commit()

    await ports.store.repeat(attempt)


async def _lock_artifact(
    ports: Ports, unit: UnitOfWork, project_id: int, repository: str, reference: Reference, origin: ChangeOrigin
) -> tuple[RepositoryWrite, KeptArtifact]:
    """The artifact, which cannot be deleted until the unit ends."""
    held = await unit.repositories.lock_open(project_id, repository)
    digest = None if held is None else await find_digest(unit, held, reference)
    if held is None or digest is None:
        raise unknown_artifact(repository, reference)
    artifact = (await unit.artifacts.lock_kept(held.id, [digest])).get(digest)
    if artifact is None:
        raise unknown_artifact(repository, reference)
    return RepositoryWrite(unit, held, origin, ports.clock(), ports.review_policy), artifact

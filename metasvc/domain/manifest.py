"""Manifests: how clients delete them. `domain.manifest_push` stores them, and `domain.manifest_read` finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.artifact import delete_artifact
from metasvc.domain.condition import NO_CONDITIONS
from metasvc.domain.manifest_read import unknown_manifest
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.tag import untag
from svckit.errors import DomainError

if TYPE_CHECKING:
    from metasvc.domain.condition import Conditions
    from metasvc.domain.ports import Ports
    from svckit.access.actor import ChangeOrigin
    from svckit.oci.reference import Reference as OciReference


async def delete_manifest(
    ports: Ports,
    *,
    project_id: int,
    repository: str,
    reference: OciReference,
    origin: ChangeOrigin,
    conditions: Conditions = NO_CONDITIONS,
) -> None:
    """Deletes a manifest with its tags and what nobody else names, if the reference is a digest.

    If it is a tag, only the tag is deleted.

    Raises:
        DomainError: UNSUPPORTED, clients may not delete in this installation; MANIFEST_UNKNOWN; TAG_IMMUTABLE;
            PRECONDITION, the conditions do not hold, or an index names the manifest, so pulls of the index would fail.
            Harbor refuses this as well.
    """
    if not ports.delete_enabled:
        raise DomainError("UNSUPPORTED", "deleting manifests and tags is disabled")

    async def attempt() -> None:
        async with ports.store.write() as unit:
            held = await unit.repositories.lock_open(project_id, repository)
            if held is None:
                raise unknown_manifest(reference)
            write = RepositoryWrite(unit, held, origin, ports.clock(), ports.review_policy)
            if reference.tag is not None:
                name = reference.tag.name
                tag = (await unit.tags.lock(held.id, [name])).get(name)
                if tag is None:
                    raise unknown_manifest(reference)
                conditions.check(tag.digest)
                await untag(write, tag)
                await unit.repositories.touch(held.id, write.now)
            else:
                if not await delete_artifact(write, str(reference.digest)):
                    raise unknown_manifest(reference)
                # After it, because conditions count only if the manifest exists (RFC 9110 §13.2.1).
                conditions.check(str(reference.digest))
            await unit.commit()

    await ports.store.repeat(attempt)

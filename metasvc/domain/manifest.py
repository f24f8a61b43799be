"""Manifests: how clients pull and delete them. `domain.manifest_push` stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.artifact import delete_artifact
from metasvc.domain.condition import NO_CONDITIONS
from metasvc.domain.read_note import write_for_read
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.review import must_note_head, note_head
from metasvc.domain.tag import untag
from svckit.errors import DomainError, NotFound

if TYPE_CHECKING:
    from metasvc.domain.condition import Conditions
    from metasvc.domain.model import StoredManifest
    from metasvc.domain.ports import Ports
    from svckit.access.actor import ChangeOrigin
    from svckit.oci.reference import Reference as OciReference


async def resolve_manifest(
    ports: Ports, *, project_id: int, repository: str, reference: OciReference, content: bool
) -> StoredManifest:
    """Finds the manifest that a tag or digest names, with or without its bytes. One query.

    Without its bytes, it is a HEAD: the caller may be about to push something that relies on the manifest. So this is
    noted (`domain.review`) if a deletion or garbage collection could remove it meanwhile.

    Raises:
        DomainError: MANIFEST_UNKNOWN.
    """

    async def find() -> StoredManifest:
        async with ports.store.read() as unit:
            if reference.tag is not None:
                name = reference.tag.name
                found = await unit.artifacts.manifest_by_tag(project_id, repository, name, content=content)
            else:
                digest = str(reference.digest)
                found = await unit.artifacts.manifest_by_digest(project_id, repository, digest, content=content)
        if found is None:
            raise unknown_manifest(reference)
        return found

    found = await find()
    if not content:
        now = ports.clock()
        if must_note_head(found, ports.review_policy, now):
            await write_for_read(ports, lambda unit: note_head(unit, found, ports.review_policy, now))
            # It may have been deleted before the HEAD was noted.
            found = await find()
    return found


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
        DomainError: UNSUPPORTED, clients may not delete in this installation; MANIFEST_UNKNOWN; PRECONDITION, the
            conditions do not hold, or an index names the manifest, so pulls of the index would fail. Harbor refuses
            this as well.
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


def unknown_manifest(reference: OciReference) -> NotFound:
    """The error for a tag or digest that does not exist."""
    return NotFound("MANIFEST_UNKNOWN", f"manifest {reference} is not known", metadata={"reference": str(reference)})

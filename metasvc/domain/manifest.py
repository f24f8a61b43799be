"""Manifests: how clients push, pull and delete them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metasvc.domain.accessory import named_subjects
from metasvc.domain.artifact import delete_artifact
from metasvc.domain.artifact_type import accessory_kind
from metasvc.domain.blob_health import Health, with_health
from metasvc.domain.extra_attributes import read_attributes
from metasvc.domain.manifest_read import unknown_manifest
from metasvc.domain.model import BlobKey, ChangeKind, Charge, KeptArtifact, WantedManifest
from metasvc.domain.new_artifact import needed_blobs, new_artifact, references
from metasvc.domain.project import in_project
from metasvc.domain.quarantine import quarantine_damaged
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.review import ReviewReason, postpone_manifest, review_manifests
from metasvc.domain.tag import point_tag, untag
from svckit.bounded_json import read_in_thread_if_large
from svckit.errors import DomainError, FieldViolation, Invalid, Precondition, Unavailable, from_oci_error
from svckit.oci.digest import Digest
from svckit.oci.errors import OciFormatError
from svckit.oci.manifest import Manifest, parse_manifest
from svckit.oci.reference import Reference as OciReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from metasvc.domain.model import Blob, LinkedBlob, Tag
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.oci.reference import Tag as TagName

ANY = "*"

# How many missing digests an error names. It is sent in HTTP/2 headers, whose size is limited.
_MISSING_NAMED = 32


@dataclass(frozen=True, slots=True)
class ManifestPush:
    """A manifest to push, with its conditions.

    Attributes:
        project_id: the project of the repository.
        repository: the full name of the repository.
        reference: a tag, or the digest of the content.
        media_type: the Content-Type; may be empty.
        content: the bytes of the manifest.
        tags: more tags to move; only with a digest.
        if_match: each tag must point at one of these digests, or exist for `ANY`; empty for no condition.
        if_none_match: no tag may point at one of these digests, or exist for `ANY`; empty for no condition.
    """

    project_id: int
    repository: str
    reference: OciReference
    media_type: str
    content: bytes = field(repr=False)
    tags: tuple[TagName, ...] = ()
    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """The result of a push."""

    digest: str
    tags: tuple[str, ...]
    subject_digest: str
    existed: bool


async def put_manifest(ports: Ports, push: ManifestPush, origin: ChangeOrigin) -> PushedManifest:
    """Stores a manifest and moves its tags in one transaction.

    The repository must hold everything that the manifest names, except foreign layers and the subject. A repeat is only
    noted (`domain.review`): push time and media type stay those of the first push.

    Raises:
        DomainError: MANIFEST_TOO_LARGE; MANIFEST_INVALID; DIGEST_INVALID; MANIFEST_BLOB_UNKNOWN, with the missing
            digests; PRECONDITION; QUOTA_EXCEEDED; PROJECT_UNKNOWN; BAD_REQUEST, the reference is a tag and `tags` is
            not empty; UNAVAILABLE, the config cannot be read now. The push is refused then, because attributes are read
            only once, and the artifact would never show them.
    """
    names = _tag_names(push)
    size, most = len(push.content), ports.manifest_max_bytes
    if size > most:
        raise Invalid("MANIFEST_TOO_LARGE", f"the manifest has {size} bytes, but at most {most} are allowed")
    digest, manifest = await read_in_thread_if_large(size, _read, push)
    attributes = await read_attributes(
        ports, project_id=push.project_id, repository=push.repository, digest=digest, manifest=manifest
    )

    # A subject is locked too, so that its deletion finds this accessory, or this push finds the subject gone.
    subjects = named_subjects(names) + ([] if manifest.subject is None else [str(manifest.subject.digest)])

    needed = [str(blob.digest) for blob in manifest.blobs_required]

    async def find() -> list[Blob]:
        async with ports.store.read() as unit:
            return await unit.blobs.linked(push.project_id, push.repository, needed)

    async def put(health: Health) -> PushedManifest:
        # The repository does not serve damaged blobs from now on, so they are missing below.
        await quarantine_damaged(ports, health, "manifest")

        async def work(unit: UnitOfWork, now: datetime) -> PushedManifest:
            repository = await unit.repositories.ensure(push.project_id, push.repository, now)
            write = RepositoryWrite(unit, repository, origin, now, ports.review_policy)
            kept = await unit.artifacts.lock_kept(
                repository.id, [*(str(child.digest) for child in manifest.manifests), digest, *subjects]
            )
            own = kept.get(digest)
            existed = own is not None
            if own is not None:
                await unit.artifacts.note_repeat(own.id, now)
            held = await unit.tags.lock(repository.id, names)
            _check_conditions(push, names, held, digest if existed else None)
            present = await unit.blobs.lock_linked(repository.id, needed)
            for blob_digest, linked in present.items():
                health.require(BlobKey(blob_digest, linked.generation))
            _check_references(manifest, kept, present)
            if own is None:
                if attributes is None:
                    # Since the attributes were looked for, the artifact was deleted, or its config was pushed.
                    raise Unavailable(message="the repository has just changed; push the manifest again")
                artifact = new_artifact(repository, digest, push.content, manifest, kept, present, attributes, now)
                made = await unit.artifacts.add(
                    artifact,
                    push.content,
                    references=references(manifest, kept),
                    blobs=needed_blobs(manifest, present),
                    accessory_type=accessory_kind(manifest),
                )
                own = KeptArtifact(made.id, digest, made.size, made.manifest_media_type)
                write.record(ChangeKind.MANIFEST_PUT, reference=digest, digest=digest)
            moved = [name for name in names if await point_tag(write, name, held=held.get(name), artifact=own)]
            charges = await _charge_links(unit, repository.id, present)
            left = {held[name].digest for name in moved if name in held}
            await review_manifests(unit, repository.id, left, ports.review_policy, now, ReviewReason.UNTAGGED)
            if existed:
                await postpone_manifest(unit, repository.id, digest, ports.review_policy, now)
            else:
                await review_manifests(unit, repository.id, [digest], ports.review_policy, now, ReviewReason.PUSHED)
                charges.append(Charge(digest, size))
            if moved or not existed:
                await unit.repositories.touch(repository.id, now)
            await unit.projects.charge(push.project_id, charges, now)
            await unit.commit()
            subject = "" if manifest.subject is None else str(manifest.subject.digest)
            return PushedManifest(digest, tuple(names), subject, existed)

        return await in_project(ports, push.project_id, work)

    try:
        return await with_health(ports, find, put)
    except Unavailable:
        async with ports.store.read() as unit:
            wanted = WantedManifest(push.project_id, push.repository, OciReference.parse(digest), content=False)
            (stored,) = await unit.artifacts.find_manifests([wanted])
        if stored is None:
            raise
        # Nothing new is stored, so tags can be moved while blobsvc is away.
        return await put(Health(is_unknown=True))


async def delete_manifest(
    ports: Ports, *, project_id: int, repository: str, reference: OciReference, origin: ChangeOrigin
) -> None:
    """Deletes a manifest with its tags and what nobody else names, if the reference is a digest.

    If it is a tag, only the tag is deleted.

    Raises:
        DomainError: UNSUPPORTED, clients may not delete in this installation; MANIFEST_UNKNOWN; PRECONDITION, an index
            names the manifest, so pulls of the index would fail. Harbor refuses this as well.
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
                await untag(write, tag)
                await unit.repositories.touch(held.id, write.now)
            elif not await delete_artifact(write, str(reference.digest)):
                raise unknown_manifest(reference)
            await unit.commit()

    await ports.store.repeat(attempt)


async def _charge_links(unit: UnitOfWork, repository_id: int, present: Mapping[str, LinkedBlob]) -> list[Charge]:
    """Marks those links as charged that a deletion has discharged, and returns what the project has to be charged."""
    uncharged = [digest for digest, blob in present.items() if not blob.is_charged]
    return [Charge(digest, present[digest].size) for digest in await unit.blobs.charge_links(repository_id, uncharged)]


def _tag_names(push: ManifestPush) -> list[str]:
    if push.reference.tag is not None:
        if push.tags:
            raise Invalid(violations=[FieldViolation("tags", "must be empty unless the reference is a digest")])
        return [push.reference.tag.name]
    return list(dict.fromkeys(tag.name for tag in push.tags))


def _read(push: ManifestPush) -> tuple[str, Manifest]:
    try:
        named = push.reference.digest
        digest = Digest.of(push.content) if named is None else Digest.of(push.content, named.algorithm)
        if named is not None and named != digest:
            raise Invalid(
                "DIGEST_INVALID", f"the content has digest {digest}, not {named}", metadata={"digest": str(digest)}
            )
        return str(digest), parse_manifest(push.content, push.media_type or None)
    except OciFormatError as error:
        # Without its traceback, because the frames there refer to the whole document.
        raise from_oci_error(error) from error.with_traceback(None)


def _check_conditions(push: ManifestPush, names: Sequence[str], held: Mapping[str, Tag], own: str | None) -> None:
    """Checks If-Match and If-None-Match (RFC 9110) against the digests that the tags point at.

    Without a tag, they are checked against the digest of the manifest itself.
    """
    current: list[str | None] = [held[name].digest if name in held else None for name in names] if names else [own]
    for digest in current:
        if push.if_match and (digest is None or (ANY not in push.if_match and digest not in push.if_match)):
            raise Precondition("PRECONDITION", _mismatch("If-Match", digest), metadata={"current": digest or ""})
        if push.if_none_match and digest is not None and (ANY in push.if_none_match or digest in push.if_none_match):
            raise Precondition("PRECONDITION", _mismatch("If-None-Match", digest), metadata={"current": digest})


def _mismatch(condition: str, digest: str | None) -> str:
    found = "the reference does not exist" if digest is None else f"the reference points at {digest}"
    return f"{condition} does not hold: {found}"


def _check_references(manifest: Manifest, kept: Mapping[str, KeptArtifact], present: Mapping[str, LinkedBlob]) -> None:
    """Refuses a manifest that names missing content. Its sizes are not checked, as in the distribution registry."""
    missing = [str(child.digest) for child in manifest.manifests if str(child.digest) not in kept]
    missing += [str(blob.digest) for blob in manifest.blobs_required if str(blob.digest) not in present]
    if missing:
        missing = list(dict.fromkeys(missing))
        shown = missing[:_MISSING_NAMED]
        raise Precondition(
            "MANIFEST_BLOB_UNKNOWN",
            f"the manifest names {len(missing)} digests that this repository does not hold: {', '.join(shown[:3])}"
            + (", …" if len(missing) > len(shown[:3]) else ""),
            metadata={"digest": shown[0], "missing_count": str(len(missing))},
            violations=[FieldViolation("content", digest) for digest in shown],
        )

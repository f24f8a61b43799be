"""Pushes of manifests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metasvc.domain.accessory import named_subjects
from metasvc.domain.artifact_type import accessory_kind
from metasvc.domain.blob_health import Health, with_health
from metasvc.domain.condition import NO_CONDITIONS, Conditions
from metasvc.domain.extra_attributes import read_attributes
from metasvc.domain.immutability import refuse_push
from metasvc.domain.model import BlobKey, ChangeKind, Charge, KeptArtifact, WantedManifest
from metasvc.domain.new_artifact import needed_blobs, new_artifact, references
from metasvc.domain.project import in_project
from metasvc.domain.quarantine import quarantine_damaged
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.review import ReviewReason, postpone_manifest, review_manifests
from metasvc.domain.tag import TagTarget, point_tags
from svckit.bounded_json import read_in_thread_if_large
from svckit.errors import FieldViolation, Invalid, Precondition, Unavailable, from_oci_error
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

# How many missing digests an error names. It is sent in HTTP/2 headers, whose size is limited.
_MISSING_NAMED = 32
# A push that names more than this, or has more bytes, is no short unit: it would hold up other calls.
_SHORT_PUSH = 128
_SHORT_BYTES = 64 * 1024


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
        conditions: each tag must meet them; without a tag, the manifest itself.
        config: the bytes of its config, if the caller has them. They are believed only if they have its digest.
    """

    project_id: int
    repository: str
    reference: OciReference
    media_type: str
    content: bytes = field(repr=False)
    tags: tuple[TagName, ...] = ()
    conditions: Conditions = NO_CONDITIONS
    config: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """The result of a push."""

    digest: str
    tags: tuple[str, ...]
    subject_digest: str
    existed: bool


@dataclass(frozen=True, slots=True)
class _ReadPush:
    """A push whose content has been read.

    Attributes:
        push: the push.
        origin: who pushes.
        names: the tags that are moved.
        digest: the digest of the content.
        manifest: the content.
        attributes: the attributes of a new artifact; None if they were not needed or not found (`read_attributes`).
    """

    push: ManifestPush
    origin: ChangeOrigin
    names: tuple[str, ...]
    digest: str
    manifest: Manifest
    attributes: Mapping[str, object] | None

    @property
    def blobs(self) -> list[str]:
        """The digests of the blobs that the repository must hold, and of foreign layers, which it may hold."""
        return [str(blob.digest) for blob in self.manifest.blobs_named]

    @property
    def subject(self) -> str:
        """The digest of the subject; empty without one."""
        return "" if self.manifest.subject is None else str(self.manifest.subject.digest)

    @property
    def locked(self) -> list[str]:
        """The digests of the artifacts that are locked: the children, the manifest itself, and its subjects.

        Subjects are locked so that their deletion finds this accessory, or this push finds the subject gone.
        """
        children = [str(child.digest) for child in self.manifest.manifests]
        return [*children, self.digest, *named_subjects(self.names), *([self.subject] if self.subject else [])]

    @property
    def is_short(self) -> bool:
        """Whether the push writes few rows."""
        named = len(self.manifest.manifests) + len(self.blobs) + len(self.names)
        return named <= _SHORT_PUSH and len(self.push.content) <= _SHORT_BYTES


async def put_manifest(ports: Ports, push: ManifestPush, origin: ChangeOrigin) -> PushedManifest:
    """Stores a manifest and moves its tags in one transaction.

    The repository must hold everything that the manifest names, except foreign layers and the subject. A repeat is only
    noted (`domain.review`): push time and media type stay those of the first push.

    Raises:
        DomainError: MANIFEST_TOO_LARGE; MANIFEST_INVALID; DIGEST_INVALID; MANIFEST_BLOB_UNKNOWN, with the missing
            digests; PRECONDITION; TAG_IMMUTABLE; QUOTA_EXCEEDED; PROJECT_UNKNOWN; BAD_REQUEST, the reference is a tag
            and `tags` is not empty; UNAVAILABLE, the config cannot be read now. The push is refused then, because
            attributes are read only once, and the artifact would never show them.
    """
    read = await _read(ports, push, origin)

    async def find() -> list[Blob]:
        return await ports.store.find_linked(push.project_id, push.repository, read.blobs)

    try:
        return await with_health(ports, find, lambda health: _put(ports, read, health))
    except Unavailable:
        wanted = WantedManifest(push.project_id, push.repository, OciReference.parse(read.digest), content=False)
        (stored,) = await ports.store.find_manifests([wanted], content_bytes=0)
        if stored is None:
            raise
        # Nothing new is stored, so tags can be moved while blobsvc is away.
        return await _put(ports, read, Health(is_unknown=True))


async def _read(ports: Ports, push: ManifestPush, origin: ChangeOrigin) -> _ReadPush:
    """Reads and checks what can be checked before the transaction."""
    names = _tag_names(push)
    size, most = len(push.content), ports.manifest_max_bytes
    if size > most:
        raise Invalid("MANIFEST_TOO_LARGE", f"the manifest has {size} bytes, but at most {most} are allowed")
    digest, manifest = await read_in_thread_if_large(size, _parse, push)
    attributes = await read_attributes(
        ports,
        project_id=push.project_id,
        repository=push.repository,
        digest=digest,
        manifest=manifest,
        given=push.config,
    )
    return _ReadPush(push, origin, tuple(names), digest, manifest, attributes)


async def _put(ports: Ports, read: _ReadPush, health: Health) -> PushedManifest:
    # The repository does not serve damaged blobs from now on, so they are missing below.
    await quarantine_damaged(ports, health, "manifest")

    async def work(unit: UnitOfWork, now: datetime) -> PushedManifest:
        repository = await unit.repositories.ensure(read.push.project_id, read.push.repository, now)
        pushed = await _store(RepositoryWrite(unit, repository, read.origin, now, ports.review_policy), read, health)
        await unit.commit()
        return pushed

    return await in_project(ports, read.push.project_id, work, short=read.is_short)


async def _store(write: RepositoryWrite, read: _ReadPush, health: Health) -> PushedManifest:
    """Stores the manifest if it is new, and moves its tags. Does not commit."""
    unit, repository, now, policy = write.unit, write.repository, write.now, write.review_policy
    kept = await unit.artifacts.lock_kept(repository.id, read.locked)
    own = kept.get(read.digest)
    existed = own is not None
    if own is not None:
        await unit.artifacts.note_repeat(own.id, now)
    held = await unit.tags.lock(repository.id, read.names)
    await refuse_push(write, held)
    _check_conditions(read, held, read.digest if existed else None)
    present = await unit.blobs.lock_linked(repository.id, read.blobs)
    for blob_digest, linked in present.items():
        health.require(BlobKey(blob_digest, linked.generation))
    _check_references(read.manifest, kept, present)
    if own is None:
        own = await _add(write, read, kept, present)
    elif len(present) > len(read.manifest.blobs_required):
        # Bytes of foreign layers, which may not have been here when the manifest was put first.
        await unit.artifacts.hold_blobs(own.id, repository.id, needed_blobs(read.manifest, present))
    moved = await point_tags(write, [TagTarget(name, held.get(name), own) for name in read.names])
    charges = await _charge_links(unit, repository.id, present)
    left = {each.held.digest for each in moved if each.held is not None}
    await review_manifests(unit, repository.id, left, policy, now, ReviewReason.UNTAGGED)
    if existed:
        await postpone_manifest(unit, repository.id, read.digest, policy, now)
    else:
        await review_manifests(unit, repository.id, [read.digest], policy, now, ReviewReason.PUSHED)
        charges.append(Charge(read.digest, len(read.push.content)))
    if moved or not existed:
        await unit.repositories.touch(repository.id, now)
    await unit.projects.charge(repository.project_id, charges, now)
    return PushedManifest(read.digest, read.names, read.subject, existed)


async def _add(
    write: RepositoryWrite, read: _ReadPush, kept: Mapping[str, KeptArtifact], present: Mapping[str, LinkedBlob]
) -> KeptArtifact:
    """Writes the rows of a new artifact. All artifacts are made here."""
    if read.attributes is None:
        # Since the attributes were looked for, the artifact was deleted, or its config was pushed.
        raise Unavailable(message="the repository has just changed; push the manifest again")
    content = read.push.content
    made = await write.unit.artifacts.add(
        new_artifact(write.repository, read.digest, content, read.manifest, kept, present, read.attributes, write.now),
        content,
        references=references(read.manifest, kept),
        blobs=needed_blobs(read.manifest, present),
        accessory_type=accessory_kind(read.manifest),
    )
    write.record(ChangeKind.MANIFEST_PUT, reference=read.digest, digest=read.digest)
    return KeptArtifact(made.id, read.digest, made.size, made.manifest_media_type)


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


def _parse(push: ManifestPush) -> tuple[str, Manifest]:
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


def _check_conditions(read: _ReadPush, held: Mapping[str, Tag], own: str | None) -> None:
    """Checks the conditions of the push against each tag. Without a tag, against the manifest itself.

    Args:
        read: the push.
        held: the tags that exist, by name.
        own: the digest of the manifest if it existed; None otherwise.
    """
    current = [held[name].digest if name in held else None for name in read.names] if read.names else [own]
    for digest in current:
        read.push.conditions.check(digest)


def _check_references(manifest: Manifest, kept: Mapping[str, KeptArtifact], present: Mapping[str, LinkedBlob]) -> None:
    """Refuses a manifest that names missing content. Its sizes are not checked, as in the distribution registry."""
    missing = [str(child.digest) for child in manifest.manifests if str(child.digest) not in kept]
    missing += [str(blob.digest) for blob in manifest.blobs_required if str(blob.digest) not in present]
    if missing:
        raise missing_content(list(dict.fromkeys(missing)), "the manifest names")


def missing_content(digests: Sequence[str], who: str) -> Precondition:
    """The error for content that a repository does not hold. `who` begins its text: "the manifest names"."""
    shown = digests[:_MISSING_NAMED]
    return Precondition(
        "MANIFEST_BLOB_UNKNOWN",
        f"{who} {len(digests)} digests that this repository does not hold: {', '.join(shown[:3])}"
        + (", …" if len(digests) > len(shown[:3]) else ""),
        metadata={"digest": shown[0], "missing_count": str(len(digests))},
        violations=[FieldViolation("content", digest) for digest in shown],
    )

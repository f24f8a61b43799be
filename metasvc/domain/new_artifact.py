"""Builds the rows of a pushed manifest: the artifact, its children, and the blobs that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.artifact_type import artifact_kind
from metasvc.domain.model import NeededBlob, NewArtifact, Reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from metasvc.domain.model import KeptArtifact, LinkedBlob, Repository
    from svckit.oci.manifest import Manifest

_MAX_INT64 = 2**63 - 1


def new_artifact(
    repository: Repository,
    digest: str,
    content: bytes,
    manifest: Manifest,
    kept: Mapping[str, KeptArtifact],
    present: Mapping[str, LinkedBlob],
    attributes: Mapping[str, object],
    now: datetime,
) -> NewArtifact:
    """Describes the artifact of a manifest.

    Args:
        repository: the repository that it was pushed to.
        digest: the digest of the content.
        content: the bytes of the manifest.
        manifest: the parsed content.
        kept: its children, by digest.
        present: its blobs, by digest.
        attributes: the attributes from its config (`extra_attributes`).
        now: the time of the push.
    """
    return NewArtifact(
        project_id=repository.project_id,
        repository_id=repository.id,
        repository_name=repository.name,
        digest=digest,
        media_type=manifest.media_type if manifest.config is None else manifest.config.media_type,
        manifest_media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        type=artifact_kind(manifest),
        size=_total_size(content, manifest, kept, present),
        manifest_size=len(content),
        subject_digest="" if manifest.subject is None else str(manifest.subject.digest),
        config_digest="" if manifest.config is None else str(manifest.config.digest),
        push_time=now,
        extra_attrs=attributes,
        annotations=manifest.annotations,
    )


def references(manifest: Manifest, kept: Mapping[str, KeptArtifact]) -> list[Reference]:
    """Lists the children of an index, in its order; `kept` has them by digest."""
    listed = []
    for child in manifest.manifests:
        platform = child.platform
        listed.append(
            Reference(
                child_id=kept[str(child.digest)].id,
                child_digest=str(child.digest),
                platform=None
                if platform is None
                else {
                    "architecture": platform.architecture,
                    "os": platform.os,
                    "os_version": platform.os_version,
                    "os_features": list(platform.os_features),
                    "variant": platform.variant,
                },
                annotations=child.annotations,
                urls=child.urls,
            )
        )
    return listed


def needed_blobs(manifest: Manifest, present: Mapping[str, LinkedBlob]) -> list[NeededBlob]:
    """Lists the blobs that the repository holds, with their stored sizes instead of those in the manifest.

    Foreign layers are among them if somebody has pushed their bytes all the same, as Docker's option
    `allow-nondistributable-artifacts` does. Otherwise they could be deleted while this manifest names them.
    """
    return [
        NeededBlob(str(blob.digest), blob.media_type, present[str(blob.digest)].size)
        for blob in manifest.blobs_named
        if str(blob.digest) in present
    ]


def _total_size(
    content: bytes, manifest: Manifest, kept: Mapping[str, KeptArtifact], present: Mapping[str, LinkedBlob]
) -> int:
    """Adds up the sizes of the manifest and of all that it names. A digest that is named twice counts once."""
    children = {str(child.digest): kept[str(child.digest)].size for child in manifest.manifests}
    # The repository does not hold every foreign layer, so only the manifest knows the sizes of the others.
    blobs = {
        digest: present[digest].size if digest in present else blob.size
        for blob in manifest.blobs_named
        for digest in (str(blob.digest),)
    }
    total = len(content) + sum(children.values()) + sum(blobs.values())
    return min(total, _MAX_INT64)

"""Between the messages of the contracts and the types of the domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from roadstead.meta.v1 import manifest_pb2, project_service_pb2
from svckit.errors import DomainError, from_oci_error
from svckit.oci.digest import Digest
from svckit.oci.errors import OciFormatError
from svckit.oci.reference import Reference, Tag
from svckit.oci.repository import RepositoryName

if TYPE_CHECKING:
    from metasvc.domain.model import ProjectUsage, Referrer, StoredManifest
    from svckit.access.call import Call
    from svckit.access.checker import ResolvedProject

T = TypeVar("T")


def parsed(parse: Callable[[str], T], text: str) -> T:
    """Reads what a caller sent, and refuses it in the words of the distribution spec.

    Raises:
        DomainError: DIGEST_INVALID, NAME_INVALID or TAG_INVALID.
    """
    try:
        return parse(text)
    except OciFormatError as error:
        raise from_oci_error(error) from error


def to_digest(text: str) -> str:
    """Reads a digest. Raises as `parsed`."""
    return str(parsed(Digest.parse, text))


def to_reference(text: str) -> Reference:
    """Reads a tag or digest. Raises as `parsed`."""
    return parsed(Reference.parse, text)


def to_tag(text: str) -> Tag:
    """Reads a tag. Raises as `parsed`."""
    return parsed(Tag.parse, text)


def to_repository_name(text: str) -> str:
    """Reads the full name of a repository. Raises as `parsed`."""
    return str(parsed(RepositoryName.parse, text))


def judged_project(call: Call) -> ResolvedProject:
    """The project on which the call's rule has permitted it."""
    if call.project is None:
        raise DomainError("INTERNAL", f"{call.method} reached its servicer without a project")
    return call.project


def from_manifest(manifest: StoredManifest) -> manifest_pb2.Manifest:
    """Writes a manifest."""
    return manifest_pb2.Manifest(
        digest=manifest.digest,
        media_type=manifest.media_type,
        size_bytes=manifest.size,
        content=manifest.content or b"",
    )


def from_referrer(referrer: Referrer) -> manifest_pb2.Descriptor:
    """Writes a referrer as the descriptor of it."""
    return manifest_pb2.Descriptor(
        media_type=referrer.media_type,
        digest=referrer.digest,
        size_bytes=referrer.size,
        artifact_type=referrer.artifact_type,
        annotations=referrer.annotations,
    )


def from_usage(usage: ProjectUsage) -> project_service_pb2.ProjectUsage:
    """Writes what a project stores."""
    return project_service_pb2.ProjectUsage(
        project_id=usage.project_id,
        repository_count=usage.repository_count,
        used_bytes=usage.used_bytes,
        limit_bytes=usage.limit_bytes,
    )

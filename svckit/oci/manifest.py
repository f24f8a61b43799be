"""Manifests: the documents under /manifests/. They are read and checked, never changed.

Follows image-spec (manifest.md, image-index.md), Docker's schema 2, and distribution-spec's "Pushing Manifests".
Unknown fields are allowed, and so are unknown media types of configs, layers and artifacts. A document that two
programs could understand differently is refused (CVE-2021-41190).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from svckit.oci import media_types
from svckit.oci.descriptor import Descriptor, media_type_field, no_annotations, parse_descriptor
from svckit.oci.document import MAX_INT64, list_field, load_object, refuse_case_variants, text_map_field
from svckit.oci.errors import ManifestInvalidError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_DESCRIPTORS = 10_000
"""The most layers of a manifest, or children of an index. Each is a row, and one transaction writes them all."""

_FIELDS = frozenset(
    {"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"}
)
_SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of an image manifest (artifacts included) or an index.

    Attributes:
        media_type: one of `media_types.MANIFEST_TYPES`.
        kind: "manifest" or "index".
        config: the config of a manifest; None for an index.
        layers: the layers of a manifest.
        manifests: the children of an index that are manifests or indexes.
        index_blobs: the other children of an index. BuildKit stores its cache in this way: layers and a cache config.
        subject: the manifest that this one refers to. It may not exist yet. Docker's types have none.
        declared_artifact_type: the artifactType field; '' if there is none.
        annotations: a read-only mapping.
    """

    media_type: str
    kind: Literal["manifest", "index"]
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    index_blobs: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    declared_artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=no_annotations, hash=False)

    @property
    def artifact_type(self) -> str:
        """The type by which referrers are listed and filtered: artifactType, else config.mediaType, else ''.

        From distribution-spec, "Listing Referrers".
        """
        if self.declared_artifact_type or self.config is None:
            return self.declared_artifact_type
        return self.config.media_type

    @property
    def blobs_required(self) -> tuple[Descriptor, ...]:
        """The blobs whose bytes must be in the repository, each digest once, in order of appearance.

        These are the config, the layers and an index's blobs, except foreign and non-distributable layers with URLs.
        """
        config = () if self.config is None else (self.config,)
        unique: dict[object, Descriptor] = {}
        for blob in (*config, *self.layers, *self.index_blobs):
            if not blob.is_elsewhere:
                unique.setdefault(blob.digest, blob)
        return tuple(unique.values())

    @property
    def blobs_named(self) -> tuple[Descriptor, ...]:
        """`blobs_required`, and the layers that the repository may hold as well, because they have URLs."""
        unique: dict[object, Descriptor] = {blob.digest: blob for blob in self.blobs_required}
        for layer in (*self.layers, *self.index_blobs):
            unique.setdefault(layer.digest, layer)
        return tuple(unique.values())

    @property
    def total_blob_size(self) -> int:
        """The sum of the sizes of `blobs_required`, in bytes."""
        return sum(blob.size for blob in self.blobs_required)


def parse_manifest(content: bytes, media_type: str | None) -> Manifest:
    """Read and check a manifest.

    Args:
        content: its bytes, as they were sent. The caller limits their number.
        media_type: the Content-Type that was sent. If it is absent or generic (`application/json`), the document's own
            mediaType decides. If an OCI document has no mediaType, the Content-Type decides.

    Raises:
        ManifestInvalidError: the content is not a manifest, contradicts itself, or is of a kind that is not supported.
    """
    document = load_object(content)
    refuse_case_variants(document, _FIELDS, "the manifest")
    chosen = _media_type(document, media_type)
    version = document.get("schemaVersion")
    if isinstance(version, bool) or not isinstance(version, int) or version != _SCHEMA_VERSION:
        raise ManifestInvalidError("schemaVersion must be 2", field="schemaVersion")
    is_image = document.get("config") is not None or document.get("layers") is not None
    if is_image and document.get("manifests") is not None:
        raise ManifestInvalidError(
            "the manifest has both manifests and config or layers: it could be an image or an index", field="manifests"
        )
    manifest = _index(document, chosen) if media_types.is_index(chosen) else _image_manifest(document, chosen)
    _check_sizes(manifest)
    return manifest


def _media_type(document: Mapping[str, object], content_type: str | None) -> str:
    """Decide the media type, from the Content-Type header and the mediaType field."""
    header = "" if media_types.is_generic(content_type) else media_types.bare(content_type)
    declared = media_type_field(document, "mediaType", "manifest")
    if document.get("schemaVersion") == 1 or media_types.SCHEMA1_TYPES & {header, declared}:
        raise ManifestInvalidError(
            "Docker schema 1 manifests are not supported: push schema 2 or OCI", field="schemaVersion"
        )
    if header and declared and header != declared:
        raise ManifestInvalidError(
            f"the Content-Type is {shown(header)}, the manifest's mediaType {shown(declared)}", field="mediaType"
        )
    chosen = header or declared
    if not chosen:
        raise ManifestInvalidError("neither a Content-Type nor a mediaType says what this is", field="mediaType")
    if chosen == media_types.OCI_ARTIFACT_MANIFEST:
        raise ManifestInvalidError(
            f"{chosen} was removed from the specification: push an image manifest with an artifactType",
            field="mediaType",
        )
    if not media_types.is_supported_manifest(chosen):
        raise ManifestInvalidError(f"{shown(chosen)} is not a supported manifest type", field="mediaType")
    if not declared and chosen in media_types.DOCKER_MANIFEST_TYPES:
        # Docker's own clients refuse such a document. It could be pushed, but never pulled.
        raise ManifestInvalidError(f"a manifest of type {chosen} must have it as its mediaType", field="mediaType")
    return chosen


def _image_manifest(document: Mapping[str, object], media_type: str) -> Manifest:
    if document.get("config") is None:
        raise ManifestInvalidError("the manifest has no config", field="config")
    return Manifest(
        media_type=media_type,
        kind="manifest",
        config=parse_descriptor(document["config"], "config"),
        layers=_descriptors(document, "layers"),
        subject=_subject(document, media_type),
        declared_artifact_type=_artifact_type(document, media_type),
        annotations=_annotations(document),
    )


def _index(document: Mapping[str, object], media_type: str) -> Manifest:
    children = _descriptors(document, "manifests")
    for position, child in enumerate(children):
        if child.media_type in media_types.UNSUPPORTED_MANIFEST_TYPES:
            raise ManifestInvalidError(
                f"manifests[{position}] is of type {child.media_type}, which is not supported",
                field=f"manifests[{position}].mediaType",
            )
    return Manifest(
        media_type=media_type,
        kind="index",
        manifests=tuple(child for child in children if media_types.is_supported_manifest(child.media_type)),
        index_blobs=tuple(child for child in children if not media_types.is_supported_manifest(child.media_type)),
        subject=_subject(document, media_type),
        declared_artifact_type=_artifact_type(document, media_type),
        annotations=_annotations(document),
    )


def _descriptors(document: Mapping[str, object], key: str) -> tuple[Descriptor, ...]:
    """Read the list `layers` or `manifests`. It may be empty (or null, as Go writes it), but it must be there."""
    if key not in document:
        raise ManifestInvalidError(f"the manifest has no {key}", field=key)
    values = list_field(document, key, "manifest")
    if len(values) > MAX_DESCRIPTORS:
        raise ManifestInvalidError(f"{len(values)} {key}; the limit is {MAX_DESCRIPTORS}", field=key)
    return tuple(parse_descriptor(value, f"{key}[{position}]") for position, value in enumerate(values))


def _subject(document: Mapping[str, object], media_type: str) -> Descriptor | None:
    if media_type in media_types.DOCKER_MANIFEST_TYPES or document.get("subject") is None:
        return None
    return parse_descriptor(document["subject"], "subject")


def _artifact_type(document: Mapping[str, object], media_type: str) -> str:
    if media_type in media_types.DOCKER_MANIFEST_TYPES:
        return ""
    return media_type_field(document, "artifactType", "manifest")


def _annotations(document: Mapping[str, object]) -> Mapping[str, str]:
    return MappingProxyType(text_map_field(document, "annotations", "manifest"))


def _check_sizes(manifest: Manifest) -> None:
    """Refuse sizes that cannot be stored: two sizes for one digest, and a sum beyond 64 bits."""
    sizes: dict[object, int] = {}
    for described in _all_descriptors(manifest):
        if sizes.setdefault(described.digest, described.size) != described.size:
            raise ManifestInvalidError(f"{described.digest} has two different sizes", digest=str(described.digest))
    if sum(sizes.values()) > MAX_INT64:
        raise ManifestInvalidError("the sum of the sizes exceeds 64 bits", field="size")


def _all_descriptors(manifest: Manifest) -> Iterable[Descriptor]:
    if manifest.config is not None:
        yield manifest.config
    yield from manifest.layers
    yield from manifest.manifests
    yield from manifest.index_blobs

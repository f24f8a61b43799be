"""The media types of Docker and OCI that a registry knows, and functions to classify them.

Only manifests are limited to the types listed here. A config, a layer or an artifact may have any other media type.
"""

from __future__ import annotations

from typing import Final

# Docker image manifest version 2, schema 2: docs/content/spec/manifest-v2-2.md of distribution.
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN_LAYER: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
DOCKER_PLUGIN_CONFIG: Final = "application/vnd.docker.plugin.v1+json"

# Schema 1 is refused: its digest is not the hash of its bytes, and no tool has written it for years.
DOCKER_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"

# OCI: image-spec, media-types.md.
OCI_DESCRIPTOR: Final = "application/vnd.oci.descriptor.v1+json"
OCI_LAYOUT_HEADER: Final = "application/vnd.oci.layout.header.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_NONDISTRIBUTABLE_LAYER: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_NONDISTRIBUTABLE_LAYER_GZIP: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
OCI_NONDISTRIBUTABLE_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"

# This type was in release candidates of image-spec 1.1 and was removed before the release.
OCI_ARTIFACT_MANIFEST: Final = "application/vnd.oci.artifact.manifest.v1+json"

OCTET_STREAM: Final = "application/octet-stream"

IMAGE_MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
MANIFEST_TYPES: Final = IMAGE_MANIFEST_TYPES | INDEX_TYPES
"""Everything that may be put as a manifest."""

DOCKER_MANIFEST_TYPES: Final = frozenset({DOCKER_MANIFEST, DOCKER_MANIFEST_LIST})
SCHEMA1_TYPES: Final = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
UNSUPPORTED_MANIFEST_TYPES: Final = SCHEMA1_TYPES | {OCI_ARTIFACT_MANIFEST}
"""The manifest types that are refused."""

FOREIGN_LAYER_TYPES: Final = frozenset(
    {
        DOCKER_FOREIGN_LAYER,
        OCI_NONDISTRIBUTABLE_LAYER,
        OCI_NONDISTRIBUTABLE_LAYER_GZIP,
        OCI_NONDISTRIBUTABLE_LAYER_ZSTD,
    }
)
IMAGE_CONFIG_TYPES: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})

# The types that HTTP clients send when the user gave none (curl's --data-binary sends the type of a form).
_GENERIC_TYPES: Final = frozenset(
    {"", "*/*", "application/json", OCTET_STREAM, "text/plain", "application/x-www-form-urlencoded"}
)


def bare(content_type: str | None) -> str:
    """Return the media type in a Content-Type, without parameters, in lower case; '' if there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_generic(content_type: str | None) -> bool:
    """Tell whether a Content-Type says nothing about what the body is."""
    return bare(content_type) in _GENERIC_TYPES


def is_index(media_type: str) -> bool:
    """Tell whether it is an OCI image index or a Docker manifest list."""
    return media_type in INDEX_TYPES


def is_image_manifest(media_type: str) -> bool:
    """Tell whether it is an OCI image manifest (artifacts included) or a Docker schema 2 manifest."""
    return media_type in IMAGE_MANIFEST_TYPES


def is_supported_manifest(media_type: str) -> bool:
    """Tell whether it is a manifest or an index that may be put."""
    return media_type in MANIFEST_TYPES


def is_foreign_layer(media_type: str) -> bool:
    """Tell whether it is a foreign (Docker) or non-distributable (OCI) layer. Its bytes may be outside the registry."""
    return media_type in FOREIGN_LAYER_TYPES


def is_image_config(media_type: str) -> bool:
    """Tell whether it is the config of a container image, which has an architecture, an OS and labels."""
    return media_type in IMAGE_CONFIG_TYPES

"""Descriptors: how a manifest describes the content that it refers to (image-spec, descriptor.md)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from svckit.oci.digest import Digest
from svckit.oci.document import (
    MAX_INT64,
    object_field,
    refuse_case_variants,
    text_field,
    text_list_field,
    text_map_field,
)
from svckit.oci.errors import DigestInvalidError, ManifestInvalidError, shown
from svckit.oci.media_types import is_foreign_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MEDIA_TYPE_CHARACTERS = 255

# Media types are sent in the Content-Type header, so only printable ASCII is allowed.
_MEDIA_TYPE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

_FIELDS = frozenset({"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"})
_PLATFORM_FIELDS = frozenset({"architecture", "os", "os.version", "os.features", "variant"})


def no_annotations() -> Mapping[str, str]:
    """Return an empty read-only mapping."""
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform that an image runs on (image-spec, image-index.md); '' for a value that is not given."""

    architecture: str
    os: str
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Refers to content by digest.

    Attributes:
        media_type: the type of the content.
        digest: the digest of the content.
        size: the size of the content, in bytes.
        urls: other places from which the content can be downloaded.
        annotations: a read-only mapping.
        platform: the platform of an image in an index.
        artifact_type: '' if it is not given.
        data: the content itself, if it is embedded (its size and digest have been checked).
    """

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=no_annotations, hash=False)
    platform: Platform | None = None
    artifact_type: str = ""
    data: bytes | None = field(default=None, repr=False)

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a foreign or non-distributable layer with a URL: its bytes need not be in the registry.

        Without a URL there is no other place to download it from, so its bytes must be in the registry.
        """
        return bool(self.urls) and is_foreign_layer(self.media_type)


def media_type_field(members: Mapping[str, object], key: str, where: str) -> str:
    """Read an optional media type; '' if it is absent, null or empty.

    Raises:
        ManifestInvalidError: the value is not a string of printable ASCII, or too long.
    """
    media_type = text_field(members, key, where)
    if media_type and (len(media_type) > MAX_MEDIA_TYPE_CHARACTERS or _MEDIA_TYPE.fullmatch(media_type) is None):
        raise ManifestInvalidError(f"{where}.{key} is not a media type: {shown(media_type)}", field=f"{where}.{key}")
    return media_type


def parse_descriptor(value: object, where: str) -> Descriptor:
    """Read a descriptor.

    Args:
        value: a value of a JSON document.
        where: its place in the document, for messages.

    Raises:
        ManifestInvalidError: the value is not a descriptor; the message says where and why.
    """
    if not isinstance(value, dict):
        raise ManifestInvalidError(f"{where} is not a descriptor", field=where)
    refuse_case_variants(value, _FIELDS, where)
    media_type = media_type_field(value, "mediaType", where)
    if not media_type:
        raise ManifestInvalidError(f"{where} has no mediaType", field=f"{where}.mediaType")
    digest = _digest(value, where)
    size = value.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_INT64:
        raise ManifestInvalidError(f"{where}.size is not a number of bytes", field=f"{where}.size")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        urls=text_list_field(value, "urls", where),
        annotations=MappingProxyType(text_map_field(value, "annotations", where)),
        platform=_platform(value, where),
        artifact_type=media_type_field(value, "artifactType", where),
        data=_data(value, digest, size, where),
    )


def _digest(members: Mapping[str, object], where: str) -> Digest:
    text = members.get("digest")
    if not isinstance(text, str):
        raise ManifestInvalidError(f"{where} has no digest", field=f"{where}.digest")
    try:
        return Digest.parse(text)
    except DigestInvalidError as error:
        raise ManifestInvalidError(f"{where}.digest: {error.message}", field=f"{where}.digest") from error


def _platform(members: Mapping[str, object], where: str) -> Platform | None:
    platform = object_field(members, "platform", where)
    if platform is None:
        return None
    where = f"{where}.platform"
    refuse_case_variants(platform, _PLATFORM_FIELDS, where)
    return Platform(
        architecture=text_field(platform, "architecture", where),
        os=text_field(platform, "os", where),
        os_version=text_field(platform, "os.version", where),
        os_features=text_list_field(platform, "os.features", where),
        variant=text_field(platform, "variant", where),
    )


def _data(members: Mapping[str, object], digest: Digest, size: int, where: str) -> bytes | None:
    """Read and verify embedded content: it must match the digest (spec), and clients may use it without a check."""
    encoded = members.get("data")
    if encoded is None:
        return None
    if not isinstance(encoded, str):
        raise ManifestInvalidError(f"{where}.data is not a string", field=f"{where}.data")
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ManifestInvalidError(f"{where}.data is not base64", field=f"{where}.data") from error
    if len(data) != size or not digest.matches(data):
        raise ManifestInvalidError(f"{where}.data does not match its digest and size", field=f"{where}.data")
    return data

"""Errors for data that does not follow the OCI formats. `svckit.errors` turns them into domain errors."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_CHARACTERS = 100


def shown(value: object) -> str:
    """Prepare a caller's text for a message: quoted, in ASCII, and cut after 100 characters.

    Messages go into headers, logs and terminals, so they must not contain control characters or long texts.
    """
    text = ascii(value[: _SHOWN_CHARACTERS + 1]) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...'"


class OciFormatError(ValueError):
    """Data does not follow the OCI specifications.

    Attributes:
        reason: the error code of the distribution spec.
        message: what is wrong, as a sentence for the caller.
        detail: the wrong part, by name (`field`, `value`, …).
    """

    reason: ClassVar[str]

    def __init__(self, message: str, **detail: str) -> None:
        super().__init__(message)
        self.message = message
        self.detail: Mapping[str, str] = MappingProxyType(detail)


class DigestInvalidError(OciFormatError):
    """Not a digest, or its algorithm is not supported."""

    reason = "DIGEST_INVALID"


class NameInvalidError(OciFormatError):
    """Not a repository or project name."""

    reason = "NAME_INVALID"


class TagInvalidError(OciFormatError):
    """Not a tag."""

    reason = "TAG_INVALID"


class ManifestInvalidError(OciFormatError):
    """Not a manifest, or of a kind that this registry does not store."""

    reason = "MANIFEST_INVALID"

"""Refusals of what does not follow the OCI formats. `svckit.errors` turns them into domain errors, in one place."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_CHARACTERS = 100


def shown(value: object) -> str:
    """Show what a caller sent, for a message: quoted, in ASCII, and cut after 100 characters.

    Messages end up in headers, logs and terminals, and what is refused here is by nature odd.
    """
    text = ascii(value[: _SHOWN_CHARACTERS + 1]) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...'"


class OciFormatError(ValueError):
    """Something that does not follow the OCI specifications.

    Attributes:
        reason: the error code of the distribution spec.
        message: what is wrong, in a sentence for the caller.
        detail: where it is wrong, by name (`field`, `value`, …).
    """

    reason: ClassVar[str]

    def __init__(self, message: str, **detail: str) -> None:
        super().__init__(message)
        self.message = message
        self.detail: Mapping[str, str] = MappingProxyType(detail)


class DigestInvalidError(OciFormatError):
    """Not a digest, or one of an algorithm that is not served."""

    reason = "DIGEST_INVALID"


class NameInvalidError(OciFormatError):
    """Not a repository or project name."""

    reason = "NAME_INVALID"


class TagInvalidError(OciFormatError):
    """Not a tag."""

    reason = "TAG_INVALID"


class ManifestInvalidError(OciFormatError):
    """Not a manifest that this registry keeps."""

    reason = "MANIFEST_INVALID"

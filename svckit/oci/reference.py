"""Tags, and references: the last part of a /manifests/ path (distribution-spec, section Pulling manifests)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from svckit.oci.digest import Digest
from svckit.oci.errors import TagInvalidError, shown

MAX_TAG_CHARACTERS = 128

_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """The name of a tag.

    Raises:
        TagInvalidError: the name does not match `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    """

    name: str

    def __post_init__(self) -> None:
        if _TAG.fullmatch(self.name) is None:
            raise TagInvalidError(
                f"{shown(self.name)} is not a tag: up to {MAX_TAG_CHARACTERS} letters, digits, '_', '.' and '-', "
                "beginning with a letter, a digit or '_'",
                tag=shown(self.name),
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a tag.

        Raises:
            TagInvalidError: the text is not a tag.
        """
        return cls(text)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Reference:
    """A tag or a digest, exactly one of the two."""

    tag: Tag | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if (self.tag is None) == (self.digest is None):
            raise TypeError("a reference is either a tag or a digest")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a reference. A tag has no colon, so a text with a colon must be a digest.

        Raises:
            DigestInvalidError: the text has a colon and is not a digest, or its algorithm is not supported.
            TagInvalidError: the text has no colon and is not a tag.
        """
        return cls(digest=Digest.parse(text)) if ":" in text else cls(tag=Tag.parse(text))

    def __str__(self) -> str:
        return str(self.digest if self.tag is None else self.tag)

"""Names of projects and repositories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from svckit.oci.errors import NameInvalidError, shown

MAX_NAME_CHARACTERS = 255

# Separators and the characters between them are disjoint. So a name can match in one way only, and the expressions do
# almost no backtracking. The length is checked first anyway.
_PROJECT = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, order=True)
class ProjectName:
    """The name of a project, by Harbor's rule: `^[a-z0-9]+(?:[._-][a-z0-9]+)*$`, 1 to 255 characters.

    Raises:
        NameInvalidError: the value does not follow the rule.
    """

    value: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.value) <= MAX_NAME_CHARACTERS:
            raise NameInvalidError(
                f"a project name has 1 to {MAX_NAME_CHARACTERS} characters, not {len(self.value)}",
                name=shown(self.value),
            )
        if _PROJECT.fullmatch(self.value) is None:
            raise NameInvalidError(
                f"{shown(self.value)} is not a project name: lower-case letters and digits, with single '.', '_' or "
                "'-' between them",
                name=shown(self.value),
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a project name.

        Raises:
            NameInvalidError: the text does not follow the rule.
        """
        return cls(text)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, order=True)
class RepositoryName:
    """The full name of a repository, `<project>/<name>`, by the grammar of the distribution spec.

    The project part follows the spec's grammar, too. This grammar allows a little more than Harbor's rule for projects
    (`a__b`, `a--b`): such a name is well formed, but its project cannot exist.

    Raises:
        NameInvalidError: the value does not follow the grammar, is longer than 255 characters, or has no project.
    """

    value: str

    def __post_init__(self) -> None:
        if len(self.value) > MAX_NAME_CHARACTERS:
            raise NameInvalidError(
                f"a repository name has {MAX_NAME_CHARACTERS} characters at most, not {len(self.value)}",
                name=shown(self.value),
            )
        components = self.value.split("/")
        for component in components:
            if _COMPONENT.fullmatch(component) is None:
                raise NameInvalidError(
                    f"{shown(self.value)} is not a repository name: lower-case letters and digits, with '.', '_', '__' "
                    "or dashes between them, in components separated by '/'",
                    name=shown(self.value),
                )
        if len(components) == 1:
            raise NameInvalidError(
                f"repository {shown(self.value)} has no project: push and pull as <project>/<name>",
                name=shown(self.value),
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the full name of a repository.

        Raises:
            NameInvalidError: the text is not such a name.
        """
        return cls(text)

    @classmethod
    def of(cls, project: str, name: str) -> Self:
        """Join a project's name and a name within the project.

        Raises:
            NameInvalidError: the result is not the name of a repository.
        """
        return cls(f"{project}/{name}")

    @property
    def project(self) -> str:
        """The first component."""
        return self.value.partition("/")[0]

    @property
    def name(self) -> str:
        """The part after the project; it may have slashes."""
        return self.value.partition("/")[2]

    def __str__(self) -> str:
        return self.value

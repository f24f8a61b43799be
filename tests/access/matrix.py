"""The tables of permissions, as written down in matrix.toml and robots.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

Pair = tuple[str, str]
"""A resource and an action."""

ROLES = ("projectAdmin", "maintainer", "developer", "guest", "limitedGuest")
"""The roles that a member can have."""
PUBLIC = "public"
"""What anybody may do in a public project."""


def _read(name: str) -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


_document = _read("matrix.toml")
_robots = _read("robots.toml")
_LETTERS = _document["letters"]

RESOURCES = tuple(name for name in _document if name != "letters")
ACTIONS = tuple(_LETTERS.values())


def _pairs(letters: Mapping[str, str]) -> frozenset[Pair]:
    return frozenset((resource, _LETTERS[letter]) for resource, held in letters.items() for letter in held)


MATRIX: Mapping[str, frozenset[Pair]] = {
    role: _pairs({resource: _document[resource][role] for resource in RESOURCES}) for role in (*ROLES, PUBLIC)
}
"""By role, the pairs of resource and action that it allows."""

ROBOT_IN_PROJECT = _pairs(_robots["project"])
"""What a robot may be given in a project, or in every project."""
ROBOT_ON_SYSTEM = _pairs(_robots["system"])
"""What a robot may be given on the system level."""

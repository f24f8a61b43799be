"""The access matrix, as written down in matrix.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

ROLES = ("projectAdmin", "maintainer", "developer", "guest", "limitedGuest")
"""The roles that a member can have."""
PUBLIC = "public"
"""What anybody may do in a public project."""

_document: Mapping[str, Mapping[str, str]] = tomllib.loads(
    (Path(__file__).parent / "matrix.toml").read_text(encoding="utf-8")
)
_LETTERS = _document["letters"]

RESOURCES = tuple(name for name in _document if name != "letters")
ACTIONS = tuple(_LETTERS.values())

MATRIX: Mapping[str, frozenset[tuple[str, str]]] = {
    role: frozenset((resource, _LETTERS[letter]) for resource in RESOURCES for letter in _document[resource][role])
    for role in (*ROLES, PUBLIC)
}
"""By role, the pairs of resource and action that it allows."""

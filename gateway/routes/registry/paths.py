"""The paths of /v2. They are parsed from the right, because the name of a repository contains slashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from gateway.wire.request import decode_path
from svckit.convert import to_repository_name
from svckit.errors import error_for

PREFIX = "/v2"

READS = ("GET", "HEAD")
METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "v2.base": READS,
        "v2.catalog": READS,
        "v2.manifest": (*READS, "PUT", "DELETE"),
        "v2.blob": (*READS, "DELETE"),
        "v2.uploads": ("POST",),
        "v2.upload": (*READS, "PATCH", "PUT", "DELETE"),
        "v2.tags": READS,
        "v2.referrers": READS,
    }
)
"""The routes, and the methods of each."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a path under /v2.

    Attributes:
        route: a key of `METHODS`.
        repository: the full name of the repository; empty if the path has none.
        item: the reference, digest or upload id; empty if the path has none.
    """

    route: str
    repository: str = ""
    item: str = ""


# Longer paths are parsed each time, so that a cache of them takes little memory.
_LONGEST_REMEMBERED = 512


def parse_target(raw_path: str) -> Target:
    """Reads a path.

    Args:
        raw_path: percent-encoded, beginning with /v2.

    Raises:
        DomainError: NAME_INVALID for a malformed repository name, NOT_FOUND for an unknown path, BAD_REQUEST for a path
            that cannot be decoded.
    """
    return _remembered(raw_path) if len(raw_path) <= _LONGEST_REMEMBERED else _parse(raw_path)


def _parse(raw_path: str) -> Target:
    path = decode_path(raw_path).removeprefix(PREFIX)
    if path in {"", "/"}:
        return Target("v2.base")
    # Not by another spelling: a proxy may block the catalog by its path.
    if raw_path in {f"{PREFIX}/_catalog", f"{PREFIX}/_catalog/"}:
        return Target("v2.catalog")
    parts = path[1:].split("/")
    match parts:
        case [*name, "blobs", "uploads"] | [*name, "blobs", "uploads", ""] if name:
            return Target("v2.uploads", _repository(name))
        case [*name, "blobs", "uploads", item] if name:
            return Target("v2.upload", _repository(name), item)
        case [*name, "manifests", item] if name and item:
            return Target("v2.manifest", _repository(name), item)
        case [*name, "blobs", item] if name and item:
            return Target("v2.blob", _repository(name), item)
        case [*name, "tags", "list"] if name:
            return Target("v2.tags", _repository(name))
        case [*name, "referrers", item] if name and item:
            return Target("v2.referrers", _repository(name), item)
    raise error_for("NOT_FOUND", "there is no such path")


# Many requests name the same paths, and parsing was 3 % of the gateway's time for a manifest.
_remembered = lru_cache(maxsize=2048)(_parse)


def _repository(parts: list[str]) -> str:
    return to_repository_name("/".join(parts)).value

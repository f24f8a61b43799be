"""Conditional requests (RFC 9110 §13): entity tags are digests in quotes."""

from __future__ import annotations

import re

from gateway.wire.headers import Headers
from svckit.errors import DomainError, error_for

ANY = "*"
# A digest without quotes is accepted, because some clients send it.
_TAG = r'(?:(W/)?"([\x21\x23-\x7e]*)"|([A-Za-z0-9+._-]+:[0-9A-Fa-f]+))'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_EACH_TAG = re.compile(_TAG)


def entity_tag(digest: str) -> str:
    """The value of `ETag`."""
    return f'"{digest}"'


def parse_if_match(headers: Headers) -> tuple[str, ...]:
    """Reads If-Match. It compares strongly, so a weak tag is returned as it is, and equals no digest (§13.1.1).

    Returns:
        The digests; `*` alone for any; empty without the header.

    Raises:
        DomainError: BAD_REQUEST for a malformed header. If it were ignored, a write would lose its condition unnoticed.
    """
    return tuple(tag if is_strong else f"W/{tag}" for tag, is_strong in _tags(headers, "If-Match"))


def parse_if_none_match(headers: Headers) -> tuple[str, ...]:
    """Reads If-None-Match, as `parse_if_match` does. It compares weakly, so a weak tag counts (§13.1.2)."""
    return tuple(tag for tag, _ in _tags(headers, "If-None-Match"))


def parse_conditions(headers: Headers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Reads both conditions of a write: If-Match, and If-None-Match."""
    return parse_if_match(headers), parse_if_none_match(headers)


def require_conditions(headers: Headers, digest: str) -> None:
    """Checks both conditions of a write to something that can have this digest only.

    Raises:
        DomainError: PRECONDITION; BAD_REQUEST.
    """
    wanted, unwanted = parse_conditions(headers)
    _require_match(wanted, digest)
    if ANY in unwanted or digest in unwanted:
        raise _unmet("If-None-Match", digest)


def _require_match(wanted: tuple[str, ...], digest: str) -> None:
    if wanted and ANY not in wanted and digest not in wanted:
        raise _unmet("If-Match", digest)


def _unmet(name: str, digest: str) -> DomainError:
    return error_for("PRECONDITION", f"{name} does not hold: the digest is {digest}", metadata={"current": digest})


def is_not_modified(headers: Headers, digest: str) -> bool:
    """Checks both conditions of a read of something that has this digest.

    Returns:
        Whether If-None-Match names the digest, so that 304 is the answer.

    Raises:
        DomainError: PRECONDITION, If-Match does not hold; BAD_REQUEST.
    """
    if "If-Match" not in headers and "If-None-Match" not in headers:
        return False
    wanted, held = parse_conditions(headers)
    _require_match(wanted, digest)
    return digest in held or ANY in held


def _tags(headers: Headers, name: str) -> list[tuple[str, bool]]:
    """The tags of a header, without quotes, each with whether it is a strong one."""
    values = headers.getlist(name)
    if not values:
        return []
    text = ",".join(values)
    if text.strip() == ANY:
        return [(ANY, True)]
    if _TAGS.fullmatch(text) is None:
        raise error_for("BAD_REQUEST", f'{name} must be "*" or a list of digests in quotes')
    return [(match[2] or match[3] or "", match[1] is None) for match in _EACH_TAG.finditer(text)]

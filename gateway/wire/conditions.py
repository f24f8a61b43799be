"""Conditional requests (RFC 9110 §13): entity tags are digests in quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from svckit.errors import DomainError, error_for

ANY = "*"
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_TAGS = re.compile(rf"\s*{_TAG.pattern}\s*(?:,\s*{_TAG.pattern}\s*)*")


def entity_tag(digest: str) -> str:
    """The value of `ETag`."""
    return f'"{digest}"'


def parse_entity_tags(headers: Sequence[str], *, strong: bool = False) -> tuple[str, ...]:
    """Reads If-Match or If-None-Match.

    Args:
        headers: the header's values, one for each time it was sent.
        strong: for If-Match, which compares strongly: a weak tag matches nothing (RFC 9110 §13.1.1).

    Returns:
        The texts between the quotes; `*` alone for any; empty without the header. With `strong`, a weak tag is
        returned as it is, and so equals no digest.

    Raises:
        DomainError: BAD_REQUEST for any other form. If it were ignored, a write would silently lose its condition.
    """
    if not headers:
        return ()
    text = ",".join(headers)
    if text.strip() == ANY:
        return (ANY,)
    if _TAGS.fullmatch(text) is None:
        raise error_for("BAD_REQUEST", 'an entity tag has the form "<digest>", quotes included')
    return tuple(match[0] if strong and match[1] else match[2] for match in _TAG.finditer(text))


def client_has(headers: Sequence[str], digest: str) -> bool:
    """Whether the If-None-Match of a read names this digest, so that 304 is the answer.

    A malformed header is not refused, because a full answer to a read does no harm. Digests without quotes are
    accepted, because some clients send them.
    """
    try:
        tags = parse_entity_tags(headers)
    except DomainError:
        return any(header.strip() == digest for header in headers)
    return digest in tags or ANY in tags


def require_match(headers: Sequence[str], digest: str) -> None:
    """Checks the If-Match of a request for something that exists and has this digest.

    Digests without quotes are accepted, as in `client_has`.

    Raises:
        DomainError: PRECONDITION; the header names other digests only, or is malformed.
    """
    if not headers:
        return
    try:
        tags = parse_entity_tags(headers, strong=True)
    except DomainError:
        tags = tuple(header.strip() for header in headers)
    if ANY not in tags and digest not in tags:
        raise error_for("PRECONDITION", f"If-Match does not hold: the digest is {digest}", metadata={"current": digest})

"""Conditional requests (RFC 9110 §13): entity tags are digests in quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from svckit.errors import DomainError, error_for

ANY = "*"
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_TAGS = re.compile(rf"\s*{_TAG.pattern}\s*(?:,\s*{_TAG.pattern}\s*)*")


def entity_tag(digest: str) -> str:
    """The value of `ETag`."""
    return f'"{digest}"'


def parse_entity_tags(headers: Sequence[str]) -> tuple[str, ...]:
    """Reads If-Match or If-None-Match.

    Args:
        headers: the header's values, one for each time it was sent.

    Returns:
        The texts between the quotes; `*` alone for any; empty without the header.

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
    return tuple(match[1] for match in _TAG.finditer(text))


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

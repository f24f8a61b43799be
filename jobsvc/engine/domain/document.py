"""JSON objects in rows: parameters and attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from svckit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

MAXIMUM_BYTES = 65_536
"""The most bytes of the JSON of one object."""


def check_document(document: Mapping[str, object], field: str) -> Mapping[str, object]:
    """Checks an object that somebody has sent.

    Raises:
        DomainError: BAD_REQUEST for the field: it is too large, or contains U+0000, which PostgreSQL refuses, or a
            number that JSON does not have.
    """
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise Invalid.of_field(field, "must not contain infinite numbers") from None
    if len(text.encode("utf-8", "surrogatepass")) > MAXIMUM_BYTES:
        raise Invalid.of_field(field, f"must have at most {MAXIMUM_BYTES} bytes as JSON")
    if "\\u0000" in text:
        raise Invalid.of_field(field, "must not contain U+0000")
    return document


def merged(held: Mapping[str, object], new: Mapping[str, object]) -> Mapping[str, object]:
    """Attributes with others set or replaced."""
    return {**held, **new} if new else held

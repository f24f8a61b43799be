"""Reads the fields of a query or a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from svckit.errors import error_for

Fields = Mapping[str, Sequence[str]]
"""The values of each field, in order."""


def read_pairs(
    raw: bytes, *, encoding: str = "ascii", what: str = "query", most: int | None = None
) -> list[tuple[str, str]]:
    """Reads a query or a form as pairs of name and value.

    Args:
        raw: the percent-encoded bytes.
        encoding: the encoding of characters that are not percent-encoded.
        what: "query" or "form", for the message.
        most: the largest number of fields; None for no limit.

    Raises:
        DomainError: BAD_REQUEST if it cannot be read.
    """
    try:
        return parse_qsl(raw.decode(encoding), keep_blank_values=True, errors="strict", max_num_fields=most)
    except ValueError:
        raise error_for("BAD_REQUEST", f"the {what} cannot be read") from None


def read_fields(raw: bytes, *, encoding: str = "ascii", what: str = "query") -> Fields:
    """Reads a query or a form as the values of each field. Raises as `read_pairs`."""
    fields: dict[str, list[str]] = {}
    for name, value in read_pairs(raw, encoding=encoding, what=what):
        fields.setdefault(name, []).append(value)
    return fields

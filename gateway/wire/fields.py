"""The fields of a query or a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from svckit.errors import error_for

Fields = Mapping[str, Sequence[str]]
"""All values of each field, in their order."""


def read_pairs(
    raw: bytes, *, encoding: str = "ascii", what: str = "query", most: int | None = None
) -> list[tuple[str, str]]:
    """Reads a query or a form field by field.

    Args:
        raw: percent-encoded, as it came.
        encoding: of what is not percent-encoded.
        what: it is, for the message.
        most: fields at most; None for any number.

    Raises:
        DomainError: BAD_REQUEST where it cannot be read.
    """
    try:
        return parse_qsl(raw.decode(encoding), keep_blank_values=True, errors="strict", max_num_fields=most)
    except ValueError:
        raise error_for("BAD_REQUEST", f"the {what} cannot be read") from None


def read_fields(raw: bytes, *, encoding: str = "ascii", what: str = "query") -> Fields:
    """The same, by the names of the fields. Raises as `read_pairs`."""
    fields: dict[str, list[str]] = {}
    for name, value in read_pairs(raw, encoding=encoding, what=what):
        fields.setdefault(name, []).append(value)
    return fields

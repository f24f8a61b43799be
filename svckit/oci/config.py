"""Configs: the JSON object that says what an artifact is, read for what people are shown of it.

It is a blob of a stranger's that nothing depends on: what is odd in it is left out, and never an error.
"""

from __future__ import annotations

import json
import math
import re

MAX_CONFIG_BYTES = 4 * 1024 * 1024
"""Larger ones are not looked into."""

# In memory, a document of brackets alone is fifty times its size. Even the configs that carry whole bills of materials
# in their labels hold fewer values than this.
_MAX_VALUES = 200_000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_DEPTH = 32
_MAX_INT_CHARACTERS = 20


def parse_config(content: bytes) -> dict[str, object] | None:
    """Read a config, whatever its media type.

    Args:
        content: its bytes.

    Returns:
        All of it that can be written as JSON and stored as text; None where it is no JSON object, or larger than
        anybody looks. Raises nothing.
    """
    if len(content) > MAX_CONFIG_BYTES or sum(map(content.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        return None
    try:
        document = json.loads(
            content.decode("utf-8"), parse_int=_integer, parse_float=_number, parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        return None
    return _clean_object(document, 0) if isinstance(document, dict) else None


def _clean_object(members: dict[str, object], depth: int) -> dict[str, object]:
    return {_storable(key): _clean(value, depth + 1) for key, value in members.items()}


def _clean(value: object, depth: int) -> object:
    """Make strings storable, all the way down; what lies deeper than anybody looks is left out."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, dict):
        return {} if depth > _MAX_DEPTH else _clean_object(value, depth)
    if isinstance(value, list):
        return [] if depth > _MAX_DEPTH else [_clean(item, depth + 1) for item in value]
    return value


def _storable(text: str) -> str:
    """Put U+FFFD where a lone surrogate (which has no UTF-8) or U+0000 (which PostgreSQL does not store) stands."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_INT_CHARACTERS else None


def _number(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None

"""Configs: the JSON object that describes an artifact. It is read only to show it to people.

A config is a blob that anybody may have written, and no function of the registry depends on it. So wrong values are
left out and are never an error.
"""

from __future__ import annotations

import json
import math
import re

from svckit.bounded_json import DEFAULT_BOUNDS, count_values

MAX_CONFIG_BYTES = 4 * 1024 * 1024
"""Larger configs are not read."""

_MAX_VALUES = DEFAULT_BOUNDS.values
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_DEPTH = 32
_MAX_INT_CHARACTERS = 20


def parse_config(content: bytes) -> dict[str, object] | None:
    """Read a config, whatever its media type.

    Args:
        content: its bytes.

    Returns:
        The parts that can be written as JSON and stored as text; None if the content is not a JSON object or is too
        large. Never raises.
    """
    if len(content) > MAX_CONFIG_BYTES or count_values(content, _MAX_VALUES) > _MAX_VALUES:
        return None
    # Not jiter: it would refuse the whole config because of one wrong value.
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
    """Make all strings storable. Values that are nested too deeply are left out."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, dict):
        return {} if depth > _MAX_DEPTH else _clean_object(value, depth)
    if isinstance(value, list):
        return [] if depth > _MAX_DEPTH else [_clean(item, depth + 1) for item in value]
    return value


def _storable(text: str) -> str:
    """Replace lone surrogates (not possible in UTF-8) and U+0000 (not possible in PostgreSQL) by U+FFFD."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_INT_CHARACTERS else None


def _number(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None

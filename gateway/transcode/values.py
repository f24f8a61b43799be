"""Writes the well-known types of protobuf as JSON, and reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAXIMUM_EXACT_FLOAT = 2.0**53
_MAXIMUM_DEPTH = 32
"""How deep free-form JSON may nest. Each level is two messages, and protobuf's own parsers stop at 100 messages."""
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)


class InvalidValueError(Exception):
    """A JSON value or a text is wrong for its field. The message completes the text "must be …"."""


@lru_cache(maxsize=8192)
def _second(seconds: int) -> str:
    # Cached, because formatting times is the most expensive part of a page, and its rows are often of the same second.
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")[:19]


def write_timestamp(value: Any) -> str:
    """RFC 3339 in UTC with milliseconds, as Harbor's go-openapi writes it: `2026-01-01T00:00:00.000Z`."""
    return f"{_second(value.seconds)}.{value.nanos // 1_000_000:03d}Z"


def read_timestamp(value: object, into: Any) -> None:
    """Reads a time in RFC 3339, in any time zone.

    Raises:
        InvalidValueError: the value is not such a time.
    """
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{'+00:00' if match[4] in 'Zz' else match[4]}")
        into.seconds = (moment - _EPOCH) // timedelta(seconds=1)
        into.nanos = int((match[3] or "").ljust(9, "0"))
    except (ValueError, OverflowError):
        raise InvalidValueError("a time such as 2026-01-01T00:00:00Z") from None


def write_duration(value: Any) -> str:
    """Seconds with an `s`, as proto3's JSON form has it."""
    total = value.seconds * 1_000_000_000 + value.nanos
    seconds, nanos = divmod(abs(total), 1_000_000_000)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{'-' if total < 0 else ''}{seconds}{fraction}s"


def read_duration(value: object, into: Any) -> None:
    """Reads seconds with an `s`.

    Raises:
        InvalidValueError: the value is not such a text.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 315_576_000_000:
        raise InvalidValueError('seconds such as "1.5s"')
    sign = -1 if match[1] else 1
    into.seconds = sign * int(match[2])
    into.nanos = sign * int((match[3] or "").ljust(9, "0"))


def write_number(value: float) -> int | float | None:
    """A number for JSON. A whole number has no fraction, as in Go; NaN and infinity become null."""
    if value.is_integer() and abs(value) <= _MAXIMUM_EXACT_FLOAT:
        return int(value)
    return value if math.isfinite(value) else None


def write_value(value: Any) -> object:
    """The content of a google.protobuf.Value."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "struct_value":
        return write_struct(value.struct_value)
    if kind == "list_value":
        return write_list(value.list_value)
    if kind == "number_value":
        return write_number(value.number_value)
    return value.bool_value if kind == "bool_value" else None


def write_struct(value: Any) -> dict[str, object]:
    """A google.protobuf.Struct as an object. Its keys are sorted, as Go does, because protobuf keeps no order."""
    fields = value.fields
    return {key: write_value(fields[key]) for key in sorted(fields)}


def write_list(value: Any) -> list[object]:
    """A google.protobuf.ListValue as an array."""
    return [write_value(item) for item in value.values]


def read_value(value: object, into: Any, depth: int = 0) -> None:
    """Reads any JSON value.

    Raises:
        InvalidValueError: the value nests too deep, or contains a number that is not finite.
    """
    if depth > _MAXIMUM_DEPTH:
        raise InvalidValueError(f"nested at most {_MAXIMUM_DEPTH} levels deep")
    match value:
        case None:
            into.null_value = 0
        case bool():
            into.bool_value = value
        case int() | float():
            into.number_value = _finite(value)
        case str():
            into.string_value = value
        case dict():
            into.struct_value.SetInParent()
            read_struct(value, into.struct_value, depth + 1)
        case _:
            into.list_value.SetInParent()
            read_list(value, into.list_value, depth + 1)


def read_struct(value: object, into: Any, depth: int = 0) -> None:
    """Reads an object.

    Raises:
        InvalidValueError: the value is not an object, or as in `read_value`.
    """
    if not isinstance(value, dict):
        raise InvalidValueError("an object")
    for key, item in value.items():
        read_value(item, into.fields[key], depth)


def read_list(value: object, into: Any, depth: int = 0) -> None:
    """Reads an array.

    Raises:
        InvalidValueError: the value is not an array, or as in `read_value`.
    """
    if not isinstance(value, list):
        raise InvalidValueError("an array")
    for item in value:
        read_value(item, into.values.add(), depth)


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidValueError("a finite number")
    return number


WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": write_timestamp,
    "google.protobuf.Duration": write_duration,
    "google.protobuf.Struct": write_struct,
    "google.protobuf.Value": write_value,
    "google.protobuf.ListValue": write_list,
}
"""The writers of well-known types, by full name. A REST contract cannot use the other types of google.protobuf."""
READERS: Mapping[str, Callable[[object, Any], None]] = {
    "google.protobuf.Timestamp": read_timestamp,
    "google.protobuf.Duration": read_duration,
    "google.protobuf.Struct": read_struct,
    "google.protobuf.Value": read_value,
    "google.protobuf.ListValue": read_list,
}
"""The readers of well-known types, by full name."""
TEXT_READERS = {name: READERS[name] for name in ("google.protobuf.Timestamp", "google.protobuf.Duration")}
"""The readers of the types whose value is one text."""


def unsupported_reason(full_name: str) -> str | None:
    """The reason why a message type cannot be part of a REST contract; None if it can."""
    if full_name.startswith("google.protobuf.") and full_name not in WRITERS and full_name != "google.protobuf.Empty":
        return f"{full_name} has no JSON form here"
    return None

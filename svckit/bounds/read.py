"""Reads the bounds from the descriptors of a contract, as plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from roadstead.options.v1 import bounds_pb2
from svckit.descriptors import INTEGERS, is_map, map_entry
from svckit.errors import REASONS

if TYPE_CHECKING:
    from google.protobuf.descriptor import OneofDescriptor

# These are not possible in RE2, or differ in JavaScript: look-around, named and special groups, back references.
# Anchors are not allowed, because a pattern always matches the whole text.
_NOT_PORTABLE = re.compile(r"\(\?(?!:)|\\[1-9AZzbBkpPGQE]|[*+?}]\+|(?<![\\\[])\^|(?<!\\)\$")


class BoundsError(ValueError):
    """The bounds of a field are wrong; the text names the field."""


@dataclass(frozen=True, slots=True)
class FieldBounds:
    """The bounds of one field, or of the items, keys or values in it. None or "" means that there is no such bound.

    Attributes:
        min_length: the fewest characters, or bytes of a bytes field; `max_length` is the most.
        min_items: the fewest items or entries; `max_items` is the most.
        minimum: the smallest number; `maximum` is the largest.
        pattern: the regular expression that the whole text must match.
        pattern_text: the pattern in words.
        one_of: the allowed texts.
        required: whether the field must be set.
        items: the bounds of each item of a repeated field.
        keys: the bounds of each key of a map.
        values: the bounds of each value of a map.
        reason: the reason of the error.
    """

    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    pattern_text: str = ""
    one_of: tuple[str, ...] = ()
    required: bool = False
    items: FieldBounds | None = None
    keys: FieldBounds | None = None
    values: FieldBounds | None = None
    reason: str = "BAD_REQUEST"


_NUMBERS = ("min_length", "max_length", "min_items", "max_items", "minimum", "maximum")
_OF_TEXT = frozenset({"min_length", "max_length", "pattern", "pattern_text", "one_of"})
_OF_BYTES = frozenset({"min_length", "max_length"})
_OF_INTEGERS = frozenset({"minimum", "maximum"})
_OF_LISTS = frozenset({"min_items", "max_items", "items"})
_OF_MAPS = frozenset({"min_items", "max_items", "keys", "values"})


def read_bounds(field: FieldDescriptor) -> FieldBounds | None:
    """The bounds that the contract declares for a field; None for none.

    Raises:
        BoundsError: the bounds are wrong.
    """
    options = field.GetOptions()
    if not options.HasExtension(bounds_pb2.bounds):
        return None
    declared = options.Extensions[bounds_pb2.bounds]
    try:
        return _read(declared, field, is_part=False)
    except BoundsError as error:
        raise BoundsError(f"{field.full_name}: {error}") from None


def is_required(oneof: OneofDescriptor) -> bool:
    """Whether one field of the oneof must be set."""
    return bool(oneof.GetOptions().Extensions[bounds_pb2.required])


def _read(declared: bounds_pb2.Bounds, field: FieldDescriptor, *, is_part: bool) -> FieldBounds:
    """Bounds of a field, or of one of the items in it."""
    allowed = {"reason", *_allowed(field, is_part=is_part)}
    said = {each.name: value for each, value in declared.ListFields()}
    if stray := sorted(said.keys() - allowed):
        raise BoundsError(f"{', '.join(stray)} cannot be used with a field of this type")
    if not said.keys() - {"reason", "pattern_text"}:
        raise BoundsError("the bounds are empty")
    numbers = {name: value for name, value in said.items() if name in _NUMBERS}
    for low, high in zip(_NUMBERS[::2], _NUMBERS[1::2], strict=True):
        if low in numbers and high in numbers and numbers[low] > numbers[high]:
            raise BoundsError(f"{low} is more than {high}")
    if declared.reason and declared.reason not in REASONS:
        raise BoundsError(f"{declared.reason} is not a reason of the table")
    _check_pattern(declared.pattern)
    key, value = map_entry(field) if is_map(field) else (field, field)
    return FieldBounds(
        **numbers,
        pattern=declared.pattern,
        pattern_text=declared.pattern_text,
        one_of=tuple(declared.one_of),
        required=declared.required,
        items=_read(declared.items, field, is_part=True) if declared.HasField("items") else None,
        keys=_read(declared.keys, key, is_part=True) if declared.HasField("keys") else None,
        values=_read(declared.values, value, is_part=True) if declared.HasField("values") else None,
        reason=declared.reason or "BAD_REQUEST",
    )


def _check_pattern(pattern: str) -> None:
    if _NOT_PORTABLE.search(pattern):
        raise BoundsError(f"the pattern {pattern} is invalid or has another meaning in RE2 or JavaScript")
    try:
        re.compile(pattern)
    except re.error as error:
        raise BoundsError(f"{pattern} is not a regular expression: {error}") from None


def _allowed(field: FieldDescriptor, *, is_part: bool) -> frozenset[str]:
    if field.is_repeated and not is_part:
        return _OF_MAPS if is_map(field) else _OF_LISTS
    required = {"required"} if field.has_presence and not is_part else set()
    if field.type == FieldDescriptor.TYPE_STRING:
        return _OF_TEXT | required
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _OF_BYTES | required
    return _OF_INTEGERS | required if field.type in INTEGERS else frozenset(required)

"""Checks each request against the bounds in its contract.

Everything that depends only on the type of a request is compiled once. For each request, a list of small functions
runs: one for each field with bounds, and none for a type without bounds.

**The size of a request limits its content.** A text of 100 characters takes at least 100 bytes, and so do 100 items. So
a limit above the size of the whole request cannot be broken, and the field need not be read; a `bytes` field is then
not copied. For an upload's data and most names, this costs one comparison.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from svckit.bounds.read import FieldBounds, is_required, read_bounds
from svckit.bounds.words import REQUIRED, choice_words, length_words, range_words
from svckit.descriptors import is_map, map_entry
from svckit.errors import FieldViolation, error_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    # Takes a message, the size of the whole request, and the list of findings, whose paths begin at this message.
    Check = Callable[[Any, int, list["_Finding"]], None]
    # Takes a single text, number or byte string; returns what is wrong with it.
    CheckValue = Callable[[Any], str | None]

MAXIMUM_FINDINGS = 16
"""The most findings that are reported for one request."""

_OWN_PACKAGES = "roadstead."
_SHOWN_CHARACTERS = 40


class _Finding:
    """A wrong field: its path, what is wrong in words, and the reason of the error."""

    __slots__ = ("path", "reason", "text")

    def __init__(self, path: str, text: str, reason: str) -> None:
        self.path = path
        self.text = text
        self.reason = reason


class RequestCheck:
    """Checks messages of one type against the bounds in their contract."""

    __slots__ = ("_checks", "_is_complete")

    def __init__(self) -> None:
        """Starts without checks."""
        self._checks: list[Check] = []
        self._is_complete = False

    @property
    def is_empty(self) -> bool:
        """Whether the type has no bounds. False while the type is compiled, for types that contain themselves."""
        return self._is_complete and not self._checks

    def __call__(self, request: Message, size: int) -> None:
        """Checks a request.

        Args:
            request: a message of the type.
            size: the serialized size of the request, in bytes.

        Raises:
            DomainError: with all wrong fields, 16 at most; its reason is that of the first.
        """
        found: list[_Finding] = []
        self.look(request, size, found)
        if found:
            raise error_for(
                found[0].reason,
                "invalid request",
                violations=[FieldViolation(each.path, each.text) for each in found[:MAXIMUM_FINDINGS]],
            )

    def look(self, message: Any, size: int, found: list[_Finding]) -> None:
        """Adds what is wrong with a message."""
        for check in self._checks:
            check(message, size, found)

    def complete(self, checks: Iterable[Check]) -> None:
        """Sets the checks."""
        self._checks.extend(checks)
        self._is_complete = True


def request_check(request: Descriptor, *, unopened: Descriptor | None = None) -> RequestCheck | None:
    """The check of a request's type; None if the type has no bounds.

    Args:
        request: the type.
        unopened: the type of the members of a batch. Their number is checked here, but not what is in them.

    Raises:
        BoundsError: the bounds of a field are wrong.
    """
    known: dict[str, RequestCheck] = {}
    if unopened is not None:
        known[unopened.full_name] = _NOTHING
    check = _compile(request, known)
    return None if check.is_empty else check


_NOTHING = RequestCheck()
_NOTHING.complete(())


def _compile(descriptor: Descriptor, known: dict[str, RequestCheck]) -> RequestCheck:
    name: str = descriptor.full_name
    if name not in known:
        known[name] = RequestCheck()
        known[name].complete(_message_checks(descriptor, known))
    return known[name]


def _message_checks(descriptor: Descriptor, known: dict[str, RequestCheck]) -> Iterator[Check]:
    for oneof in descriptor.oneofs:
        if is_required(oneof):
            yield _oneof_check(oneof.name, [field.name for field in oneof.fields])
    for field in descriptor.fields:
        yield from _field_checks(field, known)


def _field_checks(field: FieldDescriptor, known: dict[str, RequestCheck]) -> Iterator[Check]:
    bounds = read_bounds(field)
    if field.is_repeated:
        if bounds is not None:
            yield from _repeated_checks(field, bounds)
    elif bounds is not None:
        if bounds.required:
            yield _presence_check(field.name, bounds.reason)
        for floor, check_value in _value_checks(field, bounds):
            yield _single_check(field, floor, check_value, bounds.reason)
    nested = map_entry(field)[1].message_type if is_map(field) else field.message_type
    if nested is not None and nested.full_name.startswith(_OWN_PACKAGES):
        inner = _compile(nested, known)
        if not inner.is_empty:
            make = _each_value_check if is_map(field) else _each_item_check if field.is_repeated else _message_check
            yield make(field.name, inner)


def _value_checks(field: FieldDescriptor, bounds: FieldBounds) -> Iterator[tuple[int, CheckValue]]:
    """The checks of one value. Each comes with the request size up to which it cannot fail; -1 if it always can."""
    low, high = bounds.min_length, bounds.max_length
    if low is not None or high is not None:
        unit = ("byte", "bytes") if field.type == FieldDescriptor.TYPE_BYTES else ("character", "characters")
        yield _floor(low, high), _length_check(low or 0, high, length_words(low, high, *unit))
    if bounds.minimum is not None or bounds.maximum is not None:
        yield -1, _range_check(bounds.minimum, bounds.maximum)
    if bounds.one_of:
        yield -1, _choice_check(bounds.one_of)
    if bounds.pattern:
        yield -1, _pattern_check(bounds)


def _floor(low: int | None, high: int | None) -> int:
    """The request size up to which these limits cannot be broken; -1 if they always can."""
    return -1 if low or high is None else high


def _length_check(low: int, high: int | None, words: str) -> CheckValue:
    longest = float("inf") if high is None else high

    def check(value: str | bytes) -> str | None:
        return None if low <= len(value) <= longest else words

    return check


def _range_check(low: int | None, high: int | None) -> CheckValue:
    words = range_words(low, high)
    least, most = float("-inf") if low is None else low, float("inf") if high is None else high

    def check(value: int) -> str | None:
        return None if least <= value <= most else words

    return check


def _choice_check(texts: tuple[str, ...]) -> CheckValue:
    allowed, words = frozenset(texts), choice_words(texts)

    def check(value: str) -> str | None:
        return None if value in allowed else words

    return check


def _pattern_check(bounds: FieldBounds) -> CheckValue:
    # With re.ASCII, \d and \w have the same meaning as in RE2.
    matches = re.compile(bounds.pattern, re.ASCII).fullmatch
    words = bounds.pattern_text or f"must match {bounds.pattern}"

    def check(value: str) -> str | None:
        return None if matches(value) else words

    return check


def _single_check(field: FieldDescriptor, floor: int, check_value: CheckValue, reason: str) -> Check:
    name = field.name
    if field.has_presence:

        def check_if_set(message: Any, size: int, found: list[_Finding]) -> None:
            if size > floor and message.HasField(name) and (text := check_value(getattr(message, name))) is not None:
                found.append(_Finding(name, text, reason))

        return check_if_set

    def check(message: Any, size: int, found: list[_Finding]) -> None:
        if size > floor and (text := check_value(getattr(message, name))) is not None:
            found.append(_Finding(name, text, reason))

    return check


def _presence_check(name: str, reason: str) -> Check:
    def check(message: Any, _size: int, found: list[_Finding]) -> None:
        if not message.HasField(name):
            found.append(_Finding(name, REQUIRED, reason))

    return check


def _oneof_check(name: str, fields: list[str]) -> Check:
    words = f"{REQUIRED}: {' or '.join(fields)}"

    def check(message: Any, _size: int, found: list[_Finding]) -> None:
        if message.WhichOneof(name) is None:
            found.append(_Finding(name, words, "BAD_REQUEST"))

    return check


def _repeated_checks(field: FieldDescriptor, bounds: FieldBounds) -> Iterator[Check]:
    low, high = bounds.min_items, bounds.max_items
    if low is not None or high is not None:
        yield _count_check(field.name, low or 0, high, bounds.reason)
    if bounds.items is not None:
        for floor, check_value in _value_checks(field, bounds.items):
            yield _items_check(field.name, floor, check_value, bounds.items.reason)
    if bounds.keys is not None:
        for floor, check_value in _value_checks(map_entry(field)[0], bounds.keys):
            yield _entries_check(field.name, floor, check_value, bounds.keys.reason, of_keys=True)
    if bounds.values is not None:
        for floor, check_value in _value_checks(map_entry(field)[1], bounds.values):
            yield _entries_check(field.name, floor, check_value, bounds.values.reason, of_keys=False)


def _count_check(name: str, low: int, high: int | None, reason: str) -> Check:
    words = length_words(low, high, "entry", "entries")
    most, floor = float("inf") if high is None else high, _floor(low, high)

    def check(message: Any, size: int, found: list[_Finding]) -> None:
        if size > floor and not low <= len(getattr(message, name)) <= most:
            found.append(_Finding(name, words, reason))

    return check


def _items_check(name: str, floor: int, check_value: CheckValue, reason: str) -> Check:
    def check(message: Any, size: int, found: list[_Finding]) -> None:
        if size <= floor:
            return
        for index, value in enumerate(getattr(message, name)):
            if (text := check_value(value)) is not None:
                found.append(_Finding(f"{name}[{index}]", text, reason))
                if len(found) >= MAXIMUM_FINDINGS:
                    return

    return check


def _entries_check(name: str, floor: int, check_value: CheckValue, reason: str, *, of_keys: bool) -> Check:
    """Of a map's keys, or of its values."""

    def check(message: Any, size: int, found: list[_Finding]) -> None:
        if size <= floor:
            return
        for key, value in getattr(message, name).items():
            if (text := check_value(key if of_keys else value)) is not None:
                found.append(_Finding(_entry(name, key), text, reason))
                if len(found) >= MAXIMUM_FINDINGS:
                    return

    return check


def _message_check(name: str, inner: RequestCheck) -> Check:
    def check(message: Any, size: int, found: list[_Finding]) -> None:
        if message.HasField(name):
            before = len(found)
            inner.look(getattr(message, name), size, found)
            _put_below(found, before, f"{name}.")

    return check


def _each_item_check(name: str, inner: RequestCheck) -> Check:
    def check(message: Any, size: int, found: list[_Finding]) -> None:
        for index, each in enumerate(getattr(message, name)):
            before = len(found)
            inner.look(each, size, found)
            _put_below(found, before, f"{name}[{index}].")
            if len(found) >= MAXIMUM_FINDINGS:
                return

    return check


def _each_value_check(name: str, inner: RequestCheck) -> Check:
    def check(message: Any, size: int, found: list[_Finding]) -> None:
        for key, each in getattr(message, name).items():
            before = len(found)
            inner.look(each, size, found)
            _put_below(found, before, f"{_entry(name, key)}.")
            if len(found) >= MAXIMUM_FINDINGS:
                return

    return check


def _entry(name: str, key: object) -> str:
    """The path of an entry. It shows the beginning of its key only, which may be long."""
    return f"{name}[{str(key)[:_SHOWN_CHARACTERS]!r}]"


def _put_below(found: list[_Finding], first: int, path: str) -> None:
    for finding in found[first:]:
        finding.path = path + finding.path

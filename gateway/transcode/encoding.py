"""Writes messages as JSON. The functions for a message type are made once.

protobuf's own json_format cannot be used: it is slow, writes 64-bit integers as strings, ignores an explicit
`json_name` if it keeps snake_case, and writes 10 in a Struct as 10.0. This module writes JSON as Harbor does: names in
snake_case or by `json_name`, integers as numbers, times in RFC 3339 with milliseconds, enums as lower-case strings. A
field with presence is left out while it is unset. A field with `omit_zero` is left out while it is zero. All other
fields are always written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.transcode.fields import FLOATS, ContractError, enum_names, json_name, listed_field, omits_zero
from gateway.transcode.values import WRITERS, unsupported_reason, write_number
from svckit.descriptors import is_map, map_entry

Write = Callable[[Any], Any]
_Step = Callable[[dict[str, Any], Any], None]

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode


def dump(document: object) -> bytes:
    """The bytes of a JSON document."""
    return _dumps(document).encode()


class MessageEncoder:
    """Writes messages of one type.

    For speed, one attrgetter reads all fields and one zip adds their names; both run in C. Only fields that need more
    (presence, zeroes, conversion) have a step in Python.
    """

    __slots__ = ("_names", "_steps", "_values")

    def __init__(self) -> None:
        """Starts empty. `Encoders` calls `fill` afterwards, because types may contain each other."""
        self._names: tuple[str, ...] = ()
        self._values: Callable[[Any], tuple[Any, ...]] = _nothing
        self._steps: tuple[_Step, ...] = ()

    def fill(self, descriptor: Descriptor, write: Callable[[FieldDescriptor], Write | None]) -> None:
        """Compiles the encoder for a type. `write` returns the converter of a field, or None if it needs none."""
        fields = list(descriptor.fields)
        names = [json_name(field) for field in fields]
        if len(set(names)) < len(names):
            raise ContractError(f"{descriptor.full_name}: two fields have the same name in JSON")
        self._names = tuple(names)
        if len(fields) == 1:
            only = attrgetter(fields[0].name)
            self._values = lambda message: (only(message),)
        elif fields:
            self._values = attrgetter(*(field.name for field in fields))
        steps = (_step(field, name, write(field)) for field, name in zip(fields, names, strict=True))
        self._steps = tuple(step for step in steps if step is not None)

    def __call__(self, message: Message) -> dict[str, Any]:
        """The message as a JSON object."""
        document = dict(zip(self._names, self._values(message), strict=False))
        for step in self._steps:
            step(document, message)
        return document


class Encoders:
    """Makes encoders, one for each type, and keeps them."""

    def __init__(self) -> None:
        """Starts without encoders."""
        self._known: dict[str, MessageEncoder] = {}

    def of_message(self, descriptor: Descriptor) -> Write:
        """The function that writes messages of a type.

        Raises:
            ContractError: the type, or one that it contains, has no JSON form.
        """
        name: str = descriptor.full_name
        if name in WRITERS:
            return WRITERS[name]
        unsupported = unsupported_reason(name)
        if unsupported is not None:
            raise ContractError(unsupported)
        if name not in self._known:
            encoder = self._known[name] = MessageEncoder()
            encoder.fill(descriptor, self._of_values)
        return self._known[name]

    def of_field(self, field: FieldDescriptor) -> Write:
        """The function that writes a field's value; for a repeated field it takes the whole list."""
        write = self._of_values(field)
        if is_map(field):
            return _map_writer(field, write)
        if field.is_repeated:
            return list if write is None else _list_writer(write)
        return _as_is if write is None else write

    def _of_values(self, field: FieldDescriptor) -> Write | None:
        if is_map(field):
            return self._of_values(map_entry(field)[1])
        listed = listed_field(field)
        if listed is not None:
            write_list, get_list = self.of_field(listed), attrgetter(listed.name)
            return lambda message: write_list(get_list(message))
        if field.message_type is not None:
            return self.of_message(field.message_type)
        if field.enum_type is not None:
            return _enum_writer({number: text for text, number in enum_names(field.enum_type)})
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _write_bytes
        return write_number if field.type in FLOATS else None


def _nothing(_message: Any) -> tuple[Any, ...]:
    return ()


def _as_is(value: Any) -> Any:
    return value


def _flag(key: bool) -> str:
    return "true" if key else "false"


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _enum_writer(names: dict[int, str]) -> Write:
    # A newer service may send values that this program does not know; they are written as numbers.
    return lambda number: names.get(number, str(number))


def _list_writer(write: Write) -> Write:
    return lambda values: [write(value) for value in values]


def _map_writer(field: FieldDescriptor, write: Write | None) -> Write:
    # The keys are sorted, as Go does, because protobuf keeps no order.
    texts: Callable[[Any], str] = _flag if map_entry(field)[0].type == FieldDescriptor.TYPE_BOOL else str
    if write is None:
        return lambda values: {texts(key): values[key] for key in sorted(values)}
    return lambda values: {texts(key): write(values[key]) for key in sorted(values)}


def _step(field: FieldDescriptor, name: str, write: Write | None) -> _Step | None:
    """What to do with one field after all fields were read; None for nothing."""
    if is_map(field) or field.is_repeated:
        writes = _map_writer(field, write) if is_map(field) else (list if write is None else _list_writer(write))
        return _omitting_step(name, writes) if omits_zero(field) else _converting_step(name, writes)
    if field.has_presence:
        return _presence_step(field.name, name, write)
    if omits_zero(field):
        return _omitting_step(name, write)
    return None if write is None else _converting_step(name, write)


def _converting_step(name: str, write: Write) -> _Step:
    def convert(document: dict[str, Any], _message: Any) -> None:
        document[name] = write(document[name])

    return convert


def _omitting_step(name: str, write: Write | None) -> _Step:
    def omit(document: dict[str, Any], _message: Any) -> None:
        value = document[name]
        if not value:
            del document[name]
        elif write is not None:
            document[name] = write(value)

    return omit


def _presence_step(field_name: str, name: str, write: Write | None) -> _Step:
    def leave_out_unset(document: dict[str, Any], message: Any) -> None:
        if not message.HasField(field_name):
            del document[name]
        elif write is not None:
            document[name] = write(document[name])

    return leave_out_unset

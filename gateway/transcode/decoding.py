"""Reads JSON into messages. Types are checked strictly; unknown fields are ignored.

Harbor's clients send back whole objects that they have read, and fields that only Harbor has. Go ignores unknown
fields, so this does too. A string in place of a number is an error, and the answer names the field. `null` means that
the field is not set, as in Go.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.transcode.fields import ContractError, ScalarReaders, json_name, listed_field
from gateway.transcode.values import READERS, InvalidValueError, unsupported_reason
from svckit.bounded_json import JsonError, read_json
from svckit.descriptors import is_map, map_entry
from svckit.errors import DomainError, FieldViolation, error_for

_NOTHING: frozenset[str] = frozenset()

ReadValue = Callable[[Any, str], Any]
"""Takes a JSON value and its path; returns the value for the field."""
ReadInto = Callable[[Any, Any, str], None]
"""Takes the message, a JSON value and its path; sets the field."""


def wrong_field(path: str, must_be: str) -> DomainError:
    """The error for a field with a wrong value. `must_be` completes the text "must be …"."""
    return error_for("BAD_REQUEST", "invalid request", violations=[FieldViolation(path, f"must be {must_be}")])


def load(body: bytes) -> object:
    """Parses a JSON document.

    Raises:
        DomainError: BAD_REQUEST if the body is not valid JSON, or exceeds a bound of `svckit.bounded_json`.
    """
    try:
        return read_json(body)
    except JsonError as error:
        raise error_for("BAD_REQUEST", f"the body {error.message}") from None


class MessageDecoder:
    """Reads objects into messages of one type."""

    __slots__ = ("_aliases", "_fields")

    def __init__(self, descriptor: Descriptor, reader: Callable[[FieldDescriptor], ReadInto]) -> None:
        """Compiles the readers of all fields of a type; `reader` makes the reader of one field."""
        self._fields: Mapping[str, ReadInto] = {json_name(field): reader(field) for field in descriptor.fields}
        # A field may also be given by its name in the contract, unless another field has that JSON name.
        self._aliases = {field.name: json_name(field) for field in descriptor.fields if field.name not in self._fields}

    def __call__(self, document: object, into: Message, path: str = "", skip: Collection[str] = _NOTHING) -> None:
        """Reads a document.

        Args:
            document: the parsed JSON.
            into: an empty message of the type.
            path: the path of the document in the request, for errors.
            skip: JSON names of fields that are filled from the path or from headers. The document cannot set them.

        Raises:
            DomainError: BAD_REQUEST, naming the field.
        """
        if not isinstance(document, dict):
            raise wrong_field(path, "an object") if path else error_for("BAD_REQUEST", "the body must be an object")
        for key, value in document.items():
            name = key
            read = self._fields.get(key)
            if read is None:
                name = self._aliases.get(key, "")
                if not name or name in document:
                    continue
                read = self._fields[name]
            if value is not None and name not in skip:
                read(into, value, f"{path}.{key}" if path else key)


class Decoders:
    """Makes decoders, one for each type, and keeps them."""

    def __init__(self) -> None:
        """Starts without decoders."""
        self._known: dict[str, MessageDecoder | None] = {}

    def of_message(self, descriptor: Descriptor) -> MessageDecoder:
        """The decoder of a message type that is not one of google.protobuf.

        Raises:
            ContractError: the type contains one without a JSON form, or contains itself. A type that contains itself
                would allow requests of unlimited depth.
        """
        name: str = descriptor.full_name
        if name not in self._known:
            self._known[name] = None
            self._known[name] = MessageDecoder(descriptor, self.of_field)
        decoder = self._known[name]
        if decoder is None:
            raise ContractError(f"{name} contains itself, which a request must not")
        return decoder

    def of_field(self, field: FieldDescriptor) -> ReadInto:
        """The reader that sets a field from a JSON value.

        Raises:
            ContractError: the field contains a type without a JSON form.
        """
        name = field.name
        if is_map(field):
            return self._map_reader(field)
        listed = listed_field(field)
        if listed is not None:
            read_list = self.of_field(listed)
            return _message_setter(name, lambda value, into, path: read_list(into, value, path))
        if field.message_type is not None:
            read_message = self._message_reader(field.message_type)
            return _messages_reader(name, read_message) if field.is_repeated else _message_setter(name, read_message)
        read = _SCALARS.of(field)
        return _list_setter(name, read) if field.is_repeated else _setter(name, read)

    def _message_reader(self, descriptor: Descriptor) -> Callable[[Any, Any, str], None]:
        known = READERS.get(descriptor.full_name)
        if known is None:
            unsupported = unsupported_reason(descriptor.full_name)
            if unsupported is not None:
                raise ContractError(unsupported)
            return self.of_message(descriptor)

        def read(value: Any, into: Any, path: str) -> None:
            try:
                known(value, into)
            except InvalidValueError as error:
                raise wrong_field(path, str(error)) from None

        return read

    def _map_reader(self, field: FieldDescriptor) -> ReadInto:
        name = field.name
        key_field, value_field = map_entry(field)
        if key_field.type != FieldDescriptor.TYPE_STRING:
            raise ContractError(f"{field.full_name}: only maps with string keys can be read")
        read_key = _SCALARS.of(key_field)
        if value_field.message_type is not None:
            read_message = self._message_reader(value_field.message_type)

            def read_messages(message: Any, value: Any, path: str) -> None:
                for key, item in _object(value, path).items():
                    if item is not None:
                        read_message(item, getattr(message, name)[read_key(key, path)], f"{path}.{key}")

            return read_messages
        read_value = _SCALARS.of(value_field)

        def read_scalars(message: Any, value: Any, path: str) -> None:
            entries = getattr(message, name)
            for key, item in _object(value, path).items():
                if item is not None:
                    entries[read_key(key, path)] = read_value(item, f"{path}.{key}")

        return read_scalars


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_field(path, "an object")
    return value


def _setter(name: str, read: ReadValue) -> ReadInto:
    return lambda message, value, path: setattr(message, name, read(value, path))


def _message_setter(name: str, read: Callable[[Any, Any, str], None]) -> ReadInto:
    def set_message(message: Any, value: Any, path: str) -> None:
        child = getattr(message, name)
        child.SetInParent()
        read(value, child, path)

    return set_message


def _list_setter(name: str, read: ReadValue) -> ReadInto:
    def set_list(message: Any, value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_field(path, "an array")
        getattr(message, name).extend([read(item, f"{path}[{index}]") for index, item in enumerate(value)])

    return set_list


def _messages_reader(name: str, read: Callable[[Any, Any, str], None]) -> ReadInto:
    def set_messages(message: Any, value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_field(path, "an array")
        items = getattr(message, name)
        for index, item in enumerate(value):
            read(item, items.add(), f"{path}[{index}]")

    return set_messages


def _read_string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_field(path, "a string")
    return value


def _read_bool(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong_field(path, "true or false")
    return value


def _integer_reader(least: int, most: int) -> ReadValue:
    def read(value: Any, path: str) -> int:
        if type(value) is not int:
            raise wrong_field(path, "an integer")
        if not least <= value <= most:
            raise wrong_field(path, f"between {least} and {most}")
        return value

    return read


def _read_float(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_field(path, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    # JSON's grammar allows numbers such as 1e999, which become infinite.
    if not math.isfinite(number):
        raise wrong_field(path, "a finite number")
    return number


def _read_bytes(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(_read_string(value, path), validate=True)
    except (binascii.Error, ValueError):
        raise wrong_field(path, "base64") from None


def _enum_reader(numbers: Mapping[str, int]) -> ReadValue:
    allowed = "one of " + ", ".join(numbers)

    def read(value: Any, path: str) -> int:
        number = numbers.get(value) if isinstance(value, str) else None
        if number is None:
            raise wrong_field(path, allowed)
        return number

    return read


_SCALARS: ScalarReaders[ReadValue] = ScalarReaders(
    enum=_enum_reader, integer=_integer_reader, number=_read_float, flag=_read_bool, data=_read_bytes, text=_read_string
)

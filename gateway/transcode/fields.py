"""The names and types of fields in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from roadstead.access.v1 import rest_pb2

INTEGER_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
"""The smallest and the largest value, by the field's type."""
FLOATS = frozenset({FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT})

R = TypeVar("R")

_WORD_BREAK = re.compile(r"_+([a-zA-Z0-9])|_+$")


class ContractError(ValueError):
    """A contract cannot be served as REST; the text names the RPC or the field. Raised when the gateway starts."""


@dataclass(frozen=True, slots=True)
class ScalarReaders(Generic[R]):
    """The readers for values that are not messages, one for each kind of field.

    Attributes:
        enum: makes the reader of an enum from its numbers by name.
        integer: makes the reader of an integer from the smallest and the largest value.
        number: reads a float. `flag` reads a bool, `data` bytes, and `text` a string.
    """

    enum: Callable[[Mapping[str, int]], R]
    integer: Callable[[int, int], R]
    number: R
    flag: R
    data: R
    text: R

    def of(self, field: FieldDescriptor) -> R:
        """The reader for a field's values."""
        if field.enum_type is not None:
            return self.enum(dict(enum_names(field.enum_type)))
        if field.type in INTEGER_RANGES:
            return self.integer(*INTEGER_RANGES[field.type])
        if field.type in FLOATS:
            return self.number
        match field.type:
            case FieldDescriptor.TYPE_BOOL:
                return self.flag
            case FieldDescriptor.TYPE_BYTES:
                return self.data
        return self.text


def json_name(field: FieldDescriptor) -> str:
    """The field's name in JSON: its explicit `json_name`, else its name in the contract.

    A descriptor has a json_name for every field. It counts as explicit if it differs from the lowerCamelCase name that
    protoc derives.
    """
    derived = _WORD_BREAK.sub(lambda match: (match[1] or "").upper(), field.name)
    return str(field.name if field.json_name == derived else field.json_name)


def omits_zero(field: FieldDescriptor) -> bool:
    """Whether the field is left out of the JSON while its value is zero."""
    return bool(field.GetOptions().Extensions[rest_pb2.json].omit_zero)


def listed_field(field: FieldDescriptor) -> FieldDescriptor | None:
    """The repeated field that a message field is written as (`as_list`); None for any other field.

    Raises:
        ContractError: the message does not have exactly one field, which is repeated.
    """
    if not field.GetOptions().Extensions[rest_pb2.json].as_list:
        return None
    held = [] if field.message_type is None or field.is_repeated else list(field.message_type.fields)
    if len(held) != 1 or not held[0].is_repeated:
        raise ContractError(f"{field.full_name}: as_list is for a message that holds one repeated field")
    return held[0]


def held_type(field: FieldDescriptor) -> str:
    """The full name of the field's message type, for single and repeated fields; empty if it is not a message."""
    return "" if field.message_type is None else str(field.message_type.full_name)


def find_field(descriptor: Descriptor, path: str) -> tuple[FieldDescriptor, ...]:
    """The fields along a dotted path. Each step is a field's name or its JSON name.

    Raises:
        ContractError: there is no such field, or a step before the last is not a single message.
    """
    found: list[FieldDescriptor] = []
    for step in path.split("."):
        here = descriptor
        if found:
            last = found[-1]
            if last.is_repeated or last.message_type is None:
                raise ContractError(f"{descriptor.full_name}: {path}: {last.name} is not a single message")
            here = last.message_type
        field = here.fields_by_name.get(step) or next((f for f in here.fields if json_name(f) == step), None)
        if field is None:
            raise ContractError(f"{here.full_name} has no field {step} ({path})")
        found.append(field)
    return tuple(found)


def enum_names(enum: EnumDescriptor) -> Iterable[tuple[str, int]]:
    """The values of an enum in JSON: lower case, without the prefix that buf's style demands."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    for value in enum.values:
        yield value.name.removeprefix(prefix).lower(), value.number

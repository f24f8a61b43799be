"""Reads field values from text: from the path, the query and headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from gateway.transcode.decoding import wrong_field
from gateway.transcode.fields import ContractError, ScalarReaders, held_type
from gateway.transcode.values import TEXT_READERS, InvalidValueError

SetText = Callable[[Any, str, str], None]
"""Takes the message, the text and the name of the parameter; sets the field."""
_ReadText = Callable[[str, str], Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# The texts that Go's strconv.ParseBool accepts.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def parse_flag(text: str | None) -> bool:
    """Whether a header such as X-Is-Resource-Name is true. Any other text counts as false."""
    return text is not None and _BOOLEANS.get(text.strip(), False)


def text_setter(field: FieldDescriptor) -> SetText:
    """The function that sets a field from a text. A repeated field gets one more value.

    An empty text changes only string fields: `?public=` leaves a boolean unset.

    Raises:
        ContractError: a text cannot express the field's value.
    """
    name = field.name
    if field.message_type is not None:
        return _message_setter(field)
    read = _SCALARS.of(field)
    takes_empty = field.type == FieldDescriptor.TYPE_STRING

    def set_field(message: Any, text: str, parameter: str) -> None:
        if text or takes_empty:
            setattr(message, name, read(text, parameter))

    def append(message: Any, text: str, parameter: str) -> None:
        if text or takes_empty:
            getattr(message, name).append(read(text, parameter))

    return append if field.is_repeated else set_field


def _message_setter(field: FieldDescriptor) -> SetText:
    name = field.name
    known = TEXT_READERS.get(held_type(field))
    if known is None or field.is_repeated:
        raise ContractError(f"{field.full_name}: a text cannot express its value")

    def set_message(message: Any, text: str, parameter: str) -> None:
        if not text:
            return
        try:
            known(text, getattr(message, name))
        except InvalidValueError as error:
            raise wrong_field(parameter, str(error)) from None
        getattr(message, name).SetInParent()

    return set_message


def _integer_reader(least: int, most: int) -> _ReadText:
    def read(text: str, parameter: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise wrong_field(parameter, "an integer")
        value = int(text)
        if not least <= value <= most:
            raise wrong_field(parameter, f"between {least} and {most}")
        return value

    return read


def _read_float(text: str, parameter: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise wrong_field(parameter, "a number")
    return float(text)


def _read_bool(text: str, parameter: str) -> bool:
    value = _BOOLEANS.get(text)
    if value is None:
        raise wrong_field(parameter, "true or false")
    return value


def _read_bytes(text: str, parameter: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise wrong_field(parameter, "base64") from None


def _enum_reader(numbers: Mapping[str, int]) -> _ReadText:
    allowed = "one of " + ", ".join(numbers)

    def read(text: str, parameter: str) -> int:
        number = numbers.get(text.lower())
        if number is None:
            raise wrong_field(parameter, allowed)
        return number

    return read


def _read_string(text: str, _parameter: str) -> str:
    return text


_SCALARS: ScalarReaders[_ReadText] = ScalarReaders(
    enum=_enum_reader, integer=_integer_reader, number=_read_float, flag=_read_bool, data=_read_bytes, text=_read_string
)

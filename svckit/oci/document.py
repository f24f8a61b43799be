"""Reads JSON documents from clients, and refuses those that other programs could read differently.

Python's and Go's JSON readers disagree about doubled keys, keys that differ only in case, NaN, and bytes that are not
UTF-8. If a client read a manifest differently than this registry, every check here could be bypassed.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from svckit.oci.errors import ManifestInvalidError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_INT64 = 2**63 - 1

# No 64-bit number is longer. Longer numbers are not converted: Python's int takes quadratic time for them, and refuses
# more than 4,300 digits.
_MAX_INT_CHARACTERS = 20


def load_object(content: bytes) -> dict[str, object]:
    """Read a JSON object, strictly.

    Raises:
        ManifestInvalidError: the content is not UTF-8, not JSON, or not an object; one object has a key twice; there is
            a NaN or an infinity; or the nesting is too deep.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestInvalidError(f"the manifest is not UTF-8 (byte {error.start})") from error
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
    except ManifestInvalidError:
        raise
    except RecursionError as error:
        raise ManifestInvalidError("the manifest is nested too deeply") from error
    except ValueError as error:
        where = f" (character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise ManifestInvalidError(f"the manifest is not JSON{where}") from error
    if not isinstance(document, dict):
        raise ManifestInvalidError("the manifest is not a JSON object")
    return document


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ManifestInvalidError(f"the manifest has {shown(key)} twice in one object", field=shown(key))
            seen.add(key)
    return members


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _MAX_INT_CHARACTERS else math.inf


def _refuse_constant(text: str) -> NoReturn:
    raise ManifestInvalidError(f"the manifest is not JSON: {text} is not a JSON number")


def refuse_case_variants(members: Mapping[str, object], known: frozenset[str], where: str) -> None:
    """Refuse keys that differ from a known key only in case: Go's JSON reader ignores case and would accept them.

    Raises:
        ManifestInvalidError: there is such a key.
    """
    for key in members:
        if key not in known and key.casefold() in _folded(known):
            raise ManifestInvalidError(f"{where} has a field {shown(key)} that differs only in case from a known one")


@cache
def _folded(known: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in known)


def text_field(members: Mapping[str, object], key: str, where: str) -> str:
    """Read an optional string; '' if it is absent or null.

    Raises:
        ManifestInvalidError: the value is not a string, or the string cannot be stored or sent.
    """
    value = members.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ManifestInvalidError(f"{where}.{key} is not a string", field=f"{where}.{key}")
    return checked_text(value, f"{where}.{key}")


def checked_text(value: str, where: str) -> str:
    r"""Refuse strings that are valid in JSON but cannot be stored: lone surrogates and U+0000.

    A lone surrogate cannot be written in UTF-8, and PostgreSQL does not store U+0000.

    Raises:
        ManifestInvalidError: the string contains one of these.
    """
    if "\0" in value:
        raise ManifestInvalidError(f"{where} contains U+0000", field=where)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ManifestInvalidError(f"{where} contains half a surrogate pair", field=where) from error
    return value


def object_field(members: Mapping[str, object], key: str, where: str) -> dict[str, object] | None:
    """Read an optional object; None if it is absent or null.

    Raises:
        ManifestInvalidError: the value is not an object.
    """
    value = members.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise ManifestInvalidError(f"{where}.{key} is not an object", field=f"{where}.{key}")


def list_field(members: Mapping[str, object], key: str, where: str) -> list[object]:
    """Read an optional list; empty if it is absent or null (Go writes an empty list as null).

    Raises:
        ManifestInvalidError: the value is not a list.
    """
    value = members.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise ManifestInvalidError(f"{where}.{key} is not a list", field=f"{where}.{key}")


def text_list_field(members: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    """Read an optional list of strings.

    Raises:
        ManifestInvalidError: the value is not a list of strings.
    """
    strings: list[str] = []
    for position, value in enumerate(list_field(members, key, where)):
        if not isinstance(value, str):
            raise ManifestInvalidError(f"{where}.{key}[{position}] is not a string", field=f"{where}.{key}")
        strings.append(checked_text(value, f"{where}.{key}[{position}]"))
    return tuple(strings)


def text_map_field(members: Mapping[str, object], key: str, where: str) -> dict[str, str]:
    """Read an optional object whose values are strings.

    Raises:
        ManifestInvalidError: the value is not such an object.
    """
    texts: dict[str, str] = {}
    for name, value in (object_field(members, key, where) or {}).items():
        if not isinstance(value, str):
            raise ManifestInvalidError(f"{where}.{key} has {shown(name)}, not a string", field=f"{where}.{key}")
        texts[checked_text(name, f"a key of {where}.{key}")] = checked_text(value, f"{where}.{key}")
    return texts

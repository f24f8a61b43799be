"""JSON documents of strangers, read so that no other reader could see something else in them.

Python's and Go's JSON readers disagree about doubled keys, keys that differ in case only, NaN, and bytes that are not
UTF-8. A manifest that reads differently here and in a client is a way around every check, so such ones are refused.
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

# No 64-bit number is longer. What is longer is no number that we use, and Python's int would refuse it beyond 4,300
# digits and take quadratic time below.
_MAX_INT_CHARACTERS = 20


def load_object(content: bytes) -> dict[str, object]:
    """Read a JSON object, strictly.

    Raises:
        ManifestInvalidError: not UTF-8, not JSON, not an object, a key twice in one object, NaN or infinity, or nested
            too deeply.
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
    raise ManifestInvalidError(f"the manifest is not JSON: {text} is no JSON number")


def refuse_case_variants(members: Mapping[str, object], known: frozenset[str], where: str) -> None:
    """Refuse keys that are a known one but for upper and lower case: Go's JSON reader would take them for it.

    Raises:
        ManifestInvalidError: there is one.
    """
    for key in members:
        if key not in known and key.casefold() in _folded(known):
            raise ManifestInvalidError(f"{where} has a field {shown(key)} that differs from ours in case only")


@cache
def _folded(known: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in known)


def text_field(members: Mapping[str, object], key: str, where: str) -> str:
    """Read an optional string; '' where it is absent or null.

    Raises:
        ManifestInvalidError: not a string, or one that cannot be stored or sent.
    """
    value = members.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ManifestInvalidError(f"{where}.{key} is not a string", field=f"{where}.{key}")
    return checked_text(value, f"{where}.{key}")


def checked_text(value: str, where: str) -> str:
    r"""Refuse strings that are JSON and yet no text: a lone surrogate has no UTF-8, and no database stores U+0000.

    Raises:
        ManifestInvalidError: it is one of these.
    """
    if "\0" in value:
        raise ManifestInvalidError(f"{where} contains U+0000", field=where)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ManifestInvalidError(f"{where} contains half a surrogate pair", field=where) from error
    return value


def object_field(members: Mapping[str, object], key: str, where: str) -> dict[str, object] | None:
    """Read an optional object; None where it is absent or null.

    Raises:
        ManifestInvalidError: it is something else.
    """
    value = members.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise ManifestInvalidError(f"{where}.{key} is not an object", field=f"{where}.{key}")


def list_field(members: Mapping[str, object], key: str, where: str) -> list[object]:
    """Read an optional list; empty where it is absent or null (which is how Go writes an empty one).

    Raises:
        ManifestInvalidError: it is something else.
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
        ManifestInvalidError: it is something else.
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
        ManifestInvalidError: it is something else.
    """
    texts: dict[str, str] = {}
    for name, value in (object_field(members, key, where) or {}).items():
        if not isinstance(value, str):
            raise ManifestInvalidError(f"{where}.{key} has {shown(name)}, not a string", field=f"{where}.{key}")
        texts[checked_text(name, f"a key of {where}.{key}")] = checked_text(value, f"{where}.{key}")
    return texts

"""Reads JSON documents from clients, and refuses those that other programs could read differently.

Python's and Go's JSON readers disagree about doubled keys, keys that differ only in case, NaN, and bytes that are not
UTF-8. If a client read a manifest differently than this registry, every check here could be bypassed.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from svckit.bounded_json import JsonError, read_json
from svckit.oci.errors import ManifestInvalidError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_INT64 = 2**63 - 1


def load_object(content: bytes) -> dict[str, object]:
    """Read a JSON object, strictly and within bounds (`svckit.bounded_json`).

    Raises:
        ManifestInvalidError: the content is not UTF-8, not JSON, or not an object; it has a lone surrogate, NaN or an
            infinity; one object has a key twice; or the document has too many values or is nested too deeply.
    """
    try:
        document = read_json(content)
    except JsonError as error:
        raise ManifestInvalidError(f"the manifest {error.message}") from None
    if not isinstance(document, dict):
        raise ManifestInvalidError("the manifest is not a JSON object")
    return document


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
        ManifestInvalidError: the value is not a string, or the string cannot be stored.
    """
    value = members.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ManifestInvalidError(f"{where}.{key} is not a string", field=f"{where}.{key}")
    return checked_text(value, f"{where}.{key}")


def checked_text(value: str, where: str) -> str:
    """Refuse a string with U+0000: it is valid in JSON, but PostgreSQL does not store it.

    Raises:
        ManifestInvalidError: the string contains it.
    """
    if "\0" in value:
        raise ManifestInvalidError(f"{where} contains U+0000", field=where)
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

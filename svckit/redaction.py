"""Removes secrets from log lines, by the names of keys and by patterns in texts."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

_SECRET_NAMES = (
    "password",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "credential",
    "credentials",
    "cookie",
    "ticket",
    "receipt",
    "grant",
    "private_key",
    "dsn",
)
# Only the last whole word of a key counts: "new_password", "x-roadstead-service-token" and "Authorization" are secret,
# "grants_total" is not.
_SECRET_KEY = re.compile(rf"(?:^|[_\-.])(?:{'|'.join(_SECRET_NAMES)})$", re.IGNORECASE)
# An upload's ticket is in the query of its Location, so URLs are searched as well.
_SECRET_TEXT = (
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){1,4}"), "[redacted]"),
    # A refresh token.
    (re.compile(r"\brsr_[A-Za-z0-9_-]{16,}"), "[redacted]"),
    # The first pattern finds the header, as text or as a tuple. The second finds credentials without the header;
    # shorter words after "basic" and "bearer" are normal text.
    (
        re.compile(
            r"(authorization['\"]?\s*[:=,]\s*(?:b(?=['\"]))?['\"]?(?:(?:basic|bearer)\s+)?)[^\s'\",]+", re.IGNORECASE
        ),
        r"\1[redacted]",
    ),
    (re.compile(r"\b(basic|bearer)(\s+)(?!realm=)[A-Za-z0-9+/=._~-]{16,}", re.IGNORECASE), r"\1\2[redacted]"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), r"\1:[redacted]@"),
    (re.compile(r"(?<![A-Za-z0-9])(password|secret|token|ticket)=[^&\s\"']+", re.IGNORECASE), r"\1=[redacted]"),
)
_REDACTED = "[redacted]"
_DEEPEST = 6


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Removes secrets from a log line. A processor of structlog.

    What is left can be written as JSON: other objects have become texts.
    """
    for key, value in event.items():  # no key is added or removed
        kind = type(value)
        # Nearly all values are of these types, and for those the checks below take most of the time of a line.
        if kind is str:
            event[key] = _REDACTED if _names_secret(key) else scrub(value)
        elif kind is not int and kind is not float:
            event[key] = _REDACTED if _is_secret(key, value) else _cleaned(value, 0)
    return event


def scrub(text: str) -> str:
    """The text without secrets: tokens, credentials and passwords in URLs are replaced."""
    if has_hint(text):
        for pattern, replacement in _SECRET_TEXT:
            text = pattern.sub(replacement, text)
    return text


def needs_redaction(event: Mapping[str, Any], rendered: bytes) -> bool:
    """Whether `redact` could change something in an event of which this is the JSON.

    To look once through the whole line costs less than to look at each of its values.
    """
    for key, value in event.items():
        kind = type(value)
        if kind is str:
            if _names_secret(key):
                return True
        elif kind is not int and kind is not float and kind is not bool and value is not None:
            return True
    # JSON escapes nothing that is in a hint, so whatever is in a value is in the line.
    return has_hint(rendered.decode())


def has_hint(text: str) -> bool:
    """Whether one of the patterns could match. Each needs one of these strings, and almost no text has one.

    Without this test, the patterns were half of the cost of a log line.
    """
    lower = text.lower()
    return (
        "=" in lower
        or "eyj" in lower
        or "rsr_" in lower
        or "://" in lower
        or "uthorization" in lower
        or "asic" in lower
        or "earer" in lower
    )


def _is_secret(key: object, value: object) -> bool:
    return (
        isinstance(key, str) and value is not None and not isinstance(value, bool | int | float) and _names_secret(key)
    )


@functools.lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _cleaned(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth == _DEEPEST:
        return "…"  # its repr could show the values of secret keys
    if isinstance(value, Mapping):
        return {
            str(key): _REDACTED if _is_secret(key, item) else _cleaned(item, depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item, depth + 1) for item in value]
    return scrub(value if isinstance(value, str) else repr(value))

"""How a log line is written."""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from typing import Any

import orjson

from svckit.redaction import needs_redaction

# A path may hold what is no text. Its line must be written anyway.
_ENCODING = ("utf-8", "backslashreplace")


def as_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    """One JSON object. It is plain ASCII: other line separators of Unicode could make one line look like two."""
    try:
        line = orjson.dumps(event)
    except TypeError:
        line = b"\x80"  # a number or a text that it does not write
    return line if line.isascii() else json.dumps(event, separators=(",", ":"), default=repr).encode()


def as_clean_json(event: Any) -> bytes | None:
    """The line, if nothing in it needs the other processors. Nearly all lines need none."""
    if "exc_info" in event:
        return None
    try:
        line = orjson.dumps(event)
    except TypeError:
        return None
    return line if line.isascii() and not needs_redaction(event, line) else None


def as_clean_lines(events: Sequence[Any]) -> bytes | None:
    """The lines, if they can be written as they are. There must be no secret in them."""
    try:
        lines = orjson.dumps(events)
    except TypeError:
        return None
    # One array costs a tenth of so many objects. It can be cut if no text has a brace.
    if not lines.isascii() or lines.count(b"{") != len(events):
        return None
    return lines[1:-1].replace(b"},{", b"}\n{") + b"\n"


def as_bytes(line: str | bytes) -> bytes:
    """A line as it goes into the stream."""
    return line if isinstance(line, bytes) else line.encode(*_ENCODING)


def as_text(_logger: object, _method: str, line: Any) -> str:
    """A line for the standard library, which wants text."""
    return line.decode() if isinstance(line, bytes) else str(line)

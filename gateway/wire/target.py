"""The target of a request, in the four forms that HTTP has (RFC 9112 §3.2), as one: a path.

Servers handle the form `/path` only. The other three led to wrong hosts, and some of them to errors that
closed the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

NO_PATH = "*"
"""The path of a request whose target is none: `*`, an authority (CONNECT), or malformed."""

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(/[^#]*)?", re.IGNORECASE)


def with_path(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scope of a request with a path as its target.

    For `http://host/path`, which clients send to proxies and may send to any server, the host of the target replaces
    that of the Host header (RFC 9112 §3.2.2).
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    if raw.startswith(b"/"):
        return scope
    absolute = _ABSOLUTE.fullmatch(raw)
    path = NO_PATH.encode() if absolute is None else absolute[2] or b"/"
    changed = {**scope, "raw_path": path, "path": unquote(path.decode("latin-1"))}
    if absolute is not None:
        others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
        changed["headers"] = [(b"host", absolute[1]), *others]
    return changed


def is_plain(path: str) -> bool:
    """Whether a raw path is the only spelling of itself: no escapes, no empty or dot segments, no slash at the end.

    Paths such as /metrics may be blocked in a proxy by their text. Another spelling of them must not pass it.
    """
    segments = path.split("/")[1:]
    return "%" not in path and (path == "/" or all(segment not in {"", ".", ".."} for segment in segments))

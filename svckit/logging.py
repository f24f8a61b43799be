"""Logs with structlog. The logs of the standard library go there, too, and secrets are removed from both."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO

import structlog

Format = Literal["json", "console", "auto"]
Level = Literal["debug", "info", "warning", "error"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request, the same in all services."""
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The trace id of W3C's `traceparent`; None without one."""

# W3C Trace Context, section 3.2.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

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
    (re.compile(r"\b(password|secret|token|ticket)=[^&\s\"']+", re.IGNORECASE), r"\1=[redacted]"),
)
_REDACTED = "[redacted]"
_DEEPEST = 6

_service = "-"


def configure(service: str, level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:
    """Sends all logs of this process to one stream. May be called again; the last call applies.

    Args:
        service: the name in every line.
        level: the least severe level that is written.
        format: "json", one object on a line; "console", for people; "auto", console on a terminal, otherwise JSON.
        stream: the stream; by default standard error.
    """
    global _service  # noqa: PLW0603 - a process logs as one service
    _service = service
    target = sys.stderr if stream is None else stream
    console = format == "console" or (format == "auto" and target.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=target.isatty()) if console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_processors(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Tracebacks are turned into text first, because the redaction only searches texts.
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        # Only the handler of an earlier call is removed, so that the capturing handler of a test stays.
        if getattr(old, "from_svckit", False):
            root.removeHandler(old)
    handler.from_svckit = True  # type: ignore[attr-defined]  # marks our own handler
    root.addHandler(handler)
    root.setLevel(level.upper())
    # At INFO, these loggers repeat our own lines or write a line for each request. At DEBUG, aiosqlite and hpack write
    # the parameters of statements and the headers of requests, with password hashes and tokens.
    for chatty in ("hypercorn.access", "httpx", "httpcore", "asyncio", "alembic", "aiosqlite", "hpack"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module. It may be called at import, because the configuration is read at its first use."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def trace_of(traceparent: str) -> str | None:
    """The trace id in W3C's `traceparent`; None if it is malformed. Then it must not be passed on."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else None


@contextmanager
def request_context(request: str | None, trace: str | None = None) -> Iterator[None]:
    """Adds the ids of a request to every line that is logged inside the block."""
    request_token, trace_token = request_id.set(request), trace_id.set(trace)
    try:
        yield
    finally:
        request_id.reset(request_token)
        trace_id.reset(trace_token)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Removes secrets from a log line, by the names of keys and by patterns in texts."""
    for key in list(event):
        event[key] = _REDACTED if _is_secret(key, event[key]) else _cleaned(event[key], 0)
    return event


def scrub(text: str) -> str:
    """The text without secrets: tokens, credentials and passwords in URLs are replaced."""
    # Every pattern needs one of these strings, and almost no text has one. Without this test, the patterns were half of
    # the cost of a log line.
    lower = text.lower()
    if (
        "=" in lower
        or "eyj" in lower
        or "://" in lower
        or "uthorization" in lower
        or "asic" in lower
        or "earer" in lower
    ):
        for pattern, replacement in _SECRET_TEXT:
            text = pattern.sub(replacement, text)
    return text


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


def _add_context(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.setdefault("service", _service)
    for name, variable in (("request_id", request_id), ("trace_id", trace_id)):
        value = variable.get()
        if value is not None:
            event.setdefault(name, value)
    return event


def _processors() -> list[Any]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_context,
    ]


# This is done at import, because loggers are made at import. Before `configure`, only warnings are written, by the
# standard library's handler of last resort.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        *_processors(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)

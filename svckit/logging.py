"""Logs with structlog. The logs of the standard library go there, too, and secrets are removed from both.

Our own lines do not pass through the standard library: there, a line would cost four times as much, and the gateway
writes one for each request. They do if somebody else has added a handler to the root logger, as tests do.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NoReturn, TextIO

from svckit.absent import absent
from svckit.log_lines import as_bytes, as_clean_json, as_clean_lines, as_json, as_text
from svckit.log_writer import LineWriter, Render
from svckit.redaction import has_hint, redact

# structlog loads Rich for tracebacks that our logs do not have. That would take 5 MiB in each process.
with absent("rich"):
    import structlog

Format = Literal["json", "console", "auto"]
Level = Literal["debug", "info", "warning", "error"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request, the same in all services."""
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The trace id of W3C's `traceparent`; None without one."""

# W3C Trace Context, section 3.2.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

_FLUSH_SECONDS = 5.0
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# What a record takes beside its texts, as a line or in memory.
_RECORD_BYTES = 320
_IMPORTANT = frozenset({"warning", "warn", "error", "exception", "critical", "fatal"})

_service = "-"
_root = logging.getLogger()


def configure(service: str, level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:
    """Sends all logs of this process to one stream. May be called again; the last call applies.

    Args:
        service: the name in every line.
        level: the least severe level that is written.
        format: "json", one object on a line; "console", for people; "auto", console on a terminal, otherwise JSON.
        stream: the stream, to which each line is written at once. By default standard error, to which a thread writes:
            see `LineWriter` for what happens when it is read slowly.
    """
    global _service, _handler  # noqa: PLW0603 - a process logs as one service, to one stream
    _service = service
    target = sys.stderr if stream is None else stream
    is_for_people = format == "console" or (format == "auto" and target.isatty())
    render = structlog.dev.ConsoleRenderer(colors=target.isatty()) if is_for_people else as_json
    for old in _root.handlers[:]:
        # Only the handler of an earlier call is removed, so that the capturing handler of a test stays.
        if isinstance(old, _Handler):
            _root.removeHandler(old)
            old.close()
    _handler = _Handler(render, _InPlace(stream) if stream is not None else _on_a_thread(target, render))
    _root.addHandler(_handler)
    sys.excepthook = _end_lines_first
    _root.setLevel(level.upper())
    # At INFO, these loggers repeat our own lines or write a line for each request. At DEBUG, aiosqlite and hpack write
    # the parameters of statements and the headers of requests, with password hashes and tokens.
    for chatty in ("hypercorn.access", "httpx", "httpcore", "asyncio", "alembic", "aiosqlite", "hpack"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, _root.level))


def flush() -> None:
    """Waits until all lines so far are written, but not longer than some seconds: the reader may have stopped."""
    if _handler is not None:
        _handler.flush()


def _end_lines_first(*error: Any) -> None:
    # The interpreter would write the traceback into the middle of lines that are being written.
    flush()
    sys.__excepthook__(*error)


def lost_lines() -> int:
    """How many lines were dropped because they were read too slowly."""
    return 0 if _handler is None else _handler.lost_lines


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module. It may be called at import, because the configuration is read at its first use."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


class RepeatedLine:
    """A line at INFO that is logged for each request, with the same fields each time.

    The thread that logs it only notes the values. The thread that writes renders many such lines at once, which takes a
    third of the time that the same lines take one by one.
    """

    __slots__ = ("_event", "_fields", "_is_enabled_for", "_logger", "name")

    def __init__(self, name: str, event: str, fields: Sequence[str]) -> None:
        """Describes the line.

        Args:
            name: the name of the logger.
            event: what has happened.
            fields: the names of the fields. None of them names a secret.
        """
        self.name = name
        self._event = event
        self._fields = tuple(fields)
        self._logger = get_logger(name)
        self._is_enabled_for = logging.getLogger(name).isEnabledFor

    def log(self, *values: str | float | bool | None) -> None:
        """Logs it once, with these values of the fields, in their order."""
        handler = _handler
        if handler is None or _root.handlers != [handler]:
            self._logger.info(self._event, **dict(zip(self._fields, values, strict=True)))
        elif self._is_enabled_for(logging.INFO):
            handler.write_later((self, values, time.time_ns(), trace_id.get(), request_id.get()))

    def line_of(self, values: _Values, time_ns: int, trace: str | None, request: str | None) -> dict[str, Any]:
        """One of these lines, with the same fields in the same order as a logger's."""
        line: dict[str, Any] = dict(zip(self._fields, values, strict=True))
        line["event"] = self._event
        line["logger"] = self.name
        line["level"] = "info"
        line["timestamp"] = _shown(time_ns)
        line["service"] = _service
        if request is not None:
            line["request_id"] = request
        if trace is not None:
            line["trace_id"] = trace
        return line


_Values = tuple[str | float | bool | None, ...]
# Values, nanoseconds, the ids of trace and request. No named tuple: to make one takes longer than all the rest.
_Record = tuple[RepeatedLine, _Values, int, str | None, str | None]


def trace_of(traceparent: str) -> str | None:
    """The trace id in W3C's `traceparent`; None if it is malformed. Then it must not be passed on."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else None


class request_context:  # noqa: N801 - it is used as a function
    """Adds the ids of a request to every line that is logged inside the block."""

    __slots__ = ("_request", "_tokens", "_trace")

    def __init__(self, request: str | None, trace: str | None = None) -> None:
        """Takes the id of the request, and that of its trace."""
        self._request = request
        self._trace = trace

    def __enter__(self) -> None:
        self._tokens = request_id.set(self._request), trace_id.set(self._trace)

    def __exit__(self, *_: object) -> None:
        request_token, trace_token = self._tokens
        request_id.reset(request_token)
        trace_id.reset(trace_token)


class _Handler(logging.Handler):
    """Renders lines, and gives them to a writer: those of the standard library, and our own directly."""

    def __init__(self, render: Any, writer: LineWriter | _InPlace) -> None:
        super().__init__()
        self._writer = writer
        self._is_json = render is as_json
        # Tracebacks are turned into text first, because the redaction only searches texts.
        self._processors = [structlog.processors.format_exc_info, redact, render]
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=_processors(),
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *self._processors, as_text],
            )
        )

    @property
    def lost_lines(self) -> int:
        return self._writer.lost_lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._put(as_bytes(self.format(record)), is_important=record.levelno >= logging.WARNING)
        except Exception:
            self.handleError(record)

    def write(self, logger: Any, method: str, event: Any) -> None:
        """Writes a line of structlog's."""
        self._put(self._rendered(logger, method, event), is_important=method in _IMPORTANT)

    def write_later(self, record: _Record) -> None:
        """Writes a line, which is rendered when it is written."""
        texts_bytes = sum([len(value) for value in record[1] if type(value) is str])
        self._writer.put_later(self._render_records, record, _RECORD_BYTES + texts_bytes)

    def _rendered(self, logger: Any, method: str, event: Any) -> bytes:
        line = as_clean_json(event) if self._is_json else None
        if line is None:
            for process in self._processors:
                event = process(logger, method, event)
            line = as_bytes(event)
        return line

    def _render_records(self, records: Sequence[_Record]) -> bytes:
        lines = [kind.line_of(values, when, trace, request) for kind, values, when, trace, request in records]
        texts = [text for _, values, _, _, request in records for text in (request, *values) if type(text) is str]
        if self._is_json and not has_hint("\n".join(texts)):
            together = as_clean_lines(lines)
            if together is not None:
                return together
        return b"".join([self._rendered(None, "info", line) + b"\n" for line in lines])

    def flush(self) -> None:
        self._writer.flush(_FLUSH_SECONDS)

    def close(self) -> None:
        # `logging` calls this at the exit, also after an error that nobody has handled.
        self._writer.close(_FLUSH_SECONDS)
        super().close()

    def _put(self, line: bytes, *, is_important: bool) -> None:
        self._writer.put(line + b"\n", is_important=is_important)


class _InPlace:
    """Writes to a stream at once, in the thread that logs. Has the methods of a `LineWriter`."""

    lost_lines = 0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def put(self, line: bytes, *, is_important: bool = False) -> None:
        self._stream.write(line.decode())
        self._stream.flush()

    def put_later(self, render: Render, record: object, size_bytes: int) -> None:
        self.put(render([record]))

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def close(self, timeout_seconds: float) -> None:
        pass


_handler: _Handler | None = None


def _on_a_thread(stream: TextIO, render: Callable[..., str | bytes]) -> LineWriter:
    def describe_loss(count: int) -> bytes:
        event: Any = {"logger": __name__, "level": "warning", "event": "log_lines_lost", "lines": count}
        for process in (_add_time, _add_service):
            event = process(None, "warning", event)
        return as_bytes(render(None, "warning", event)) + b"\n"

    stream.flush()
    return LineWriter(stream.fileno(), describe_loss)


def _hand_over(logger: Any, method: str, event: Any) -> Any:
    """Writes a line, if nobody but us handles it; otherwise gives it to the standard library."""
    handler = _handler
    if handler is None or _root.handlers != [handler]:
        return structlog.stdlib.ProcessorFormatter.wrap_for_formatter(logger, method, event)
    handler.write(logger, method, event)
    return _drop()


def _drop() -> NoReturn:
    raise structlog.DropEvent


def _add_service(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.setdefault("service", _service)
    return event


def _add_context(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    _add_service(_logger, _method, event)
    for name, variable in (("request_id", request_id), ("trace_id", trace_id)):
        value = variable.get()
        if value is not None:
            event.setdefault(name, value)
    return event


def _add_time(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = _shown(time.time_ns())
    return event


def _shown(time_ns: int) -> str:
    # ISO 8601 with microseconds, in a third of the time that datetime takes for it.
    microseconds = time_ns // 1000
    return f"{_second(microseconds // 1_000_000)}.{microseconds % 1_000_000:06}Z"


@functools.lru_cache(maxsize=4)
def _second(since_epoch: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_epoch))


class _Logger(structlog.stdlib.BoundLogger):
    """structlog's, with one function in the place of its chain of processors, which takes most of a line's time."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **fields: Any) -> Any:
        handler, level = _handler, _LEVELS.get(method_name)
        if level is None or args or "stack_info" in fields or handler is None or _root.handlers != [handler]:
            return super()._proxy_to_logger(method_name, event, *args, **fields)
        logger = self._logger
        if logger.isEnabledFor(level):
            line = {**self._context, **fields}
            if event is not None:
                line["event"] = event
            line["logger"] = logger.name
            line["level"] = method_name
            handler.write(logger, method_name, _add_context(logger, method_name, _add_time(logger, method_name, line)))
        return None


def _processors() -> list[Any]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _add_time,
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
        _hand_over,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=_Logger,
    cache_logger_on_first_use=True,
)

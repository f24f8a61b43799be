"""Counts and logs the calls of one method that have ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from svckit import logging
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from svckit.access.call import Call
    from svckit.rpc.server_context import ServerContext

_log = get_logger(__name__)


class Account:
    """Counts and logs the calls of one method."""

    __slots__ = ("_name", "_server")

    def __init__(self, name: str, server: ServerContext) -> None:
        """Takes the name of the method, and its server, which has the metrics and the level of the log."""
        self._name = name
        self._server = server

    def note(self, call: Call, code: str, seconds: float) -> None:
        """Counts and logs one call, with its gRPC code and its duration."""
        self._server.metrics.observe_rpc(self._name, code, seconds)
        self._write(call, code, seconds)

    def note_members(self, members: Sequence[tuple[Call, str]], seconds: float) -> None:
        """The same for the members of a batch, each with its code. All took as long as the batch."""
        for code, times in Counter(code for _, code in members).items():
            self._server.metrics.observe_rpc(self._name, code, seconds, times)
        if self._level is not None:
            for call, code in members:
                with logging_for(call):
                    self._write(call, code, seconds)

    @property
    def _level(self) -> int | None:
        level = self._server.access_log
        return level if level is not None and _log.isEnabledFor(level) else None

    def _write(self, call: Call, code: str, seconds: float) -> None:
        level = self._level
        if level is not None:
            _log.log(
                level,
                "rpc",
                method=self._name,
                code=code,
                milliseconds=round(seconds * 1000, 2),
                subject=call.principal.subject,
                caller_service=call.caller_service,
            )


def logging_for(call: Call) -> AbstractContextManager[None]:
    """Lines in this block belong to the request of one member of a batch."""
    trace = None if call.traceparent is None else logging.trace_of(call.traceparent)
    return logging.request_context(call.request_id, trace)

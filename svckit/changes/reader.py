"""Follows the change log of another service, for as long as the process runs.

    reader = ChangeReader(stub.Watch, change_service_pb2.WatchRequest(kinds=["project_deleted"]), consumer)
    process.loops.every(1.0, "follow_authsvc", reader.run)

The consumer keeps the position, best in the transaction in which it keeps what it has made of the changes. It may be
given changes a second time, after a failure. If nothing can be gone on from, it is told to read everything again.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from grpc.aio import EOF

from svckit.changes.convert import from_position, to_position
from svckit.errors import DomainError, error_for
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roadstead.change.v1.change_pb2 import Change
    from svckit.change import LogPosition

BEGIN_ANEW = frozenset({"EPOCH_MISMATCH", "REVISION_COMPACTED", "REVISION_AHEAD"})
"""The reasons that say that a reader cannot go on from its position."""

_log = get_logger(__name__)

_HEARTBEAT_SECONDS = 5
# A server that sends nothing for so many heartbeats is gone, or stands still.
_SILENT_HEARTBEATS = 3
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class ChangeConsumer(Protocol):
    """What is made of the changes of a log. A DomainError of any method is logged, and tried again after a pause."""

    async def position(self) -> LogPosition | None:
        """The position that was kept last; None to begin anew."""

    async def begin(self, position: LogPosition) -> None:
        """Reads everything, and keeps the position.

        The position is older than what is read now. So the changes that follow may be known already.
        """

    async def apply(self, changes: Sequence[Change], position: LogPosition) -> None:
        """Makes something of some changes, in the order of commits, and keeps the position behind them.

        There may be no changes; then only the position has moved on.
        """


class ChangeReader:
    """The reader of one log.

    Attributes:
        position: what the consumer has kept; None before the first answer.
        current_at: the value of `time.monotonic()` at which the consumer last had everything that the server knew when
            it sent its answer; None before that.
    """

    def __init__(
        self,
        watch: Callable[..., Any],
        request: Any,
        consumer: ChangeConsumer,
        *,
        first_pause_seconds: float = _FIRST_PAUSE_SECONDS,
    ) -> None:
        """Takes the log and the consumer. `run` reads.

        Args:
            watch: `Watch` of the stub of a ChangeService, on a channel of `svckit.rpc.channel`.
            request: a WatchRequest with the filter. Its position is set here, and its heartbeats, unless they are set.
            consumer: what is made of the changes.
            first_pause_seconds: how long to wait after the first failure. The pause doubles with each further one.
        """
        self.position: LogPosition | None = None
        self.current_at: float | None = None
        self._watch = watch
        self._request = request
        self._consumer = consumer
        self._first_pause_seconds = first_pause_seconds
        self._failures = 0
        # Whether the position that the consumer has kept is of no use any more.
        self._begins_anew = False

    async def run(self) -> None:
        """Reads until it is cancelled. An error that is no DomainError is raised."""
        while True:
            try:
                await self._follow()
            except DomainError as error:
                if error.reason in BEGIN_ANEW:
                    _log.warning("change_reader_begins_anew", log=self._log_name, reason=error.reason)
                    self._begins_anew = True
                elif error.reason != "GOING_AWAY":
                    _log.warning("change_reader_interrupted", log=self._log_name, error=str(error))
                self._failures += 1
                await asyncio.sleep(self._pause_seconds())

    @property
    def _log_name(self) -> str:
        return str(self._request.DESCRIPTOR.file.package)

    async def _follow(self) -> None:
        """Reads one stream to its end, from the position that the consumer has kept."""
        self.position = None if self._begins_anew else await self._consumer.position()
        request = type(self._request)()
        request.CopyFrom(self._request)
        request.heartbeat_seconds = request.heartbeat_seconds or _HEARTBEAT_SECONDS
        if self.position is not None:
            request.position.CopyFrom(from_position(self.position))
        # Services start together, so the other one may come in a moment. Silence ends the wait.
        call = self._watch(request, wait_for_ready=True)
        try:
            while (answer := await _next(call, request.heartbeat_seconds * _SILENT_HEARTBEATS)) is not EOF:
                await self._take(answer)
        finally:
            call.cancel()
        # A watch does not end by itself.
        raise error_for("UNAVAILABLE", "the stream has ended")

    async def _take(self, answer: Any) -> None:
        position = to_position(answer.position)
        if self.position is None:
            await self._consumer.begin(position)
            self._begins_anew = False
        elif answer.changes or position != self.position:
            await self._consumer.apply(answer.changes, position)
        self.position = position
        self._failures = 0
        if position.revision >= answer.newest_revision:
            self.current_at = time.monotonic()

    def _pause_seconds(self) -> float:
        longest: float = min(self._first_pause_seconds * 2.0 ** min(self._failures - 1, 16), _LONGEST_PAUSE_SECONDS)
        # Readers that have lost the same server do not come back in the same moment.
        return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret


async def _next(call: Any, longest_seconds: float) -> Any:
    """The next answer.

    Raises:
        DomainError: the stream has failed; UNAVAILABLE if nothing has come for so long.
    """
    try:
        async with asyncio.timeout(longest_seconds):
            return await call.read()
    except TimeoutError:
        raise error_for("UNAVAILABLE", f"the server has sent nothing for {longest_seconds} seconds") from None

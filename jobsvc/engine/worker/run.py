"""One run of a task in this process: what its handler sees, and what becomes of it."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING

from jobsvc.engine.domain.model import Progress
from jobsvc.engine.worker.log import RunLog
from jobsvc.engine.worker.task import FinalFailure, Outcome, TaskStopped
from svckit.access.acting import acting_for
from svckit.logging import get_logger, request_id
from svckit.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobsvc.engine.worker.claimed import Claimed
    from jobsvc.engine.worker.task import Handler
    from svckit.actor import Actor

STOP_GRACE_SECONDS = 0.5
"""How long a handler may go on after a stop without looking. Together with a second between two reports, a stop takes
less than two seconds."""

# A handler that catches its cancellation gets another one.
_CANCEL_AGAIN_SECONDS = 0.5
_LONGEST_TEXT = 1024
_LONGEST_CHECK_IN = 4096

_log = get_logger(__name__)


class Ending(Enum):
    """How a run ended."""

    SUCCESS = auto()
    ERROR = auto()
    FINAL_ERROR = auto()
    STOPPED = auto()
    LOST = auto()
    """It is not this worker's any more. Nobody is told."""
    RETURNED = auto()
    """It is given back, because the worker stops."""


class Run:
    """See `jobsvc.engine.worker.task.RunningTask`.

    Attributes:
        claimed: the task.
        ending: how the handler ended; None while it runs.
        message: for people, with the ending.
        outcome: with Ending.SUCCESS.
        attempts: how often its result was sent in vain.
    """

    def __init__(self, claimed: Claimed, handler: Handler, lease_begin: float, on_end: Callable[[Run], None]) -> None:
        """Starts the handler.

        Args:
            claimed: the task.
            handler: of its kind.
            lease_begin: when its claim was sent, by the clock of the event loop.
            on_end: is called when the handler has ended.
        """
        self.claimed = claimed
        self.ending: Ending | None = None
        self.message = ""
        self.outcome = Outcome()
        self._log = RunLog()
        self._progress: Progress | None = None
        self._check_in: str | None = None
        self._stop_requested = False
        # Why the handler is cancelled; None if it is not.
        self._reason: Ending | None = None
        self.attempts = 0
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._cancelling: asyncio.TimerHandle | None = None
        self._lease: asyncio.TimerHandle | None = None
        self.prolong(lease_begin)
        self._task = self._loop.create_task(self._run(handler), name=f"{claimed.kind} {claimed.task_id}")

    @property
    def id(self) -> int:
        """See `RunningTask`."""
        return self.claimed.task_id

    @property
    def run(self) -> int:
        """See `RunningTask`."""
        return self.claimed.run

    @property
    def execution_id(self) -> int:
        """See `RunningTask`."""
        return self.claimed.execution_id

    @property
    def vendor_id(self) -> int:
        """See `RunningTask`."""
        return self.claimed.vendor_id

    @property
    def kind(self) -> str:
        """See `RunningTask`."""
        return self.claimed.kind

    @property
    def parameters(self) -> Mapping[str, object]:
        """See `RunningTask`."""
        return self.claimed.parameters

    @property
    def failures(self) -> int:
        """See `RunningTask`."""
        return self.claimed.failures

    @property
    def operator(self) -> Actor:
        """See `RunningTask`."""
        return self.claimed.operator

    @property
    def log(self) -> RunLog:
        """See `RunningTask`."""
        return self._log

    async def progress(self, done: int, total: int = 0, text: str = "") -> None:
        """See `RunningTask`."""
        self._progress = Progress(done=max(0, done), total=max(0, total), text=_clean(text, _LONGEST_TEXT))
        await self.checkpoint()

    def check_in(self, text: str) -> None:
        """See `RunningTask`."""
        self._check_in = _clean(text, _LONGEST_CHECK_IN)

    async def checkpoint(self) -> None:
        """See `RunningTask`."""
        # Otherwise a handler that awaits nothing else would hold up all others, and the reports.
        await asyncio.sleep(0)
        if self._stop_requested:
            raise TaskStopped

    def take_news(self) -> tuple[Progress | None, str | None]:
        """What is to be reported, and is not reported again."""
        news = self._progress, self._check_in
        self._progress = self._check_in = None
        return news

    def put_back(self, news: tuple[Progress | None, str | None]) -> None:
        """What `take_news` gave, because it could not be reported. What came meanwhile is newer."""
        progress, check_in = news
        if self._progress is None:
            self._progress = progress
        if self._check_in is None:
            self._check_in = check_in

    def prolong(self, since: float) -> None:
        """The lease lasts for its time since then, by the clock of the event loop."""
        if self._lease is not None:
            self._lease.cancel()
        self._lease = self._loop.call_at(since + self.claimed.lease_seconds, self.lose)

    def stop(self) -> None:
        """Somebody has asked for the task to stop. The handler may look for a moment; then it is cancelled."""
        if not self._stop_requested and self.ending is None:
            self._stop_requested = True
            self._cancel(Ending.STOPPED, STOP_GRACE_SECONDS)

    def lose(self) -> None:
        """The task is not this worker's any more."""
        if self.ending is None:
            self._cancel(Ending.LOST)
        elif self.ending is not Ending.LOST:
            # Its result waits to be sent, and would be refused.
            self.ending = Ending.LOST
            self._on_end(self)

    def give_back(self) -> None:
        """The worker stops."""
        if self.ending is None:
            self._cancel(Ending.RETURNED)

    def close(self) -> None:
        """Ends the timers. Call it when nothing more is to be done for the run."""
        for timer in (self._lease, self._cancelling):
            if timer is not None:
                timer.cancel()

    def _cancel(self, reason: Ending, after_seconds: float = 0.0) -> None:
        # Whoever has lost a task must not say that it has stopped. A stop must not make it Pending again.
        if self._reason is None or reason is Ending.LOST:
            self._reason = reason
        if self._cancelling is not None:
            self._cancelling.cancel()
        self._cancelling = self._loop.call_later(after_seconds, self._cancel_now)

    def _cancel_now(self) -> None:
        if self._task.cancelling():
            _log.warning("handler_goes_on", kind=self.kind, task=self.id, run=self.run)
        self._task.cancel()
        self._cancelling = self._loop.call_later(_CANCEL_AGAIN_SECONDS, self._cancel_now)

    async def _run(self, handler: Handler) -> None:
        request_id.set(f"task-{self.id}-{self.run}")
        ending, message = Ending.ERROR, "the worker failed"
        try:
            with acting_for(self.operator):
                ending, message = await self._handled(handler)
        finally:
            if self._cancelling is not None:
                self._cancelling.cancel()
            self.ending = Ending.LOST if self._reason is Ending.LOST else ending
            self.message = _clean(message, _LONGEST_CHECK_IN)
            self._on_end(self)

    async def _handled(self, handler: Handler) -> tuple[Ending, str]:
        try:
            self.outcome = await handler(self)
            return Ending.SUCCESS, self.outcome.message
        except TaskStopped:
            if self._stop_requested:
                return Ending.STOPPED, ""
            return Ending.ERROR, "the handler has stopped, although nobody has asked for that"
        except FinalFailure as error:
            self._log.error(str(error))
            return Ending.FINAL_ERROR, str(error)
        except asyncio.CancelledError:
            if self._reason is None:
                return Ending.ERROR, "the handler was cancelled"
            return self._reason, ""
        except (Exception, SystemExit) as error:
            message = str(error) or type(error).__name__
            self._log.error(message)
            _log.warning("task_failed", kind=self.kind, task=self.id, run=self.run, exc_info=True)
            return Ending.ERROR, message


def _clean(text: str, longest: int) -> str:
    """As the contract allows it."""
    return scrub(text).replace("\0", "")[:longest]

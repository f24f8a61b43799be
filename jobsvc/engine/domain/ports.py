"""What the use cases of the engine need: the store, the clock, the kinds, the rules, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobsvc.engine.domain.kind import Kind, Kinds
    from jobsvc.engine.domain.rows import Store
    from jobsvc.engine.domain.wakes import Announcer, Wakes

Clock = Callable[[], datetime]


class Observer(Protocol):
    """Is told what happens, for metrics. Nothing that it does may fail."""

    def finished(self, kind: str, outcome: str, seconds: float) -> None:
        """A run has ended: "success", "error", "stopped", "retry" or "returned"."""

    def lost(self, kind: str) -> None:
        """A run was lost with its worker."""

    def fired(self, kind: str, result: str) -> None:
        """A schedule's time has come: "started", or "skipped" because its last execution has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRules:
    """The settings of the engine.

    Attributes:
        lease_seconds: how long a worker may be silent before another one gets its tasks.
        report_seconds: how often workers report.
        poll_seconds: how often a waiting claim looks without being woken.
        most_losses: after so many lost runs, a task ends in Error.
        task_log_bytes: the most bytes of a task's log.
        task_log_days: how long logs are kept.
    """

    lease_seconds: float = 30.0
    report_seconds: float = 1.0
    poll_seconds: float = 1.0
    most_losses: int = 10
    task_log_bytes: int = 4 * 1024 * 1024
    task_log_days: int = 30

    def lease_of(self, kind: Kind | None) -> timedelta:
        """How long a lease for a task of this kind lasts."""
        own = None if kind is None else kind.lease_seconds
        return timedelta(seconds=self.lease_seconds if own is None else own)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePorts:
    """The ports of the use cases of the engine.

    Attributes:
        store: the rows.
        clock: tells the time.
        kinds: all kinds of jobs.
        rules: the settings.
        wakes: the claims that wait in this process.
        announcer: tells other replicas.
        observer: counts what happens.
    """

    store: Store
    clock: Clock
    kinds: Kinds
    rules: EngineRules
    wakes: Wakes
    announcer: Announcer
    observer: Observer

    async def announce(self, kinds: Collection[str]) -> None:
        """Wakes claims here and in other replicas. Call it after the commit that has made tasks Pending."""
        if kinds:
            self.wakes.wake(kinds)
            await self.announcer.announce(kinds)

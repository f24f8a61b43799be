"""The metrics of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from jobsvc.engine.domain.kind import Kinds
    from jobsvc.engine.domain.model import QueueState

_OUTCOMES = ("success", "error", "stopped", "retry", "returned")
_FIRED = ("started", "skipped")
# From a tenth of a second to some hours.
_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600)


class EngineCounters:
    """Counts what happens to tasks (`domain.ports.Observer`), and shows how much waits."""

    def __init__(self, kinds: Kinds, registry: CollectorRegistry) -> None:
        """Registers the metrics. Those of each kind are there from the beginning, so that rates can be computed."""
        self._runs = Counter(
            "jobsvc_task_runs", "Runs of tasks that have ended, by outcome", ("kind", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            "jobsvc_task_run_seconds", "How long runs of tasks took", ("kind",), buckets=_BUCKETS, registry=registry
        )
        self._lost = Counter(
            "jobsvc_task_runs_lost", "Runs of tasks that were lost with their worker", ("kind",), registry=registry
        )
        self._fired = Counter(
            "jobsvc_schedules_fired", "Times of schedules that have come", ("kind", "result"), registry=registry
        )
        self._pending = Gauge("jobsvc_queue_tasks_held", "Tasks that wait in a queue", ("kind",), registry=registry)
        self._oldest = Gauge(
            "jobsvc_queue_oldest_seconds",
            "How long the oldest task of a queue has waited",
            ("kind",),
            registry=registry,
        )
        for kind in kinds.names:
            self._seconds.labels(kind)
            self._lost.labels(kind)
            for outcome in _OUTCOMES:
                self._runs.labels(kind, outcome)
            for result in _FIRED:
                self._fired.labels(kind, result)

    def finished(self, kind: str, outcome: str, seconds: float) -> None:
        """See the port."""
        self._runs.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)

    def lost(self, kind: str) -> None:
        """See the port."""
        self._lost.labels(kind).inc()

    def fired(self, kind: str, result: str) -> None:
        """See the port."""
        self._fired.labels(kind, result).inc()

    def show_queues(self, queues: Iterable[QueueState], now: datetime) -> None:
        """Shows how much waits, and for how long."""
        for queue in queues:
            waited = 0.0 if queue.oldest_time is None else (now - queue.oldest_time).total_seconds()
            self._pending.labels(queue.kind).set(queue.pending)
            self._oldest.labels(queue.kind).set(max(waited, 0.0))

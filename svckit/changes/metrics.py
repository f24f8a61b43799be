"""Metrics of a change log: its revision, its readers, and how far its cursors are behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from svckit.change import K, LogState
    from svckit.changes.feed import ChangeFeed
    from svckit.changes.store import ChangeStore
    from svckit.metrics import Metrics

LOOK_EVERY_SECONDS = 15.0
"""How often `look` should be called."""


@dataclass(frozen=True, slots=True)
class _Lag:
    cursor: str
    revisions: int
    seconds: float


class ChangeMetrics(Collector):
    """The metrics, as of the last look. Cursors come and go, so their series do too."""

    def __init__(
        self, metrics: Metrics, store: ChangeStore[K], feed: ChangeFeed[K], now: Callable[[], datetime]
    ) -> None:
        """Registers the metrics.

        Args:
            metrics: those of the process.
            store: the log.
            feed: its readers.
            now: the present time.
        """
        self._service = metrics.service
        self._store = store
        self._count_readers: Callable[[], int] = lambda: feed.readers
        self._now = now
        self._state: LogState | None = None
        self._lags: list[_Lag] = []
        metrics.registry.register(self)

    async def look(self) -> None:
        """Reads the log and its cursors.

        Raises:
            DomainError: UNAVAILABLE.
        """
        state = await self._store.state()
        lags: list[_Lag] = []
        for cursor in await self._store.cursors():
            behind = state.lag(cursor.position)
            unread = await self._store.time_of(cursor.position.revision + 1) if behind else None
            seconds = 0.0 if unread is None else max(0.0, (self._now() - unread).total_seconds())
            lags.append(_Lag(cursor.name, behind, seconds))
        self._state, self._lags = state, lags

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics for Prometheus."""
        labels = ("service",)
        yield self._gauge("change_log_streams", "Streams that follow the change log", self._count_readers())
        if self._state is None:
            return
        yield self._gauge("change_log_revision", "The newest revision of the change log", self._state.newest)
        yield self._gauge(
            "change_log_compacted_revision", "The changes up to this revision are deleted", self._state.compacted_to
        )
        revisions = GaugeMetricFamily(
            "change_cursor_lag_revisions",
            "Changes that the holder of a cursor has not read",
            labels=(*labels, "cursor"),
        )
        seconds = GaugeMetricFamily(
            "change_cursor_lag_seconds",
            "Age of the oldest change that the holder of a cursor has not read",
            labels=(*labels, "cursor"),
        )
        for lag in self._lags:
            revisions.add_metric((self._service, lag.cursor), lag.revisions)
            seconds.add_metric((self._service, lag.cursor), lag.seconds)
        yield revisions
        yield seconds

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=("service",))
        family.add_metric((self._service,), value)
        return family

"""Counts of what has ended, and how long it took."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric


class Shown(NamedTuple):
    """A metric: its name and its help."""

    name: str
    text: str


class _Series:
    """What has ended with the same labels."""

    __slots__ = ("by_code", "by_seconds", "seconds")

    def __init__(self, bounds: int) -> None:
        self.by_code: dict[str, int] = {}
        # One more than there are bounds: what took longer than the last of them.
        self.by_seconds = [0] * (bounds + 1)
        self.seconds = 0.0


class Tally(Collector):
    """A counter by labels and code, and a histogram of seconds by labels, which count together.

    They are plain numbers, and become Prometheus's metrics when these are read. That takes a third of the time of a
    `Counter` and a `Histogram`, which have a lock for each number. So only one thread may call `observe`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        count: Shown,
        duration: Shown,
        labels: Sequence[str],
        seconds_buckets: Sequence[float],
    ) -> None:
        """Adds both metrics to a registry.

        Args:
            registry: the registry.
            count: the counter. It has one label more than the histogram: `code`.
            duration: the histogram.
            labels: the labels of both.
            seconds_buckets: the upper bounds of the histogram's buckets, in their order, without infinity.
        """
        self._count = count
        self._duration = duration
        self._labels = tuple(labels)
        self._bounds = tuple(seconds_buckets)
        self._names = (*map(floatToGoString, self._bounds), "+Inf")
        self._series: dict[tuple[str, ...], _Series] = {}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], code: str, seconds: float, times: int = 1) -> None:
        """Counts.

        Args:
            labels: the values of the labels.
            code: how it has ended.
            seconds: how long it took.
            times: how many have ended so.
        """
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(len(self._bounds))
        series.by_code[code] = series.by_code.get(code, 0) + times
        series.by_seconds[bisect_left(self._bounds, seconds)] += times
        series.seconds += seconds * times

    def collect(self) -> Iterable[Metric]:
        """Both metrics, as they are now."""
        count = CounterMetricFamily(*self._count, labels=(*self._labels, "code"))
        duration = HistogramMetricFamily(*self._duration, labels=self._labels)
        # Copies, because another thread may read the metrics.
        for labels, series in self._series.copy().items():
            for code, times in series.by_code.copy().items():
                count.add_metric((*labels, code), times)
            buckets = list(zip(self._names, accumulate(series.by_seconds), strict=True))
            duration.add_metric(labels, buckets, series.seconds)
        return (count, duration)

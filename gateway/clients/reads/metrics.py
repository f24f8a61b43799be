"""The metrics of gathered reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from svckit.metrics import labelled_counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

KINDS = ("manifests", "blobs")
FAILED = "failed"
"""The reason of a read that is sent alone because its batch has failed as a whole."""

_MEMBERS_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
_SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class BatchMetrics:
    """The batches of one kind of read.

    Attributes:
        overtaken: counts batches that the next one did not wait for.
    """

    def __init__(self, members: Histogram, seconds: Histogram, overtaken: Counter) -> None:
        """Takes the metrics of this kind."""
        self.overtaken = overtaken
        self._members = members
        self._seconds = seconds

    def observe(self, members: int, seconds: float) -> None:
        """Counts a batch that has ended."""
        self._members.observe(members)
        self._seconds.observe(seconds)


class ReadMetrics:
    """All metrics of gathered reads.

    Attributes:
        cache_hits: counts pulls of manifests whose bytes were here already.
        cache_misses: counts the others.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Adds its metrics to a registry."""
        kind = ("kind",)
        members = Histogram(
            "gateway_read_batch_members",
            "Reads in one RPC to metasvc",
            kind,
            buckets=_MEMBERS_BUCKETS,
            registry=registry,
        )
        seconds = Histogram(
            "gateway_read_batch_seconds",
            "Seconds from sending a batch of reads to its answer",
            kind,
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        overtaken = Counter(
            "gateway_read_batches_overtaken",
            "Batches of reads that were too old for the next one to wait for them",
            kind,
            registry=registry,
        )
        self.batches = {
            name: BatchMetrics(members.labels(name), seconds.labels(name), overtaken.labels(name)) for name in KINDS
        }
        self._alone = Counter(
            "gateway_reads_alone",
            "Reads that were sent again by an RPC of their own, by the reason",
            ("kind", "reason"),
            registry=registry,
        )
        cache = labelled_counter(
            "gateway_manifest_cache_reads",
            "Pulls of manifests, by whether the gateway held the bytes",
            "result",
            ("hit", "miss"),
            registry,
        )
        self.cache_hits, self.cache_misses = cache.labels("hit"), cache.labels("miss")
        self._cache_bytes = Gauge(
            "gateway_manifest_cache_bytes", "Bytes of manifests that the gateway holds", registry=registry
        )

    def sent_alone(self, kind: str, reason: str) -> None:
        """Counts a read that could not be answered in a batch."""
        self._alone.labels(kind, reason).inc()

    def watch_cache(self, held_bytes: Callable[[], int]) -> None:
        """Shows how much the cache holds. The function is called whenever the metrics are read."""
        self._cache_bytes.set_function(held_bytes)

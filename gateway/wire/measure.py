"""The metrics of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from svckit.metrics import labelled_counter
from svckit.tally import Shown, Tally

_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
_PLACEMENTS = ("file", "stream")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """Counts requests by route, never by path, so that the number of time series stays small.

    Attributes:
        blob_sent_bytes: bytes of blobs sent to clients, by placement: "file" or "stream".
        blob_received_bytes: bytes of blobs received from clients, likewise.
        blob_placements: files of blobs that were used: "kept" if it was known where they are, "named" if blobsvc was
            asked.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Adds its metrics to a registry."""
        labels = ("route", "method")
        self._requests = Tally(
            registry,
            Shown("http_requests", "HTTP requests, by status; 499: the client disconnected"),
            Shown("http_request_seconds", "Seconds from the head of a request to the end of its answer"),
            labels,
            _SECONDS_BUCKETS,
        )
        self._received = Counter("http_received_bytes", "Bytes of request bodies", labels, registry=registry)
        self._sent = Counter("http_sent_bytes", "Bytes of response bodies", labels, registry=registry)
        self.blob_sent_bytes = labelled_counter(
            "http_blob_sent_bytes", "Bytes of blobs sent, by where they came from", "placement", _PLACEMENTS, registry
        )
        self.blob_received_bytes = labelled_counter(
            "http_blob_received_bytes",
            "Bytes of blobs received, by the way they went",
            "placement",
            _PLACEMENTS,
            registry,
        )
        self.blob_placements = labelled_counter(
            "http_blob_placements",
            "Files of blobs that were sent or looked at, by whether their placement was kept or blobsvc named it",
            "source",
            ("kept", "named"),
            registry,
        )
        # Children are kept, because finding one by its labels costs more than counting.
        self._bytes: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        self.in_flight = Gauge("http_requests_in_flight", "HTTP requests that are being served", registry=registry)
        self._places = Gauge("http_places_taken", "Places that are taken, by kind", ("kind",), registry=registry)
        self._memory = Gauge("http_body_memory_bytes", "Memory that bodies held as a whole use", registry=registry)
        self._refused = Counter(
            "http_places_refused",
            "Requests refused and connections closed because a share was taken, by kind and by the share",
            ("kind", "reason"),
            registry=registry,
        )

    def watch(self, places: Mapping[str, Callable[[], int]], memory: Callable[[], int]) -> None:
        """Shows what is taken. The functions are called whenever the metrics are read."""
        for kind, count in places.items():
            self._places.labels(kind).set_function(count)
        self._memory.set_function(memory)

    def refused(self, kind: str, reason: str) -> None:
        """Counts a refusal."""
        self._refused.labels(kind, reason).inc()

    def observe(
        self, route: str, method: str, status: int, seconds: float, received_bytes: int, sent_bytes: int
    ) -> None:
        """Counts one finished request."""
        # A client may send any word as a method, so unknown ones share one series.
        labels = (route, method if method in _METHODS else "other")
        self._requests.observe(labels, str(status), seconds)
        children = self._bytes.get(labels)
        if children is None:
            children = self._bytes[labels] = (self._received.labels(*labels), self._sent.labels(*labels))
        received, sent = children
        if received_bytes:
            received.inc(received_bytes)
        if sent_bytes:
            sent.inc(sent_bytes)

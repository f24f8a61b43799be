"""Prometheus metrics of one process. Each has its own registry, so that tests and services do not share metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from svckit.logging import lost_lines
from svckit.tally import Shown, Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of the text of `Metrics.render`."""

# In seconds. A call inside one machine takes half a millisecond, and one that hashes a layer takes a minute.
RPC_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def labelled_counter(name: str, text: str, label: str, values: Iterable[str], registry: CollectorRegistry) -> Counter:
    """A counter with one label. Each value starts at 0: otherwise a rate would miss the first event."""
    counter = Counter(name, text, (label,), registry=registry)
    for value in values:
        counter.labels(value)
    return counter


class _LostLines(Collector):
    """The count of log lines that were dropped. The log keeps it, because it is there before any metrics."""

    def __init__(self, service: str) -> None:
        self._service = service

    def collect(self) -> Iterable[CounterMetricFamily]:
        text = "Log lines that were dropped because standard error was read too slowly"
        family = CounterMetricFamily("log_lines_lost", text, labels=("service",))
        family.add_metric((self._service,), lost_lines())
        return [family]


class Metrics:
    """The metrics of one process. Services add their own metrics to `registry`.

    Attributes:
        service: the value of the label `service`.
        registry: has all metrics that `render` shows.
    """

    def __init__(self, service: str) -> None:
        """Makes the registry, with the metrics of the process and of its RPCs."""
        self.service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._handled = Tally(
            self.registry,
            Shown("rpc_server_handled", "RPCs that the server has finished, by gRPC code"),
            Shown("rpc_server_handling_seconds", "Seconds from the start of an RPC to its end, streams included"),
            ("service", "method"),
            RPC_SECONDS_BUCKETS,
        )
        self._in_flight = Gauge(
            "rpc_server_in_flight",
            "RPCs that are being served, long streams aside",
            ("service",),
            registry=self.registry,
        )
        self._long_streams = Gauge(
            "rpc_server_long_streams", "Long streams that are open", ("service",), registry=self.registry
        )
        self._streams = Gauge(
            "rpc_server_streams", "Uploads, downloads and other streams", ("service",), registry=self.registry
        )
        self._places_refused = Counter(
            "rpc_server_places_refused",
            "Calls refused because a share was taken, by what they wanted a place for and by the share",
            ("service", "kind", "reason"),
            registry=self.registry,
        )
        self.registry.register(_LostLines(service))

    def observe_rpc(self, method: str, code: str, seconds: float, times: int = 1) -> None:
        """Counts finished RPCs. Only one thread may do that.

        Args:
            method: the name in gRPC, "/roadstead.meta.v1.TagService/ListTags". Only registered methods are allowed:
                callers may send any other name, and the number of time series would grow without limit.
            code: the name of its gRPC code, such as "OK".
            seconds: how long it took.
            times: how many have ended so.
        """
        self._handled.observe((self.service, method), code, seconds, times)

    def watch_rpcs(
        self, *, in_flight: Callable[[], int], long_streams: Callable[[], int], streams: Callable[[], int]
    ) -> None:
        """Shows the counts of the server of this process. They are read whenever the metrics are read."""
        self._in_flight.labels(self.service).set_function(in_flight)
        self._long_streams.labels(self.service).set_function(long_streams)
        self._streams.labels(self.service).set_function(streams)

    def refused_place(self, kind: str, reason: str) -> None:
        """Counts a refusal."""
        self._places_refused.labels(self.service, kind, reason).inc()

    def render(self) -> bytes:
        """All metrics, in Prometheus's text format."""
        return generate_latest(self.registry)

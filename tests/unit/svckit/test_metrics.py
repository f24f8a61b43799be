from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from svckit.metrics import CONTENT_TYPE, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_finished_rpcs_are_counted_by_method_and_code() -> None:
    metrics = Metrics("metasvc")
    for code in ("OK", "OK", "NOT_FOUND"):
        metrics.observe_rpc("/m.S/Get", code, 0.02)
    shown = samples(metrics)
    labels = {"service": "metasvc", "method": "/m.S/Get"}
    assert shown["rpc_server_handled_total", tuple(sorted((labels | {"code": "OK"}).items()))] == 2
    assert shown["rpc_server_handled_total", tuple(sorted((labels | {"code": "NOT_FOUND"}).items()))] == 1
    assert shown["rpc_server_handling_seconds_count", tuple(sorted(labels.items()))] == 3
    assert shown["rpc_server_handling_seconds_bucket", tuple(sorted((labels | {"le": "0.01"}).items()))] == 0
    assert shown["rpc_server_handling_seconds_bucket", tuple(sorted((labels | {"le": "0.025"}).items()))] == 3


def test_what_a_server_counts_is_shown_as_it_is_when_somebody_looks() -> None:
    metrics = Metrics("metasvc")
    service = (("service", "metasvc"),)
    counts = {"in_flight": 1, "long_streams": 2}
    metrics.watch_rpcs(
        in_flight=lambda: counts["in_flight"], long_streams=lambda: counts["long_streams"], streams=lambda: 5
    )
    for in_flight, long_streams in ((1, 2), (0, 3)):
        counts.update(in_flight=in_flight, long_streams=long_streams)
        shown = samples(metrics)
        assert shown["rpc_server_in_flight", service] == in_flight
        assert shown["rpc_server_long_streams", service] == long_streams
        assert shown["rpc_server_streams", service] == 5


def test_the_process_is_shown() -> None:
    shown = {name for name, _ in samples(Metrics("gateway"))}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"} <= shown


def test_two_in_one_process_do_not_mix() -> None:
    one, two = Metrics("metasvc"), Metrics("metasvc")
    one.observe_rpc("/m.S/Get", "OK", 1)
    assert not any(name.startswith("rpc_server_handled") for name, _ in samples(two))


def test_a_service_adds_its_own() -> None:
    metrics = Metrics("blobsvc")
    Counter("uploads", "Uploads begun", registry=metrics.registry).inc()
    assert samples(metrics)["uploads_total", ()] == 1
    assert CONTENT_TYPE.startswith("text/plain")

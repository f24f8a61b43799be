"""A tally shows what Prometheus's own counter and histogram would show."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import REGISTRY

from svckit.tally import Shown, Tally

BOUNDS = (0.001, 0.01, 1.0, 60.0)
COUNT, DURATION = Shown("calls", "Calls that have ended"), Shown("call_seconds", "How long they took")


def tallied(registry: CollectorRegistry) -> Tally:
    return Tally(registry, COUNT, DURATION, ("service", "method"), BOUNDS)


def text_of(registry: CollectorRegistry) -> list[str]:
    """The lines, apart from when Prometheus's own metrics were made."""
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


@pytest.mark.parametrize("seed", range(20))
def test_the_text_is_that_of_a_counter_and_a_histogram(seed: int) -> None:
    mine, theirs = CollectorRegistry(), CollectorRegistry()
    tally = tallied(mine)
    counter = Counter(*COUNT, ("service", "method", "code"), registry=theirs)
    histogram = Histogram(*DURATION, ("service", "method"), buckets=BOUNDS, registry=theirs)
    drawn = random.Random(seed)

    for _ in range(200):
        labels = (drawn.choice(["metasvc", 'a "b"\\']), drawn.choice(["/m.S/Get", "/m.S/Put"]))
        code = drawn.choice(["OK", "NOT_FOUND"])
        # The bounds themselves belong to their buckets. Sums of these are exact.
        seconds, times = drawn.choice([0.0, *BOUNDS, 0.5, 2.0, 64.0, 4096.0]), drawn.randrange(1, 4)
        tally.observe(labels, code, seconds, times)
        for _ in range(times):
            counter.labels(*labels, code).inc()
            histogram.labels(*labels).observe(seconds)

    strip = [line.rsplit(" ", 1) for line in text_of(mine)]
    expected = [line.rsplit(" ", 1) for line in text_of(theirs)]
    assert [name for name, _ in strip] == [name for name, _ in expected]
    for (name, value), (_, wanted) in zip(strip, expected, strict=True):
        if not name.startswith("#"):
            assert float(value) == pytest.approx(float(wanted), rel=1e-12), name


def test_each_look_shows_what_was_counted_until_then() -> None:
    registry = CollectorRegistry()
    tally = tallied(registry)
    labels = {"service": "metasvc", "method": "/m.S/Get", "code": "OK"}
    assert registry.get_sample_value("calls_total", labels) is None
    for number in range(1, 4):
        tally.observe(("metasvc", "/m.S/Get"), "OK", 0.5)
        assert registry.get_sample_value("calls_total", labels) == number


def test_only_its_own_registry_has_it() -> None:
    registry = CollectorRegistry()
    tallied(registry).observe(("metasvc", "/m.S/Get"), "OK", 0.5)
    labels = {"service": "metasvc", "method": "/m.S/Get", "code": "OK"}
    assert REGISTRY.get_sample_value("calls_total", labels) is None

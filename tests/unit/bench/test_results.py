from dataclasses import astuple

import pytest

from bench.results.ratios import Ratio, median_client_cpu, median_cpu, median_parts, median_value, ratio
from bench.results.result import RowResult
from bench.results.sample import Measured, Sample


def _measured(value: float, **options: object) -> Measured:
    work = float(str(options.pop("work", 1.0)))
    client = options.pop("client", None)
    sample = Sample(value, work, None if client is None else float(str(client)))
    return Measured(sample, {name: float(str(seconds)) for name, seconds in options.items()}, load_before=0.5)


def _row(rounds: list[dict[str, Measured]], *, lower_is_better: bool = False) -> RowResult:
    return RowResult("kind", "a row", "req/s", "request", lower_is_better, rounds)


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    # Medians of the values: 20 and 40, so 0.5. Ratios of the rounds: 0.1, 0.8, 0.9.
    pairs = [(10.0, 100.0), (32.0, 40.0), (20.0, 20.0 / 0.9)]

    assert astuple(ratio(pairs, lower_is_better=False)) == pytest.approx((0.8, 0.1, 0.9))


def test_less_seconds_than_the_peer_are_a_ratio_above_one() -> None:
    assert ratio([(2.0, 3.0)], lower_is_better=True).median == pytest.approx(1.5)


def test_rounds_that_lack_a_registry_have_no_ratio() -> None:
    alone = _row([{"roadstead": _measured(3.0)}])

    assert alone.ratio("roadstead", "distribution") is None
    assert [one.sample.value for one in alone.of("roadstead")] == [3.0]
    assert alone.of("distribution") == []


def test_a_row_compares_the_samples_of_the_same_round() -> None:
    rounds = [
        {"roadstead": _measured(1.0), "distribution": _measured(2.0)},
        {"distribution": _measured(4.0), "roadstead": _measured(1.0)},
    ]

    assert _row(rounds).ratio("roadstead", "distribution") == Ratio(0.375, 0.25, 0.5)
    assert _row(rounds, lower_is_better=True).ratio("roadstead", "distribution") == Ratio(3.0, 2.0, 4.0)


def test_cpu_time_is_counted_for_each_unit_of_work_and_each_process() -> None:
    rounds = [
        _measured(1.0, work=10, gateway=1.0),
        _measured(2.0, work=20, gateway=6.0, metasvc=2.0),
        _measured(4.0, work=10, gateway=2.0, metasvc=2.0),
    ]

    assert median_cpu(rounds) == {"gateway": pytest.approx(0.2), "metasvc": pytest.approx(0.1)}
    assert median_value(rounds) == 2.0


def test_the_client_counts_only_where_it_is_known() -> None:
    assert median_client_cpu([_measured(1.0), _measured(1.0, work=4, client=2.0)]) == 0.5
    assert median_client_cpu([_measured(1.0)]) is None


def test_parts_have_medians_of_their_own() -> None:
    rounds = [Measured(Sample(3.0, parts={"gateway": size}), {}, 0.0) for size in (5.0, 1.0, 2.0)]

    assert median_parts(rounds) == {"gateway": 2.0}

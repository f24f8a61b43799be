"""Medians over the rounds, and the ratio of Roadstead to the peer."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.results.sample import Measured


@dataclass(frozen=True)
class Ratio:
    """How Roadstead compares with the peer: above 1 it is better, whatever the unit of the row.

    Attributes:
        median: of the ratios of the rounds. It is not the ratio of the medians: the two samples of one round ran one
            after the other, so they had the same machine.
        lowest: the worst round.
        highest: the best round.
    """

    median: float
    lowest: float
    highest: float


def ratio(pairs: Iterable[tuple[float, float]], *, lower_is_better: bool) -> Ratio:
    """The ratio of pairs of values: ours, and the peer's of the same round."""
    each = [theirs / ours if lower_is_better else ours / theirs for ours, theirs in pairs]
    return Ratio(statistics.median(each), min(each), max(each))


def median_value(measured: Sequence[Measured]) -> float:
    """The median of the values of all rounds."""
    return statistics.median(one.sample.value for one in measured)


def median_cpu(measured: Sequence[Measured]) -> dict[str, float]:
    """Seconds of CPU time of each process for one unit of work: for each process, the median of the rounds."""
    return _medians([one.cpu_per_work for one in measured])


def median_client_cpu(measured: Sequence[Measured]) -> float | None:
    """The same of the client; None if it is not known."""
    known = [
        one.sample.client_cpu_seconds / one.sample.work for one in measured if one.sample.client_cpu_seconds is not None
    ]
    return statistics.median(known) if known else None


def median_parts(measured: Sequence[Measured]) -> dict[str, float]:
    """The medians of the parts of the values."""
    return _medians([one.sample.parts for one in measured])


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    # A process that did not run in one round used nothing in it.
    names = {name: None for one in rounds for name in one}
    return {name: statistics.median(one.get(name, 0.0) for one in rounds) for name in names}

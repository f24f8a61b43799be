"""All rounds of one row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.results.ratios import Ratio, ratio
from bench.results.sample import Measured

Rounds = Sequence[Mapping[str, Measured]]
"""For each round, the measurement of each registry by its name."""


@dataclass(frozen=True)
class RowResult:
    """One row of the report.

    Attributes:
        kind: of the row; so are the next four.
        name: in the report.
        unit: of the values.
        work_unit: what CPU time is counted by; empty for none.
        lower_is_better: whether the values are seconds or sizes.
        rounds: what was measured; empty if the row was left out.
        left_out: why it was left out, such as a program that is missing; empty if it was not.
    """

    kind: str
    name: str
    unit: str
    work_unit: str
    lower_is_better: bool
    rounds: Rounds
    left_out: str = ""

    def of(self, registry: str) -> Sequence[Measured]:
        """The measurements of one registry; none if it was not measured."""
        return [one[registry] for one in self.rounds if registry in one]

    def ratio(self, ours: str, theirs: str) -> Ratio | None:
        """How ours compares with theirs; None if one of them was not measured."""
        pairs = [
            (one[ours].sample.value, one[theirs].sample.value) for one in self.rounds if {ours, theirs} <= one.keys()
        ]
        return ratio(pairs, lower_is_better=self.lower_is_better) if pairs else None

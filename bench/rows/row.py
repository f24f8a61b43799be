"""What a row of the report is."""

from abc import ABC, abstractmethod

from bench.registries.registry import Registry
from bench.results.sample import Sample


class Row(ABC):
    """One thing that is measured on both registries.

    Attributes:
        kind: the word by which it is chosen, shared with rows like it.
        name: in the report, different for each row.
        unit: of its values.
        work_unit: what CPU time is counted by; empty if CPU time says nothing.
        lower_is_better: whether its values are seconds or sizes, not rates.
    """

    kind: str
    name: str
    unit: str
    work_unit: str = "request"
    lower_is_better: bool = False

    def prepare(self, registry: Registry) -> None:
        """Stores in a registry what `run` needs, and warms it up. Called once for each registry, unmeasured.

        Raises:
            MissingError: the row needs what is not on this machine.
        """
        return

    @abstractmethod
    def run(self, registry: Registry) -> Sample:
        """Measures once."""

    def close(self) -> None:
        """Stops what the row has started. Called after the last round, also if the row was left out."""
        return

"""What one round of a row has measured on one registry."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Attributes:
        value: in the unit of the row.
        work: how much was done, in the unit by which the row counts CPU time: requests, or GiB.
        client_cpu_seconds: CPU time of the client; None where it is not known.
        p50_ms: the median milliseconds of a request; None where that says nothing.
        p99_ms: the 99th percentile.
        parts: parts of the value by name, such as the memory of each process.
    """

    value: float
    work: float = 1.0
    client_cpu_seconds: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A sample, with what the registry's processes used for it.

    Attributes:
        sample: what the row measured.
        cpu_seconds: of each process, by name.
        load_before: the load average of the last minute when it began: other work on the machine spoils a sample.
    """

    sample: Sample
    cpu_seconds: Mapping[str, float]
    load_before: float

    @property
    def cpu_per_work(self) -> dict[str, float]:
        """Seconds of CPU time of each process for one unit of work."""
        return {name: seconds / self.sample.work for name, seconds in self.cpu_seconds.items()}

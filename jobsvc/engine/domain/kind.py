"""The kinds of jobs, as the engine sees them: how often they are tried, how many run at once, what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from svckit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Parameters = Mapping[str, object]

SCHEDULER = "SCHEDULER"
"""The name of the queue of all schedules. It holds no tasks. Its pause is that of all schedules."""

USUAL_PRIORITY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a task waits after a failure: longer after each one.

    Attributes:
        first_seconds: after the first failure.
        factor: by how much longer after each further one.
        longest_seconds: the longest wait.
    """

    first_seconds: float = 10.0
    factor: float = 3.0
    longest_seconds: float = 3600.0

    def after(self, failures: int) -> float:
        """The seconds to wait after this many failures."""
        # The exponent has a limit, because a float cannot hold every power.
        return float(min(self.longest_seconds, self.first_seconds * self.factor ** min(failures - 1, 100)))


def no_parameters(parameters: Parameters) -> Parameters:
    """Checks the parameters of a kind that has none.

    Raises:
        DomainError: BAD_REQUEST, there are some.
    """
    for name in parameters:
        raise Invalid.of_field("parameters", f"must be empty for this kind, but has {name!a}")
    return parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of job. Each capability declares its own in its `domain.py`.

    Attributes:
        name: Harbor's vendor type, in capitals. It is also the name of the queue.
        maximum_failures: after this many failed runs a task ends in Error.
        backoff: how long a task waits after a failed run.
        concurrency: how many of its tasks run at once in the whole installation; None for any number.
        priority: of its tasks; those with the smallest number go first.
        lease_seconds: how long a worker may be silent before another one gets its task; None for the setting.
        kept_executions: how many ended executions the sweep keeps for each object.
        default_schedule: a cron expression with six fields; empty for none. It counts until somebody changes it.
        vendor_id: of executions that are started by hand and by the default schedule.
        may_be_started: whether administrators may start it by hand, by its name.
        check_parameters: checks the parameters of an execution that is started by hand, and returns them with defaults.
            Raises BAD_REQUEST.
    """

    name: str
    maximum_failures: int = 1
    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int | None = None
    priority: int = USUAL_PRIORITY
    lease_seconds: float | None = None
    kept_executions: int = 50
    default_schedule: str = ""
    vendor_id: int = 0
    may_be_started: bool = False
    check_parameters: Callable[[Parameters], Parameters] = no_parameters


class Kinds:
    """All kinds that this program knows."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        """Takes the kinds.

        Raises:
            ValueError: two have one name, or one has the name of the scheduler.
        """
        self._by_name = {kind.name: kind for kind in kinds}
        if len(self._by_name) < len(kinds) or SCHEDULER in self._by_name:
            raise ValueError("each kind has a name of its own")

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all kinds, sorted."""
        return tuple(sorted(self._by_name))

    def get(self, name: str) -> Kind | None:
        """The kind with this name; None if there is none, because another version of the program has made its rows."""
        return self._by_name.get(name)

    def named(self, name: str, field: str) -> Kind:
        """The kind with this name, in upper or lower case.

        Raises:
            DomainError: BAD_REQUEST for the field, there is none.
        """
        kind = self._by_name.get(name.upper())
        if kind is None:
            raise Invalid.of_field(field, f"must be one of {', '.join(self.names)}, not {name!a}")
        return kind

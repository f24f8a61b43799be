"""What the engine knows of a kind."""

import pytest

from jobsvc.engine.domain.kind import SCHEDULER, Backoff, Kind, Kinds, no_parameters
from svckit.errors import Invalid


def test_a_task_waits_longer_after_each_failure_and_not_for_ever() -> None:
    backoff = Backoff(first_seconds=10, factor=3, longest_seconds=200)

    assert [backoff.after(failures) for failures in (1, 2, 3, 4, 10_000)] == [10, 30, 90, 200, 200]


def test_a_kind_is_found_in_upper_and_lower_case() -> None:
    kinds = Kinds([Kind(name="SWEEP"), Kind(name="COUNT")])

    assert kinds.named("sweep", "kind").name == "SWEEP"
    assert kinds.names == ("COUNT", "SWEEP")
    with pytest.raises(Invalid, match="kind must be one of COUNT, SWEEP, not 'other'"):
        kinds.named("other", "kind")


@pytest.mark.parametrize("names", [("SWEEP", "SWEEP"), (SCHEDULER,)])
def test_each_kind_has_a_name_of_its_own(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name of its own"):
        Kinds([Kind(name=name) for name in names])


def test_parameters_that_a_kind_does_not_know_are_refused() -> None:
    assert no_parameters({}) == {}
    with pytest.raises(Invalid, match="dry_run"):
        no_parameters({"dry_run": True})

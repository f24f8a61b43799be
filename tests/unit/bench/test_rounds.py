from collections.abc import Iterable, Mapping, Sequence

import pytest

from bench.machine.programs import MissingError
from bench.registries.registry import Registry
from bench.registries.tokens import TokenService
from bench.results.sample import Sample
from bench.rounds import measure_all
from bench.rows.row import Row
from tests.harness.images import Image


class _Named(Registry):
    """A registry without processes: rows of these tests ask for nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.host = name

    @property
    def tokens(self) -> TokenService:
        raise NotImplementedError

    def processes(self) -> Mapping[int, str]:
        return {}

    def add_tags(self, repository: str, image: Image, tags: Sequence[str]) -> None:
        raise NotImplementedError

    def remove_blobs(self, digests: Iterable[str]) -> None:
        raise NotImplementedError


class _Recorded(Row):
    """Notes what is called."""

    kind = name = "recorded"
    unit = "s"

    def __init__(self, *, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._error = error

    def prepare(self, registry: Registry) -> None:
        self.calls.append(f"prepare {registry.name}")
        if self._error is not None:
            raise self._error

    def run(self, registry: Registry) -> Sample:
        self.calls.append(registry.name)
        return Sample(float(len(self.calls)))

    def close(self) -> None:
        self.calls.append("close")


_BOTH = [_Named("ours"), _Named("theirs")]


def test_every_second_round_begins_with_the_other_registry() -> None:
    row = _Recorded()

    (result,) = measure_all([row], _BOTH, 3, lambda _text: None)

    turns = ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert row.calls == ["prepare ours", "prepare theirs", *turns, "close"]
    assert [one["ours"].sample.value for one in result.rounds] == [3.0, 6.0, 7.0]


def test_a_row_whose_program_is_missing_is_left_out_and_the_next_one_is_measured() -> None:
    lacking, whole = _Recorded(error=MissingError("no ctr here")), _Recorded()

    left_out, measured = measure_all([lacking, whole], _BOTH, 1, lambda _text: None)

    assert left_out.left_out == "no ctr here"
    assert not left_out.rounds
    assert lacking.calls == ["prepare ours", "close"]
    assert len(measured.rounds) == 1


def test_a_row_that_fails_is_closed_and_its_error_goes_on() -> None:
    row = _Recorded(error=AssertionError("another answer"))

    with pytest.raises(AssertionError, match="another answer"):
        list(measure_all([row], _BOTH, 1, lambda _text: None))

    assert row.calls[-1] == "close"

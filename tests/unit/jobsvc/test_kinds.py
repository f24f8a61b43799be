"""Each kind has all that docs/jobs.md asks of one."""

from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from jobsvc.engine.domain.cron import next_times
from jobsvc.engine.domain.kind import Kind
from jobsvc.kinds import KINDS
from jobsvc.worker import HANDLED

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
kinds = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])


def folder_of(kind: Kind) -> Path:
    return ROOT / "jobsvc" / kind.name.lower()


@kinds
def test_it_has_a_folder_with_its_rooms_and_a_handler(kind: Kind) -> None:
    assert {path.name for path in folder_of(kind).glob("*.py")} >= {"__init__.py", "domain.py", "handler.py"}
    assert import_module(f"jobsvc.{folder_of(kind).name}.domain").KIND is kind
    assert kind.name in HANDLED


@kinds
def test_the_page_has_a_row_for_it(kind: Kind) -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind.name}` |")]
    _, _, _, when, tried, at_once, _ = (cell.strip() for cell in row.split("|"))
    assert (int(tried), int(at_once)) == (kind.maximum_failures, kind.concurrency)
    assert ("by hand" in when) == kind.may_be_started


@kinds
def test_its_schedule_and_its_defaults_are_valid(kind: Kind) -> None:
    if kind.default_schedule:
        assert next_times(kind.default_schedule, datetime.now(UTC), 2)
    assert kind.check_parameters(kind.check_parameters({})) == kind.check_parameters({})


@kinds
def test_its_handler_is_tested(kind: Kind) -> None:
    tests = ROOT / "tests" / "unit" / "jobsvc"
    name = kind.name.lower()
    assert (tests / name / "test_handler.py").exists() or (tests / f"test_{name}.py").exists()


def test_there_is_no_folder_without_a_kind() -> None:
    folders = {path.parent.name for path in (ROOT / "jobsvc").glob("*/domain.py")}
    assert folders == {kind.name.lower() for kind in KINDS}

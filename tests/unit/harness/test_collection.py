"""Every process that runs the tests collects the same ones, in the same order. Otherwise pytest-xdist runs none.

What differs between processes must not be in the id of a test: the order of a set, a random value, the time.
"""

import os
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def collected(tests: Path, hash_seed: int) -> list[str]:
    """The ids of all tests of a folder, as a process of its own collects them. Sets have the order of this seed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Nothing runs, so no asserts are rewritten: that takes more than half of the time.
    options = ["--collect-only", "-q", "-m", "", "--assert=plain", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tests)],
        cwd=tests.parent,
        env={**ours, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    return [line for line in result.stdout.splitlines() if "::" in line]


def different(tests: Path) -> list[tuple[str, str]]:
    """The ids that two processes collect at the same place, where they differ."""
    # One after the other, so that values that are made of the time differ.
    one, other = collected(tests, 1), collected(tests, 2)
    assert one
    return [pair for pair in zip_longest(one, other, fillvalue="") if pair[0] != pair[1]]


def test_what_differs_between_processes_is_seen(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    tests = tmp_path / "tests"
    tests.mkdir()
    values = {
        "set": "{'a', 'b', 'c', 'd', 'e', 'f'}",
        "random": "[os.urandom(8).hex()]",
        "time": "[str(time.time_ns())]",
    }
    (tests / "test_it.py").write_text(
        "import os, time, pytest\n"
        + "".join(
            f"@pytest.mark.parametrize('it', {value})\ndef test_{name}(it): ...\n" for name, value in values.items()
        )
    )
    assert {one.partition("test_it.py::test_")[2].partition("[")[0] for one, _ in different(tests)} == set(values)


@pytest.mark.slow
def test_all_processes_collect_the_same_tests() -> None:
    assert different(ROOT / "tests") == []

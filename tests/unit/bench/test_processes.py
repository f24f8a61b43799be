import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.machine.processes import Stat, cpu_seconds, difference, resident_bytes, tree

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_SPIN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"


@contextmanager
def _running(code: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python that says a line when it has run the code, and then waits for its input to end."""
    program = f"{code}\nprint(flush=True)\nimport sys\nsys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_a_stat_line_gives_parent_and_all_four_times() -> None:
    line = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 0 0 100 20 3 4 20 0 1 0 99 1000 5 18446744073709551615"

    stat = Stat.parse(line)

    assert stat.parent == 3
    assert stat.cpu_seconds == pytest.approx(127 * _TICK)


def test_a_tree_has_the_children_of_children() -> None:
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'])"
    with _running(code) as process:
        found = tree(process.pid)

        assert found[0] == process.pid
        assert len(found) == 2
        assert set(found) <= set(tree(os.getpid()))


def test_the_time_of_a_child_that_has_ended_counts_for_its_parent() -> None:
    with _running(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_SPIN!r}])") as process:
        assert cpu_seconds({process.pid: "parent"})["parent"] >= 0.2 - _TICK


def test_processes_of_one_name_are_added() -> None:
    with _running(_SPIN) as one, _running(_SPIN) as other:
        assert cpu_seconds({one.pid: "spinner", other.pid: "spinner"})["spinner"] >= 0.4 - 2 * _TICK
        alone = resident_bytes({one.pid: "spinner"})["spinner"]
        assert resident_bytes({one.pid: "spinner", other.pid: "spinner"})["spinner"] > 1.5 * alone


def test_a_process_that_has_ended_is_left_out() -> None:
    with _running("") as process:
        pass

    assert cpu_seconds({process.pid: "ended"}) == {}


def test_a_process_that_started_in_between_counts_from_zero() -> None:
    assert difference({"gateway": 1.0}, {"gateway": 3.5, "late": 0.5}) == {"gateway": 2.5, "late": 0.5}

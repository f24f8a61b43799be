"""An execution is shown as it goes: in plain lines without a terminal, with bars on one."""

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest

from ctl.admin.follow import described, follow, follow_log
from ctl.errors import CommandError

if TYPE_CHECKING:
    from ctl.admin.api import Api

NAMES = ("pending", "scheduled", "running", "success", "error", "stopped")


def execution(status: str = "Running", message: str = "", task: int = 1, **counts: int) -> dict[str, Any]:
    metrics = {"task_count": task} | {f"{name}_task_count": counts.get(name, 0) for name in NAMES}
    return {"id": 7, "vendor_type": "SWEEP", "status": status, "status_message": message, "metrics": metrics}


def task(task_id: int = 3, *, status: str = "Running", done: int = 0, total: int = 0, text: str = "") -> dict[str, Any]:
    progress = {"done": done, "total": total, "text": text}
    return {"id": task_id, "execution_id": 7, "status": status, "progress": progress}


class Answers:
    """An API that answers these, one after the other; then Ctrl-C."""

    def __init__(
        self, executions: Sequence[Any], running: Sequence[Any] = (), texts: Sequence[str] = (), *, failed: bool = False
    ) -> None:
        self._executions = iter(executions)
        self._running = list(running)
        self._failed = [{"status_message": "the disk is gone"}] if failed else []
        self._texts = iter(texts)

    def get(self, _: str) -> Any:
        try:
            return next(self._executions)
        except StopIteration:
            raise KeyboardInterrupt from None

    def rows(self, where: str, limit: int | None = None, **query: str) -> list[Any]:
        assert where == "/api/v2.0/executions/7/tasks"
        if query == {"q": "status=Error"}:
            return self._failed[:limit]
        assert (limit, query) == (5, {"q": "status=Running"})
        return self._running

    def text(self, _: str) -> str:
        return next(self._texts)


def api(*executions: Any, running: Sequence[Any] = (), texts: Sequence[str] = (), failed: bool = False) -> "Api":
    return cast("Api", Answers(executions, running, texts, failed=failed))


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("ctl.admin.follow.time.sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    ("shown", "running", "line"),
    [
        (execution(task=1, pending=1), [], "SWEEP 7: Running, waits"),
        (execution(task=1, scheduled=1), [], "SWEEP 7: Running, waits"),
        (execution(task=1, running=1), [task()], "SWEEP 7: Running"),
        (execution(task=1, running=1), [task(done=4, total=9, text="x")], "SWEEP 7: Running, 4 of 9 x"),
        (execution(task=1, running=1), [task(done=4)], "SWEEP 7: Running, 4"),
        (
            execution(task=9, running=2, success=3, error=1),
            [task(done=1, total=2), task(4, text="b\x1b[2J")],
            "SWEEP 7: Running, 4 of 9 tasks, 1 of 2, b\ufffd[2J",
        ),
        (execution(task=1, running=1), [{"id": 3}], "SWEEP 7: Running"),
    ],
)
def test_one_line_says_how_far_it_is(shown: Any, running: Any, line: str) -> None:
    assert described(shown, running) == line


def test_without_a_terminal_each_line_is_said_once(capsys: pytest.CaptureFixture[str], waits: list[float]) -> None:
    going = execution(task=1, running=1)
    end = execution("Success", task=1, success=1)
    assert follow(api(going, going, going, going, going, end, running=[task(done=1)]), 7) == end
    assert capsys.readouterr().err == "SWEEP 7: Running, 1\n"
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (execution("Error", "no\x07 space"), "the execution 7 has ended with Error: no\ufffd space"),
        (
            execution("Stopped"),
            "the execution 7 has ended with Stopped: `roadstead admin jobs log 7` says more",
        ),
    ],
)
def test_one_that_does_not_succeed_fails_the_command(ended: Any, said: str) -> None:
    with pytest.raises(CommandError) as caught:
        follow(api(ended), 7)
    assert (str(caught.value), caught.value.status) == (said, 1)


def test_the_message_of_the_task_that_failed_is_shown() -> None:
    with pytest.raises(CommandError, match="has ended with Error: the disk is gone"):
        follow(api(execution("Error"), failed=True), 7)


def test_ctrl_c_ends_the_command_and_not_the_execution() -> None:
    with pytest.raises(CommandError) as caught:
        follow(api(execution(task=1, running=1)), 7)
    assert str(caught.value) == "the execution 7 goes on; `roadstead admin jobs stop 7` stops it"
    assert caught.value.status == 130


def test_a_log_is_given_part_by_part_to_its_end() -> None:
    going, ended = task(), task(status="Success")
    parts = follow_log(api(going, going, going, ended, texts=["", "a\n", "a\n", "a\nb\n"]), task())
    assert list(parts) == ["a\n", "b\n"]


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_bar_for_the_execution_and_for_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    end = execution("Success", task=2, success=2)
    going = execution(task=2, running=1, success=1)
    follow(api(going, going, end, running=[task(done=4, total=9, text="[red]layer")]), 7)
    shown = screen.getvalue()
    assert "SWEEP 7" in shown
    assert "1 of 2 tasks" in shown
    assert "task 3" in shown
    # What comes from the installation is no markup.
    assert "4 of 9 [red]layer" in shown

"""Shows an execution of a job as it goes, until it ends."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ctl.admin.output import printable
from ctl.admin.rest import Row, path
from ctl.admin.session import say
from ctl.errors import CommandError

if TYPE_CHECKING:
    from ctl.admin.api import Api

ENDED = ("Success", "Error", "Stopped")
"""The statuses that an execution or a task does not leave."""

# Most jobs end within a second. Those that do not are looked at once a second.
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 1.0
_SHOWN_TASKS = 5
_INTERRUPTED_STATUS = 130

Show = Callable[[Row, list[Row]], None]
"""Shows an execution with some of its running tasks."""


def follow(api: "Api", execution_id: int) -> Row:
    """Shows how far an execution is, until it has ended. Returns it.

    Raises:
        CommandError: it did not succeed; there is no answer; Ctrl-C, after which the execution goes on.
    """
    with _interruptible(execution_id), _shown(sys.stderr.isatty()) as show:
        waits = _waits()
        while (execution := _execution(api, execution_id))["status"] not in ENDED:
            running = api.rows(path("executions", execution_id, "tasks"), limit=_SHOWN_TASKS, q="status=Running")
            show(execution, running)
            time.sleep(next(waits))
    if execution["status"] != "Success":
        reason = execution.get("status_message") or _failure(api, execution_id)
        raise CommandError(f"the execution {execution_id} has ended with {execution['status']}: {printable(reason)}")
    return execution


def _execution(api: "Api", execution_id: int) -> Row:
    execution: Row = api.get(path("executions", execution_id))
    return execution


def _failure(api: "Api", execution_id: int) -> str:
    failed = api.rows(path("executions", execution_id, "tasks"), limit=1, q="status=Error")
    messages = [task["status_message"] for task in failed if task.get("status_message")]
    return messages[0] if messages else f"`roadstead admin jobs log {execution_id}` says more"


def follow_log(api: "Api", task: Row) -> Iterator[str]:
    """The log of a task, part by part, until the task has ended.

    Raises:
        CommandError: there is no answer; Ctrl-C, after which the task goes on.
    """
    with _interruptible(task["execution_id"]):
        seen = 0
        for wait_seconds in _waits():
            # Read before the log, so that nothing is missed of a task that ends in between.
            task = api.get(path("tasks", task["id"]))
            text = api.text(path("tasks", task["id"], "log"))
            if len(text) > seen:
                yield text[seen:]
                seen = len(text)
            if task["status"] in ENDED:
                return
            time.sleep(wait_seconds)


def described(execution: Row, running: list[Row]) -> str:
    """How far an execution is, in one line."""
    counts = execution["metrics"]
    parts = [f"{execution['vendor_type']} {execution['id']}: {execution['status']}"]
    if counts["task_count"] > 1:
        parts.append(f"{_ended(counts)} of {counts['task_count']} tasks")
    elif not running:
        parts.append("waits" if counts["pending_task_count"] or counts["scheduled_task_count"] else "begins")
    parts += [text for task in running if (text := _progress(task))]
    return ", ".join(parts)


def _progress(task: Row) -> str:
    progress = task.get("progress") or {}
    done, total, text = progress.get("done", 0), progress.get("total", 0), printable(progress.get("text", ""))
    amount = f"{done} of {total}" if total else str(done) if done else ""
    return " ".join(part for part in (amount, text) if part)


def _ended(counts: Row) -> int:
    return int(counts["success_task_count"] + counts["error_task_count"] + counts["stopped_task_count"])


def _waits() -> Iterator[float]:
    wait_seconds = _FIRST_WAIT_SECONDS
    while True:
        yield wait_seconds
        wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)


@contextmanager
def _interruptible(execution_id: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(
            f"the execution {execution_id} goes on; `roadstead admin jobs stop {execution_id}` stops it",
            _INTERRUPTED_STATUS,
        ) from None


@contextmanager
def _shown(on_terminal: bool) -> Iterator[Show]:
    if on_terminal:
        with _bars() as show:
            yield show
        return
    last = ""

    def show_line(execution: Row, running: list[Row]) -> None:
        nonlocal last
        line = described(execution, running)
        if line != last:
            say(line)
            last = line

    yield show_line


@contextmanager
def _bars() -> Iterator[Show]:
    """A bar for the execution, and one for each running task. They go when it has ended."""
    from rich.console import Console  # slow to load, and most commands need no bars
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (
        # No markup: the texts come from the installation.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
    )
    bars: dict[int, Any] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        whole = progress.add_task("", total=None, amount="")

        def show(execution: Row, running: list[Row]) -> None:
            counts = execution["metrics"]
            several = counts["task_count"] > 1
            progress.update(
                whole,
                description=f"{execution['vendor_type']} {execution['id']}",
                total=counts["task_count"] if several else None,
                completed=_ended(counts),
                amount=f"{_ended(counts)} of {counts['task_count']} tasks" if several else execution["status"],
            )
            for task_id in [task_id for task_id in bars if task_id not in {task["id"] for task in running}]:
                progress.remove_task(bars.pop(task_id))
            for task in running:
                if task["id"] not in bars:
                    bars[task["id"]] = progress.add_task(f"task {task['id']}", amount="", total=None)
                done = task.get("progress") or {}
                progress.update(
                    bars[task["id"]],
                    total=done.get("total") or None,
                    completed=done.get("done", 0),
                    amount=_progress(task),
                )

        yield show

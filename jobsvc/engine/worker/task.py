"""What a handler gets, and what it gives back. A capability's `handler.py` is written against this module.

async def run(task: RunningTask) -> Outcome:
    for number, row in enumerate(rows):
        await task.checkpoint()
        await work(row)
        await task.progress(number, len(rows), "working")
    return Outcome(message=f"{len(rows)} rows")

A handler is idempotent: a task may run again after a crash, and a run that has lost its task may still be at work for a
moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from svckit.actor import Actor


class TaskStopped(Exception):
    """Somebody has asked for the task to stop. `RunningTask.checkpoint` raises it; let it out of the handler."""


class FinalFailure(Exception):
    """The task failed, and another try would fail as well. A handler raises it, with a text for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedTask:
    """A task that the execution gets when this one has succeeded.

    Attributes:
        parameters: what is to be done.
        kind: its kind; empty for that of the task that adds it.
        extra_attributes: what the kind wants to show.
        priority: None for that of its kind.
        due_time: when it may run; None for at once.
    """

    parameters: Mapping[str, object]
    kind: str = ""
    extra_attributes: Mapping[str, object] = field(default_factory=dict)
    priority: int | None = None
    due_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run that has succeeded leaves behind.

    Attributes:
        message: for people; may be empty.
        extra_attributes: attributes of the task that are set or replaced.
        execution_extra_attributes: attributes of the execution that are set or replaced.
        added_tasks: tasks that the execution gets, together with the success of this one.
    """

    message: str = ""
    extra_attributes: Mapping[str, object] = field(default_factory=dict)
    execution_extra_attributes: Mapping[str, object] = field(default_factory=dict)
    added_tasks: Sequence[AddedTask] = ()


class TaskLog(Protocol):
    """The log of a task, as Harbor writes it: a time, a level, a place in the code, and a message."""

    def debug(self, message: str) -> None:
        """Writes a line of level DEBUG."""

    def info(self, message: str) -> None:
        """Writes a line of level INFO."""

    def warning(self, message: str) -> None:
        """Writes a line of level WARNING."""

    def error(self, message: str) -> None:
        """Writes a line of level ERROR."""


class RunningTask(Protocol):
    """One run of a task."""

    @property
    def id(self) -> int:
        """The task's id."""

    @property
    def run(self) -> int:
        """The number of this run. It grows with each run of the task."""

    @property
    def execution_id(self) -> int:
        """The execution's id."""

    @property
    def vendor_id(self) -> int:
        """Id of the object that the execution is for."""

    @property
    def kind(self) -> str:
        """The name of the kind."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """What is to be done."""

    @property
    def failures(self) -> int:
        """How many runs have failed before."""

    @property
    def operator(self) -> Actor:
        """Who started the execution."""

    @property
    def log(self) -> TaskLog:
        """The log. Lines are written with the next report, and before the end of the run."""

    async def progress(self, done: int, total: int = 0, text: str = "") -> None:
        """Says how far the run is. Cheap: the next report carries it.

        Raises:
            TaskStopped: as `checkpoint`.
        """

    def check_in(self, text: str) -> None:
        """Leaves a text behind, of at most 4,096 characters, that others can read while the task runs."""

    async def checkpoint(self) -> None:
        """Lets a stop take effect. Call it at least once in a second of work.

        Raises:
            TaskStopped: somebody has asked for the task to stop.
        """


class Handler(Protocol):
    """Runs the tasks of a kind."""

    async def __call__(self, task: RunningTask) -> Outcome:
        """Runs a task.

        Raises:
            TaskStopped: it was asked to stop, and has stopped.
            FinalFailure: it failed, and is not tried again.
            Exception: it failed. The text becomes the status message. It is tried again as often as its kind says.
        """

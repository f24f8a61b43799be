"""The kinds of tests.

Their effects are rows of a SQLite file, whose path is a variable. An effect is keyed by what it is for, as that of any
idempotent handler. Each run is written down as well, so that a test sees how many there were.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from jobsvc.engine.domain.kind import Backoff, Kind
from jobsvc.engine.worker.task import AddedTask, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsvc.engine.worker.task import Handler, RunningTask

EFFECTS_VARIABLE = "TEST_JOB_EFFECTS"

_BACKOFF = Backoff(first_seconds=0.1, longest_seconds=1.0)


def _accept(parameters: Mapping[str, object]) -> Mapping[str, object]:
    return parameters


def _kind(name: str, *, concurrency: int | None = None, maximum_failures: int = 1) -> Kind:
    return Kind(
        name=name,
        concurrency=concurrency,
        maximum_failures=maximum_failures,
        backoff=_BACKOFF,
        may_be_started=True,
        check_parameters=_accept,
    )


KINDS = (
    _kind("SPREAD"),
    _kind("WRITE"),
    _kind("LOOK"),
    _kind("DEAF"),
    _kind("FLAKY", maximum_failures=5),
    _kind("ALONE", concurrency=1),
)


class Effects:
    """The file of effects.

    Tables: effect(name, time), with one row for each name; run(task, number, name, time), with one row for each run.
    """

    def __init__(self, path: Path) -> None:
        """Makes the file if it is not there."""
        self._path = path
        with closing(self.opened()) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS effect (name TEXT PRIMARY KEY, time REAL)")
            database.execute("CREATE TABLE IF NOT EXISTS run (task INTEGER, number INTEGER, name TEXT, time REAL)")

    def opened(self) -> sqlite3.Connection:
        """A connection."""
        return sqlite3.connect(self._path, timeout=60)

    def begin(self, task: RunningTask, name: str) -> None:
        """Writes down that a run has begun."""
        with closing(self.opened()) as database, database:
            database.execute("INSERT INTO run VALUES (?, ?, ?, ?)", (task.id, task.run, name, time.time()))

    def write(self, name: str) -> None:
        """Has an effect, once for each name."""
        with closing(self.opened()) as database, database:
            database.execute("INSERT OR IGNORE INTO effect VALUES (?, ?)", (name, time.time()))

    def names(self) -> list[str]:
        """The names of all effects, the earliest first."""
        with closing(self.opened()) as database:
            return [name for (name,) in database.execute("SELECT name FROM effect ORDER BY time")]

    def runs(self, name: str = "%") -> int:
        """How many runs have begun."""
        with closing(self.opened()) as database:
            [(count,)] = database.execute("SELECT count(*) FROM run WHERE name LIKE ?", (name,))
            return int(count)


def handlers() -> Mapping[str, Handler]:
    """The handlers of the kinds."""
    effects = Effects(Path(os.environ[EFFECTS_VARIABLE]))

    async def spread(task: RunningTask) -> Outcome:
        """Adds so many tasks of a kind."""
        count, kind = int(str(task.parameters["count"])), str(task.parameters["kind"])
        prefix, priority = str(task.parameters["prefix"]), task.parameters.get("priority")
        return Outcome(
            added_tasks=[
                AddedTask(
                    kind=kind,
                    parameters={"name": f"{prefix}{number}"},
                    priority=None if priority is None else int(str(priority)),
                )
                for number in range(count)
            ]
        )

    async def write(task: RunningTask) -> Outcome:
        """Has an effect."""
        name = str(task.parameters["name"])
        await asyncio.to_thread(effects.begin, task, name)
        await asyncio.sleep(0.005)
        await asyncio.to_thread(effects.write, name)
        task.log.info(f"wrote {name}")  # noqa: G004 - the log of a task takes a text
        return Outcome()

    async def look(task: RunningTask) -> Outcome:
        """Runs for an hour, and looks whether it should stop."""
        effects.begin(task, str(task.parameters.get("name", "look")))
        task.log.info("looking")
        for number in range(36_000):
            await task.progress(number, 36_000, "looking")
            await asyncio.sleep(0.1)
        return Outcome()

    async def deaf(task: RunningTask) -> Outcome:
        """Runs for an hour, and looks at nothing."""
        effects.begin(task, str(task.parameters.get("name", "deaf")))
        await asyncio.sleep(3600)
        return Outcome()

    async def flaky(task: RunningTask) -> Outcome:
        """Fails three times."""
        name = str(task.parameters["name"])
        effects.begin(task, name)
        if task.failures < 3:
            raise RuntimeError(f"failure {task.failures + 1}")
        effects.write(name)
        return Outcome()

    async def slow(task: RunningTask) -> Outcome:
        """Has an effect, and takes two seconds."""
        name = str(task.parameters["name"])
        effects.begin(task, name)
        await asyncio.sleep(2)
        effects.write(name)
        return Outcome()

    return {"SPREAD": spread, "WRITE": write, "LOOK": look, "DEAF": deaf, "FLAKY": flaky, "ALONE": slow}

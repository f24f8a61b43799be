"""An engine on a database, and what tests do with it."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from jobsvc.engine.domain.claim import claim_tasks
from jobsvc.engine.domain.enqueue import enqueue
from jobsvc.engine.domain.execution import get_execution, get_task, list_tasks
from jobsvc.engine.domain.finish import RunOutcome, RunResult, finish_tasks
from jobsvc.engine.domain.kind import Backoff, Kind, Kinds
from jobsvc.engine.domain.model import Execution, NewExecution, NewTask, Task, Worker
from jobsvc.engine.domain.ports import EnginePorts, EngineRules
from jobsvc.engine.domain.schedule import set_defaults
from jobsvc.engine.domain.status import Trigger
from jobsvc.engine.domain.wakes import NobodyElse, Wakes
from jobsvc.engine.domain.worker import register_worker
from jobsvc.engine.store.unit_of_work import SqlStore
from svckit.actor import Actor
from svckit.listing import ListRequest
from svckit.sql.database import Database

START = datetime(2026, 11, 27, 5, 20, 30, tzinfo=UTC)
ADMIN = Actor("user", 1, "admin")

LONG = Kind(name="LONG")
SHORT = Kind(name="SHORT", may_be_started=True)
SINGLE = Kind(name="SINGLE", concurrency=1)
URGENT = Kind(name="URGENT", priority=10)
TRIED = Kind(name="TRIED", maximum_failures=3, backoff=Backoff(first_seconds=10, factor=2, longest_seconds=15))
NIGHTLY = Kind(name="NIGHTLY", default_schedule="0 0 0 * * *", vendor_id=-1, kept_executions=2)
KINDS = Kinds([LONG, SHORT, SINGLE, URGENT, TRIED, NIGHTLY])


class Observed:
    """Counts what the engine tells."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def finished(self, kind: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.counts["finished", kind, outcome] += 1

    def lost(self, kind: str) -> None:
        self.counts["lost", kind] += 1

    def fired(self, kind: str, result: str) -> None:
        self.counts["fired", kind, result] += 1


class Engine:
    """An engine whose clock stands still until the test moves it."""

    def __init__(self, database: Database, **rules: Any) -> None:
        self.now = START
        self.database = database
        self.observed = Observed()
        self.ports = EnginePorts(
            store=SqlStore(database, idempotency_key_seconds=3600),
            clock=lambda: self.now,
            kinds=KINDS,
            rules=EngineRules(**rules),
            wakes=Wakes(),
            announcer=NobodyElse(),
            observer=self.observed,
        )

    async def start(self) -> None:
        """What a replica does when it starts."""
        await set_defaults(self.ports)

    def later(self, seconds: float) -> None:
        """Moves the clock."""
        self.now += timedelta(seconds=seconds)

    async def worker(self, concurrency: int = 10, kinds: Sequence[str] = KINDS.names) -> str:
        """A new worker."""
        worker_id = secrets.token_hex(8)
        await register_worker(
            self.ports,
            Worker(
                id=worker_id,
                host="here",
                pid=1,
                concurrency=concurrency,
                kinds=tuple(kinds),
                start_time=self.now,
                heartbeat_time=self.now,
            ),
        )
        return worker_id

    async def enqueue(self, kind: str, count: int = 1, **fields: Any) -> Execution:
        """Starts an execution with tasks that are numbered from 0."""
        tasks = [NewTask(parameters={"number": number}, **fields) for number in range(count)]
        new = NewExecution(kind=kind, operator=ADMIN, trigger=Trigger.MANUAL, tasks=tasks)
        return await enqueue(self.ports, new)

    async def claim(self, worker_id: str, places: int = 1) -> list[Task]:
        """One claim, with a key of its own."""
        return await claim_tasks(self.ports, worker_id=worker_id, claim_key=secrets.token_hex(8), places=places)

    async def finish(self, task: Task, outcome: RunOutcome = RunOutcome.SUCCESS, **fields: Any) -> bool:
        """Ends a run in the worker that has it."""
        result = RunResult(task_id=task.id, run=task.run, outcome=outcome, **fields)
        return (await finish_tasks(self.ports, task.worker_id, [result]))[0]

    async def execution(self, execution_id: int) -> Execution:
        """An execution as it is now."""
        return await get_execution(self.ports, execution_id)

    async def task(self, task_id: int) -> Task:
        """A task as it is now."""
        return await get_task(self.ports, task_id)

    async def tasks(self, execution_id: int) -> tuple[Task, ...]:
        """The first tasks of an execution."""
        return (await list_tasks(self.ports, execution_id, ListRequest(page_size=100))).items

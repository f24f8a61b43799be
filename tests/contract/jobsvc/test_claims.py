"""Tasks go to workers: each run to one of them, in a fair order."""

from __future__ import annotations

import asyncio

import pytest

from jobsvc.engine.domain.claim import claim_tasks
from jobsvc.engine.domain.finish import RunOutcome, RunResult, finish_tasks, return_tasks
from jobsvc.engine.domain.queue import act_on_queue
from jobsvc.engine.domain.status import ExecutionStatus, TaskStatus
from svckit.errors import NotFound
from tests.contract.jobsvc.engine import Engine


async def test_a_claim_gives_a_task_with_a_run_and_a_lease(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    worker_id = await engine.worker()

    (task,) = await engine.claim(worker_id)

    assert (task.run, task.worker_id, task.status) == (1, worker_id, TaskStatus.RUNNING)
    assert task.lease_end_time is not None
    assert (task.lease_end_time - engine.now).total_seconds() == 30
    assert (task.execution_id, task.parameters) == (execution.id, {"number": 0})
    assert await engine.task(task.id) == task
    held = await engine.execution(execution.id)
    assert (held.status, held.counts.pending, held.counts.running) == (ExecutionStatus.RUNNING, 0, 1)


async def test_many_claims_at_once_never_give_a_task_twice(engine: Engine) -> None:
    await engine.enqueue("SHORT", 60)
    await engine.enqueue("LONG", 60)
    workers = [await engine.worker(200) for _ in range(4)]

    async def claim_all(worker_id: str) -> list[int]:
        taken: list[int] = []
        while tasks := await engine.claim(worker_id, 7):
            taken += [task.id for task in tasks]
            await asyncio.sleep(0)
        return taken

    taken = await asyncio.gather(*(claim_all(worker_id) for worker_id in workers))

    assert len({task_id for each in taken for task_id in each}) == 120
    assert sum(map(len, taken)) == 120


async def test_claims_at_once_keep_the_limit_of_a_kind(engine: Engine) -> None:
    await engine.enqueue("SINGLE", 8)
    workers = [await engine.worker() for _ in range(4)]

    taken = await asyncio.gather(*(engine.claim(worker_id, 5) for worker_id in workers))

    assert sum(map(len, taken)) == 1
    (first,) = [task for tasks in taken for task in tasks]
    assert not await engine.claim(workers[0], 5)
    assert await engine.finish(first)
    assert len(await engine.claim(workers[0], 5)) == 1


async def test_a_repeated_claim_gets_the_same_tasks(engine: Engine) -> None:
    await engine.enqueue("SHORT", 4)
    worker_id = await engine.worker()

    async def claim(key: str) -> list[int]:
        tasks = await claim_tasks(engine.ports, worker_id=worker_id, claim_key=key, places=2)
        return [task.id for task in tasks]

    first, again = await asyncio.gather(claim("key-0001"), claim("key-0001"))

    assert first == again == await claim("key-0001")
    assert not set(first) & set(await claim("key-0002"))


async def test_an_unknown_worker_gets_nothing(engine: Engine) -> None:
    await engine.enqueue("SHORT")

    with pytest.raises(NotFound, match="register"):
        await engine.claim("not-known")


async def test_a_worker_gets_only_the_kinds_that_it_has(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    await engine.enqueue("LONG")

    tasks = await engine.claim(await engine.worker(kinds=["LONG"]), 5)

    assert [task.kind for task in tasks] == ["LONG"]


async def test_a_short_task_does_not_wait_for_a_thousand_long_ones(engine: Engine) -> None:
    await engine.enqueue("LONG", 1000)
    worker_id = await engine.worker(4)
    running = await engine.claim(worker_id, 4)
    # One place stays free for other kinds.
    assert [task.kind for task in running] == ["LONG"] * 3
    assert not await engine.claim(worker_id, 1)

    engine.later(1)
    await engine.enqueue("SHORT")

    (short,) = await engine.claim(worker_id, 1)
    assert short.kind == "SHORT"


async def test_a_kind_with_nothing_running_comes_before_one_that_is_older(engine: Engine) -> None:
    await engine.enqueue("LONG", 50)
    engine.later(1)
    await engine.enqueue("SHORT", 50)

    tasks = await engine.claim(await engine.worker(20), 6)

    assert sorted(task.kind for task in tasks) == ["LONG"] * 3 + ["SHORT"] * 3


async def test_priorities_come_before_everything_else(engine: Engine) -> None:
    await engine.enqueue("LONG", 2)
    await engine.enqueue("LONG", 2, priority=5)
    engine.later(1)
    await engine.enqueue("URGENT", 2)

    tasks = await engine.claim(await engine.worker(20), 6)

    assert [(task.kind, task.priority) for task in tasks] == [
        ("LONG", 5),
        ("LONG", 5),
        ("URGENT", 10),
        ("URGENT", 10),
        ("LONG", 100),
        ("LONG", 100),
    ]


async def test_a_single_place_takes_any_kind(engine: Engine) -> None:
    await engine.enqueue("LONG")

    assert len(await engine.claim(await engine.worker(1))) == 1


async def test_nothing_is_taken_from_a_paused_queue(engine: Engine) -> None:
    worker_id = await engine.worker()
    await engine.enqueue("SHORT", 2)
    running = await engine.claim(worker_id)

    await act_on_queue(engine.ports, "short", "pause")

    assert not await engine.claim(worker_id)
    assert await engine.finish(running[0])
    await act_on_queue(engine.ports, "all", "resume")
    assert len(await engine.claim(worker_id)) == 1


async def test_a_task_with_a_due_time_waits_for_it(engine: Engine) -> None:
    worker_id = await engine.worker()
    execution = await engine.enqueue("SHORT", due_time=engine.now.replace(hour=6))

    assert not await engine.claim(worker_id)
    assert (await engine.execution(execution.id)).counts.scheduled == 1


async def test_a_returned_task_runs_again_without_a_failure(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    worker_id, other_id = await engine.worker(), await engine.worker()
    (task,) = await engine.claim(worker_id)

    await return_tasks(engine.ports, worker_id, [(task.id, task.run)])
    await return_tasks(engine.ports, worker_id, [(task.id, task.run)])

    assert (await engine.execution(execution.id)).counts.pending == 1
    (again,) = await engine.claim(other_id)
    assert (again.id, again.run, again.failures, again.losses) == (task.id, 2, 0, 0)
    assert engine.observed.counts["finished", "SHORT", "returned"] == 1
    assert not await engine.finish(task)
    # What is given back late is not taken away from the other worker.
    await return_tasks(engine.ports, worker_id, [(task.id, task.run)])
    assert await engine.task(task.id) == again


async def test_results_are_taken_each_for_itself(engine: Engine) -> None:
    await engine.enqueue("SHORT", 2)
    worker_id = await engine.worker()
    first, second = await engine.claim(worker_id, 2)

    results = [
        RunResult(task_id=first.id, run=first.run, outcome=RunOutcome.SUCCESS),
        RunResult(task_id=second.id, run=second.run + 1, outcome=RunOutcome.SUCCESS),
        RunResult(task_id=999_999, run=1, outcome=RunOutcome.SUCCESS),
    ]

    assert await finish_tasks(engine.ports, worker_id, results) == [True, False, False]
    assert (await engine.task(second.id)).status is TaskStatus.RUNNING

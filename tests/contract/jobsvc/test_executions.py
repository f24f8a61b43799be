"""Executions: started once, listed, deleted, repaired, swept."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from jobsvc.engine.domain.enqueue import enqueue, start_execution
from jobsvc.engine.domain.execution import delete_execution, get_execution, list_executions, list_tasks
from jobsvc.engine.domain.finish import RunOutcome, unregister_worker
from jobsvc.engine.domain.model import Execution, LogPiece, LogPosition, NewExecution
from jobsvc.engine.domain.reconcile import repair_executions, wake_waiting
from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts, TaskStatus, Trigger
from jobsvc.engine.domain.task_log import append_logs, whole_log
from jobsvc.engine.domain.worker import list_places, list_pools
from jobsvc.engine.store.tables import execution as execution_table
from jobsvc.engine.store.tables import task as task_table
from jobsvc.engine.store.tables import task_log
from jobsvc.execution_sweep.domain import Swept, sweep
from svckit.errors import Conflict, Invalid, NotFound, Precondition
from svckit.idempotency import IdempotencyKey
from svckit.listing import ListRequest
from tests.contract.jobsvc.engine import ADMIN, Engine

KEY = IdempotencyKey("user:1", "StartExecution", "k" * 64, "r" * 64)


async def _ended(engine: Engine, kind: str, vendor_id: int = 0, count: int = 1) -> list[int]:
    made = []
    worker_id = await engine.worker()
    for _ in range(count):
        new = NewExecution(kind=kind, operator=ADMIN, trigger=Trigger.EVENT, vendor_id=vendor_id)
        made.append((await enqueue(engine.ports, new)).id)
        (task,) = await engine.claim(worker_id)
        text = f"{task.id}\n".encode()
        piece = LogPiece(task_id=task.id, position=LogPosition(task.run, 0), text=text)
        await append_logs(engine.ports, worker_id, [piece])
        await engine.finish(task)
    return made


async def test_an_execution_is_started_by_hand(engine: Engine) -> None:
    made = await start_execution(engine.ports, kind="short", parameters={}, operator=ADMIN, key=None)

    assert (made.kind, made.trigger, made.operator, made.status) == (
        "SHORT",
        Trigger.MANUAL,
        ADMIN,
        ExecutionStatus.RUNNING,
    )
    assert made.counts == TaskCounts(pending=1)
    assert await get_execution(engine.ports, made.id) == made


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("OTHER", {}, "kind must be one of"),
        ("LONG", {}, "kind LONG cannot be started by hand"),
        ("SHORT", {"dry_run": True}, "parameters must be empty"),
        ("SHORT", {"x": "y" * 65_536}, "parameters must have at most 65536 bytes"),
        ("SHORT", {"x": "\0"}, r"parameters must not contain U\+0000"),
    ],
)
async def test_what_cannot_be_started_is_refused(
    engine: Engine, kind: str, parameters: dict[str, object], text: str
) -> None:
    with pytest.raises(Invalid, match=text):
        await start_execution(engine.ports, kind=kind, parameters=parameters, operator=ADMIN, key=None)

    assert not (await list_executions(engine.ports, ListRequest())).items


async def test_calls_at_once_with_one_key_start_one_execution(engine: Engine) -> None:
    async def start(key: IdempotencyKey) -> Execution:
        return await start_execution(engine.ports, kind="SHORT", parameters={}, operator=ADMIN, key=key)

    made = await asyncio.gather(*(start(KEY) for _ in range(4)))

    assert len({execution.id for execution in made}) == 1
    with pytest.raises(Conflict):
        await start(replace(KEY, request_hash="s" * 64))
    assert (await start(replace(KEY, key_hash="l" * 64))).id != made[0].id


async def test_executions_are_listed_newest_first_and_filtered(engine: Engine) -> None:
    short = [(await engine.enqueue("SHORT")).id for _ in range(3)]
    engine.later(1)
    long = (await engine.enqueue("LONG")).id
    await _ended(engine, "URGENT", vendor_id=9)

    async def listed(q: str = "", sort: str = "") -> list[int]:
        page = await list_executions(engine.ports, ListRequest(q=q, sort=sort))
        return [execution.id for execution in page.items]

    assert (await listed())[1:] == [long, *reversed(short)]
    assert await listed(q="vendor_type=SHORT", sort="id") == short
    assert await listed(q="status=Success,vendor_id=9") == [max(await listed())]
    assert await listed(q="trigger=MANUAL,vendor_type={LONG URGENT}") == [long]
    assert await listed(q="start_time=[2026-11-27T05:20:31~]", sort="-start_time") == [max(await listed()), long]
    first = await list_executions(engine.ports, ListRequest(page_size=2, with_total=True))
    second = await list_executions(engine.ports, ListRequest(page_size=2, page_token=first.next_page_token))
    assert first.total_size == 5
    assert [each.id for each in (*first.items, *second.items)] == (await listed())[:4]


async def test_tasks_are_listed_and_filtered(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT", 5)
    await engine.enqueue("SHORT", 5)
    (first,) = await engine.claim(await engine.worker())

    page = await list_tasks(engine.ports, execution.id, ListRequest(page_size=3, with_total=True))
    rest = await list_tasks(engine.ports, execution.id, ListRequest(page_size=3, page_token=page.next_page_token))
    running = await list_tasks(engine.ports, execution.id, ListRequest(q="status=Running"))

    assert page.total_size == 5
    assert [task.parameters["number"] for task in (*page.items, *rest.items)] == [0, 1, 2, 3, 4]
    assert [task.id for task in running.items] == [first.id]
    with pytest.raises(NotFound, match="execution 999 not found"):
        await list_tasks(engine.ports, 999, ListRequest())


async def test_only_what_has_ended_is_deleted_with_its_tasks_and_logs(engine: Engine) -> None:
    running = await engine.enqueue("SHORT")
    with pytest.raises(Precondition, match="has not ended"):
        await delete_execution(engine.ports, running.id)
    (done,) = await _ended(engine, "URGENT")
    (task,) = await engine.tasks(done)
    assert await whole_log(engine.ports, task.id) == f"{task.id}\n".encode()

    await delete_execution(engine.ports, done)

    with pytest.raises(NotFound):
        await delete_execution(engine.ports, done)
    async with engine.database.read() as conn:
        assert (await conn.scalars(select(task_log.c.task_id))).all() == []
        assert (await conn.scalars(select(task_table.c.execution_id))).all() == [running.id]


async def test_an_execution_whose_counts_are_wrong_is_repaired(engine: Engine) -> None:
    (long_ended,) = await _ended(engine, "URGENT")
    still_running = (await engine.enqueue("SHORT", 2)).id
    assert await repair_executions(engine.ports) == 0
    async with engine.database.write() as conn:
        wrong = {"status": "Running", "running_count": 1, "success_count": 0}
        await conn.execute(update(execution_table).where(execution_table.c.id == long_ended).values(wrong))
        wrong = {"status": "Success", "pending_count": 0, "success_count": 2}
        await conn.execute(update(execution_table).where(execution_table.c.id == still_running).values(wrong))
        await conn.commit()

    assert await repair_executions(engine.ports) == 2

    ended, running = await engine.execution(long_ended), await engine.execution(still_running)
    assert (ended.status, ended.counts) == (ExecutionStatus.SUCCESS, TaskCounts(success=1))
    assert (running.status, running.end_time, running.counts) == (ExecutionStatus.RUNNING, None, TaskCounts(pending=2))
    assert await repair_executions(engine.ports) == 0


async def test_the_sweep_keeps_the_newest_of_each_object_and_what_has_not_ended(engine: Engine) -> None:
    running = await engine.enqueue("NIGHTLY")
    (held,) = await engine.claim(await engine.worker())
    first = await _ended(engine, "NIGHTLY", vendor_id=0, count=3)
    second = await _ended(engine, "NIGHTLY", vendor_id=5, count=3)
    other = await _ended(engine, "SHORT", count=3)

    assert await sweep(engine.ports) == Swept(executions=2, tasks=2)
    assert await sweep(engine.ports) == Swept()

    left = {each.id for each in (await list_executions(engine.ports, ListRequest(page_size=100))).items}
    assert left == {running.id, *first[1:], *second[1:], *other}
    assert (await engine.task(held.id)).status is TaskStatus.RUNNING


async def test_the_sweep_deletes_old_logs_and_workers_that_are_gone(engine: Engine) -> None:
    (execution_id,) = await _ended(engine, "SHORT")
    (task,) = await engine.tasks(execution_id)
    engine.later(30 * 24 * 3600 + 1)
    alive = await engine.worker()

    assert await sweep(engine.ports) == Swept(log_pieces=1, workers=1)

    assert [pool.id for pool in await list_pools(engine.ports)] == [alive]
    with pytest.raises(NotFound, match="not any more"):
        await whole_log(engine.ports, task.id)
    assert (await engine.execution(execution_id)).status is ExecutionStatus.SUCCESS


async def test_sweeps_at_once_delete_each_execution_once(engine: Engine) -> None:
    await _ended(engine, "NIGHTLY", count=12)

    swept = await asyncio.gather(*(sweep(engine.ports) for _ in range(3)))

    assert sum(each.executions for each in swept) == 10


async def test_pools_and_their_places_are_listed(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    first, second = await engine.worker(2), await engine.worker(1)
    (task,) = await engine.claim(second)

    places = await list_places(engine.ports, "all")

    assert {pool.id for pool in await list_pools(engine.ports)} == {first, second}
    assert [place.task and place.task.id for place in places] == [task.id, None, None]
    assert [place.id for place in await list_places(engine.ports, first)] == [f"{first}-0", f"{first}-1"]
    assert await list_places(engine.ports, "unknown") == []
    engine.later(60)
    assert await list_pools(engine.ports) == []


async def test_a_worker_that_leaves_gives_its_tasks_back(engine: Engine) -> None:
    await engine.enqueue("SHORT", 3)
    worker_id = await engine.worker()
    done, *_ = await engine.claim(worker_id, 3)
    await engine.finish(done, RunOutcome.SUCCESS)

    await unregister_worker(engine.ports, worker_id)
    await unregister_worker(engine.ports, worker_id)

    assert len(await engine.claim(await engine.worker(), 5)) == 2
    with pytest.raises(NotFound):
        await engine.claim(worker_id)


async def test_waiting_claims_are_woken_for_their_kinds_only(engine: Engine) -> None:
    wakes = engine.ports.wakes
    with wakes.waiting({"SHORT", "URGENT"}) as short, wakes.waiting({"LONG"}) as long:
        await engine.enqueue("SHORT")
        assert (short.event.is_set(), long.event.is_set()) == (True, False)
        short.event.clear()
        # A wake-up got lost: the next look finds what waits.
        await wake_waiting(engine.ports)
        assert (short.event.is_set(), long.event.is_set()) == (True, False)

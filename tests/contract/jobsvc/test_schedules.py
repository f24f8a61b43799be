"""Schedules: each time starts one execution, however many replicas there are, and however late it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from jobsvc.engine.domain.execution import list_executions
from jobsvc.engine.domain.model import Execution
from jobsvc.engine.domain.queue import act_on_queue
from jobsvc.engine.domain.schedule import (
    fire_schedules,
    get_schedule,
    is_scheduler_paused,
    list_schedules,
    remove_schedule,
    set_defaults,
    set_schedule,
)
from jobsvc.engine.domain.status import Trigger
from svckit.errors import Invalid
from svckit.listing import ListRequest
from tests.contract.jobsvc.engine import Engine

HOURLY = "0 0 * * * *"


async def _set(engine: Engine, cron: str = HOURLY, vendor_id: int = 7, **fields: object) -> int:
    parameters = {"dry_run": True} | fields
    schedule = await set_schedule(
        engine.ports, kind="SHORT", vendor_id=vendor_id, cron_type="Hourly", cron=cron, parameters=parameters
    )
    return schedule.id


async def _started(engine: Engine, kind: str = "SHORT") -> tuple[Execution, ...]:
    return (await list_executions(engine.ports, ListRequest(q=f"vendor_type={kind}", page_size=100))).items


async def _end_all(engine: Engine) -> None:
    worker_id = await engine.worker()
    while tasks := await engine.claim(worker_id, 5):
        for task in tasks:
            await engine.finish(task)


async def test_a_schedule_starts_an_execution_at_its_time(engine: Engine) -> None:
    schedule_id = await _set(engine)
    # 05:20:30
    engine.later(39 * 60 + 29)
    assert await fire_schedules(engine.ports) == []
    engine.later(1)

    assert await fire_schedules(engine.ports) == ["SHORT"]
    assert await fire_schedules(engine.ports) == []

    (execution,) = await _started(engine)
    assert (execution.trigger, execution.schedule_id, execution.vendor_id) == (Trigger.SCHEDULE, schedule_id, 7)
    assert (execution.parameters, execution.operator.subject) == ({"dry_run": True}, "service:jobsvc")
    assert [task.parameters for task in await engine.tasks(execution.id)] == [{"dry_run": True}]
    held = await get_schedule(engine.ports, "SHORT", 7)
    assert held is not None
    assert (held.last_time, held.next_time) == (engine.now, engine.now + timedelta(hours=1))


async def test_an_overdue_schedule_starts_once(engine: Engine) -> None:
    await _set(engine)
    engine.later(30 * 24 * 3600 + 5)

    assert sorted(await fire_schedules(engine.ports)) == ["NIGHTLY", "SHORT"]
    await _end_all(engine)
    assert await fire_schedules(engine.ports) == []

    assert len(await _started(engine)) == 1
    held = await get_schedule(engine.ports, "SHORT", 7)
    assert held is not None
    assert held.next_time is not None
    assert timedelta() < held.next_time - engine.now <= timedelta(hours=1)


async def test_replicas_that_fire_at_once_start_one(engine: Engine) -> None:
    for vendor_id in range(1, 6):
        await _set(engine, vendor_id=vendor_id)
    for _ in range(3):
        engine.later(3600)
        await asyncio.gather(*(fire_schedules(engine.ports) for _ in range(4)))
        await _end_all(engine)

    started = [execution.vendor_id for execution in await _started(engine)]
    assert sorted(started) == sorted([*range(1, 6)] * 3)
    assert engine.observed.counts["fired", "SHORT", "started"] == 15


async def test_executions_of_a_schedule_do_not_pile_up(engine: Engine) -> None:
    await _set(engine)
    for _ in range(3):
        engine.later(3600)
        await fire_schedules(engine.ports)

    assert len(await _started(engine)) == 1
    assert engine.observed.counts["fired", "SHORT", "skipped"] == 2
    await _end_all(engine)
    engine.later(3600)
    await fire_schedules(engine.ports)
    assert len(await _started(engine)) == 2


async def test_paused_schedules_start_nothing_and_then_once(engine: Engine) -> None:
    await _set(engine)
    await act_on_queue(engine.ports, "scheduler", "pause")
    assert await is_scheduler_paused(engine.ports, "ALL")
    engine.later(5 * 3600)

    assert await fire_schedules(engine.ports) == []

    await act_on_queue(engine.ports, "SCHEDULER", "resume")
    assert not await is_scheduler_paused(engine.ports, "all")
    assert await fire_schedules(engine.ports) == ["SHORT"]
    assert len(await _started(engine)) == 1


async def test_a_change_makes_a_new_schedule_and_the_same_does_not(engine: Engine) -> None:
    first = await _set(engine)

    assert await _set(engine) == first
    changed = await _set(engine, "0 30 * * * *")
    assert changed != first
    assert await _set(engine, "0 30 * * * *", workers=3) not in (first, changed)
    page = await list_schedules(engine.ports, ListRequest(with_total=True))
    assert page.total_size == 2


async def test_a_removed_schedule_starts_nothing(engine: Engine) -> None:
    await _set(engine)
    await remove_schedule(engine.ports, "SHORT", 7)
    await remove_schedule(engine.ports, "SHORT", 7)
    engine.later(3600)

    assert await fire_schedules(engine.ports) == []
    assert await get_schedule(engine.ports, "SHORT", 7) is None


@pytest.mark.parametrize("cron", ["", "0 0 * * *", "5 0 * * * *", "0 0 0 31 2 *"])
async def test_a_bad_cron_expression_changes_nothing(engine: Engine, cron: str) -> None:
    first = await _set(engine)

    with pytest.raises(Invalid, match="cron"):
        await _set(engine, cron)

    held = await get_schedule(engine.ports, "SHORT", 7)
    assert held is not None
    assert held.id == first


async def test_a_kind_has_its_default_schedule_until_somebody_sets_another(engine: Engine) -> None:
    made = await get_schedule(engine.ports, "NIGHTLY", -1)
    assert made is not None
    assert (made.cron, made.is_default) == ("0 0 0 * * *", True)

    await asyncio.gather(*(set_defaults(engine.ports) for _ in range(3)))
    assert await get_schedule(engine.ports, "NIGHTLY", -1) == made

    own = await set_schedule(engine.ports, kind="NIGHTLY", vendor_id=-1, cron_type="Hourly", cron=HOURLY, parameters={})
    await set_defaults(engine.ports)
    assert await get_schedule(engine.ports, "NIGHTLY", -1) == own


async def test_schedules_are_listed_page_by_page(engine: Engine) -> None:
    for vendor_id in range(1, 6):
        await _set(engine, vendor_id=vendor_id)

    first = await list_schedules(engine.ports, ListRequest(page_size=4, with_total=True))
    second = await list_schedules(engine.ports, ListRequest(page_size=4, page_token=first.next_page_token))

    assert first.total_size == 6
    assert [each.vendor_id for each in (*first.items, *second.items)] == [-1, 1, 2, 3, 4, 5]
    assert not second.next_page_token


async def test_only_all_schedules_can_be_asked_about(engine: Engine) -> None:
    with pytest.raises(Invalid, match="job_type can only be 'all'"):
        await is_scheduler_paused(engine.ports, "SHORT")

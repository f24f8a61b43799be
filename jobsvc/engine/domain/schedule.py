"""Schedules: when executions are started, and their start."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from jobsvc.engine.domain.cron import check_cron, next_time
from jobsvc.engine.domain.document import check_document
from jobsvc.engine.domain.enqueue import add_execution
from jobsvc.engine.domain.kind import SCHEDULER
from jobsvc.engine.domain.model import NewExecution, NewTask, Schedule
from jobsvc.engine.domain.status import Trigger
from svckit.actor import Actor
from svckit.errors import Conflict, Invalid
from svckit.listing import Listing, SortKey
from svckit.query import Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsvc.engine.domain.ports import EnginePorts
    from jobsvc.engine.domain.rows import UnitOfWork
    from svckit.listing import ListRequest, Page

SCHEDULES: Listing[Schedule] = Listing(
    "schedules", MappingProxyType({"id": SortKey(int, lambda row: row.id)}), (Order("id"),)
)

CRON_TYPES = ("Hourly", "Daily", "Weekly", "Custom")
"""Harbor's names for the times of a schedule. The cron expression alone decides."""

_SERVICE = Actor("service", name="jobsvc")
_FIRED_AT_ONCE = 100


async def list_schedules(ports: EnginePorts, request: ListRequest) -> Page[Schedule]:
    """Lists all schedules by id.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        return await SCHEDULES.page(request, unit.schedules.page, unit.schedules.count)


async def is_scheduler_paused(ports: EnginePorts, job_type: str) -> bool:
    """Whether all schedules are paused.

    Raises:
        DomainError: BAD_REQUEST with Harbor's text; the type must be "all".
    """
    if job_type.lower() != "all":
        raise Invalid(message="job_type can only be 'all'")
    async with ports.store.read() as unit:
        return SCHEDULER in await unit.queues.paused()


async def get_schedule(ports: EnginePorts, kind: str, vendor_id: int) -> Schedule | None:
    """Reads the schedule of an object; None if it has none."""
    async with ports.store.read() as unit:
        return await unit.schedules.find(kind, vendor_id)


async def set_schedule(
    ports: EnginePorts,
    *,
    kind: str,
    vendor_id: int,
    cron_type: str,
    cron: str,
    parameters: Mapping[str, object],
    is_default: bool = False,
) -> Schedule:
    """Sets the schedule of an object. One that differs takes the place of the one before, and gets an id of its own.

    Raises:
        DomainError: BAD_REQUEST for the cron expression or the parameters; CONFLICT, another call has set one
        meanwhile.
    """
    checked = check_cron(cron)
    check_document(parameters, "parameters")

    async def work() -> Schedule:
        now = ports.clock()
        async with ports.store.write() as unit:
            held = await unit.schedules.lock(kind, vendor_id)
            if held is not None:
                if (held.cron, held.cron_type, held.parameters) == (checked, cron_type, parameters):
                    return held
                await unit.schedules.remove(held.id)
            new = Schedule(
                id=0,
                kind=kind,
                vendor_id=vendor_id,
                cron_type=cron_type,
                cron=checked,
                parameters=parameters,
                next_time=next_time(checked, now),
                last_time=None,
                update_time=now,
                is_default=is_default,
            )
            if await unit.schedules.add(new) is None:
                raise Conflict(message="another call has set this schedule at the same time")
            made = await unit.schedules.find(kind, vendor_id)
            if made is None:
                raise Conflict(message="another call has removed this schedule at the same time")
            await unit.commit()
        return made

    return await ports.store.repeat(work)


async def remove_schedule(ports: EnginePorts, kind: str, vendor_id: int) -> None:
    """Removes the schedule of an object. It is no error if there is none."""

    async def work() -> None:
        async with ports.store.write() as unit:
            held = await unit.schedules.lock(kind, vendor_id)
            if held is not None:
                await unit.schedules.remove(held.id)
                await unit.commit()

    await ports.store.repeat(work)


async def set_defaults(ports: EnginePorts) -> None:
    """Makes the queues of all kinds, and their default schedules. What somebody else has set stays."""

    async def queues() -> None:
        async with ports.store.write() as unit:
            await unit.queues.add_missing({*ports.kinds.names, SCHEDULER}, ports.clock())
            await unit.commit()

    await ports.store.repeat(queues)
    for kind in ports.kinds:
        held = await get_schedule(ports, kind.name, kind.vendor_id)
        if kind.default_schedule and (held is None or held.is_default):
            try:
                await set_schedule(
                    ports,
                    kind=kind.name,
                    vendor_id=kind.vendor_id,
                    cron_type="Custom",
                    cron=kind.default_schedule,
                    parameters=kind.check_parameters({}),
                    is_default=True,
                )
            except Conflict:
                # Another replica starts at the same time, and has set it.
                continue


async def fire_schedules(ports: EnginePorts) -> list[str]:
    """Starts the executions whose time has come. Returns their kinds.

    However many times have passed since the last one, such as while nothing ran, one execution is started. None is
    started while the last execution of the schedule has not ended, so that they do not pile up.
    """

    async def work() -> list[tuple[str, str]]:
        now = ports.clock()
        async with ports.store.read() as reading:
            if not await reading.schedules.is_due(now):
                return []
        async with ports.store.write() as unit:
            if SCHEDULER in await unit.queues.paused():
                return []
            due = await unit.schedules.lock_due(now, _FIRED_AT_ONCE)
            fired = [(schedule.kind, await _fire(ports, unit, schedule, now)) for schedule in due]
            await unit.commit()
        return fired

    fired = await ports.store.repeat(work)
    for kind, result in fired:
        ports.observer.fired(kind, result)
    started = [kind for kind, result in fired if result == "started"]
    await ports.announce(set(started))
    return started


async def _fire(ports: EnginePorts, unit: UnitOfWork, schedule: Schedule, now: datetime) -> str:
    known = ports.kinds.get(schedule.kind) is not None
    started = None
    if known and not await unit.executions.has_running(schedule.id):
        new = NewExecution(
            kind=schedule.kind,
            vendor_id=schedule.vendor_id,
            trigger=Trigger.SCHEDULE,
            parameters=schedule.parameters,
            tasks=(NewTask(parameters=schedule.parameters),),
            operator=_SERVICE,
            schedule_id=schedule.id,
            fire_time=schedule.next_time,
        )
        started = await add_execution(unit, ports.kinds, new, now)
    await unit.schedules.set_times(
        schedule.id,
        next_time=next_time(schedule.cron, now),
        last_time=schedule.last_time if started is None else schedule.next_time,
    )
    return "skipped" if started is None else "started"

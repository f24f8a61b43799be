"""Lists and queues are read in the order of an index, so that the cost does not grow with what is in them."""

import re
from collections.abc import Awaitable, Callable

import pytest

from jobsvc.engine.domain.execution import list_executions, list_tasks
from jobsvc.engine.domain.schedule import list_schedules
from svckit.listing import ListRequest
from tests.contract.jobsvc.engine import Engine
from tests.contract.metasvc.statements import sent_statements

Read = Callable[[Engine], Awaitable[object]]


async def _second_page(engine: Engine, q: str, sort: str) -> None:
    first = await list_executions(engine.ports, ListRequest(q=q, sort=sort, page_size=1))
    await list_executions(engine.ports, ListRequest(q=q, sort=sort, page_size=1, page_token=first.next_page_token))


async def _claim(engine: Engine) -> None:
    async with engine.ports.store.read() as unit:
        await unit.tasks.heads(["SHORT", "LONG"], 3)


async def _lock(engine: Engine) -> None:
    async with engine.ports.store.write() as unit:
        await unit.tasks.lock_pending("SHORT", 3)


async def _due(engine: Engine) -> None:
    async with engine.ports.store.write() as unit:
        await unit.tasks.lock_due(engine.now, 3)


async def _lost(engine: Engine) -> None:
    async with engine.ports.store.write() as unit:
        await unit.tasks.lock_lost(engine.now, 3)


READS: dict[str, tuple[str, Read]] = {
    "executions, newest first": ("execution", lambda engine: _second_page(engine, "", "")),
    "executions by start": ("execution", lambda engine: _second_page(engine, "", "start_time")),
    "executions of an object": ("execution", lambda engine: _second_page(engine, "vendor_type=SHORT,vendor_id=0", "")),
    "running executions": ("execution", lambda engine: _second_page(engine, "status=Running", "")),
    "tasks": ("task", lambda engine: list_tasks(engine.ports, 1, ListRequest(page_size=2))),
    "schedules": ("schedule", lambda engine: list_schedules(engine.ports, ListRequest(page_size=1))),
    "the heads of queues": ("task", _claim),
    "a queue": ("task", _lock),
    "tasks that are due": ("task", _due),
    "tasks that are lost": ("task", _lost),
}


@pytest.mark.parametrize("name", READS)
async def test_it_is_read_in_the_order_of_an_index(engine: Engine, name: str) -> None:
    table, read = READS[name]
    for kind in ("SHORT", "LONG", "SHORT"):
        await engine.enqueue(kind, 3)

    with sent_statements("SELECT") as sent:
        await read(engine)

    statement = [each for each in sent if f"FROM {table}" in each and "LIMIT" in each][-1]
    async with engine.database.read() as conn:
        if engine.database.dialect == "sqlite":
            rows = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (1,) * statement.count("?"))
            steps = [str(row["detail"]) for row in rows.mappings()]
            assert not [step for step in steps if "TEMP B-TREE" in step], (statement, steps)
            assert not [step for step in steps if step == f"SCAN {table}"] or "schedule" in name, (statement, steps)
            return
        # With so few rows PostgreSQL would rather sort. So it may not, unless no index has the order.
        for switch in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
            await conn.exec_driver_sql(f"SET {switch} = off")
        parts = re.split(r"%\(\w+\)s", statement)
        generic = parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], 1))
        plan = [str(row[0]) for row in await conn.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {generic}")]
        assert not [line for line in plan if "Sort  (" in line or "Seq Scan" in line], (statement, plan)

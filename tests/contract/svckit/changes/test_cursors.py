"""Named cursors, what compaction deletes, and the metrics of both."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from roadstead.change.v1.change_pb2 import LogPosition as Position
from roadstead.meta.v1 import change_service_pb2 as pb
from svckit.changes.metrics import ChangeMetrics
from svckit.changes.settings import ChangeLogSettings
from svckit.changes.store import MOST_CURSORS
from svckit.errors import DomainError
from svckit.sql.database import Database
from tests.contract.svckit.changes.world import (
    ADMINISTRATOR,
    CHANGE,
    MEMBER,
    NOW,
    ChangeWorld,
    gauges,
    numbered,
    serving,
)

RULES = ChangeLogSettings(keep_days=2, cursor_days=5, most_changes=100)


@pytest.fixture
async def ruled(log_database: Database) -> AsyncIterator[ChangeWorld]:
    """A log with one change of each of the last ten days: revision 1 is ten days old, revision 10 is of today."""
    async with serving(log_database, RULES) as made:
        for days in range(9, -1, -1):
            await made.write(replace(CHANGE, time=NOW - timedelta(days=days, hours=1)))
        yield made


async def put(world: ChangeWorld, name: str, position: Position, service: str = "jobsvc") -> Any:
    request = pb.PutCursorRequest(name=name, position=position)
    return (await world.stub.PutCursor(request, metadata=world.as_service(service))).cursor


async def compact(world: ChangeWorld, limit: int = 0) -> tuple[int, int, bool]:
    answer = await world.stub.CompactChanges(pb.CompactChangesRequest(limit=limit), metadata=world.as_service("worker"))
    return answer.deleted_changes, answer.compacted_to, answer.has_more


async def reason_of(call: Any) -> str:
    with pytest.raises(DomainError) as refused:
        await call
    return refused.value.reason


async def test_a_cursor_is_put_read_listed_and_deleted(world: ChangeWorld) -> None:
    await world.write(*numbered(5))
    made = await put(world, "webhooks", await world.position(3))
    assert (made.name, made.position, made.holder, made.lag_revisions) == (
        "webhooks",
        await world.position(3),
        "jobsvc",
        2,
    )
    assert made.put_time.ToJsonString() == "2026-06-01T12:00:00Z"
    world.clock.now += timedelta(minutes=1)
    moved = await put(world, "webhooks", await world.position(5))
    assert (moved.lag_revisions, moved.put_time.ToJsonString()) == (0, "2026-06-01T12:01:00Z")
    other = await put(world, "audit", await world.position(0))

    administrator = world.as_user(ADMINISTRATOR, is_admin=True)
    for caller in (world.as_service(), administrator):
        found = await world.stub.GetCursor(pb.GetCursorRequest(name="webhooks"), metadata=caller)
        assert found.cursor == moved
        listed = await world.stub.ListCursors(pb.ListCursorsRequest(), metadata=caller)
        assert list(listed.cursors) == [other, moved]
        assert (listed.newest, listed.oldest) == (await world.position(), await world.position(0))
    await world.stub.DeleteCursor(pb.DeleteCursorRequest(name="audit"), metadata=administrator)
    for call in (world.stub.DeleteCursor(pb.DeleteCursorRequest(name="audit"), metadata=administrator),):
        assert await reason_of(call) == "NOT_FOUND"
    assert await reason_of(world.stub.GetCursor(pb.GetCursorRequest(name="audit"), metadata=administrator)) == (
        "NOT_FOUND"
    )
    member = world.as_user(MEMBER)
    assert await reason_of(world.stub.ListCursors(pb.ListCursorsRequest(), metadata=member)) == "FORBIDDEN"


async def test_a_late_repeat_does_not_take_a_cursor_back(world: ChangeWorld) -> None:
    await world.write(*numbered(5))
    await put(world, "webhooks", await world.position(4))
    assert (await put(world, "webhooks", await world.position(2))).position.revision == 4
    # In a new epoch it begins anew.
    await world.renew_epoch()
    assert (await put(world, "webhooks", await world.position(2))).position == await world.position(2)


async def test_a_cursor_belongs_to_the_service_that_has_put_it(world: ChangeWorld) -> None:
    position = await world.position()
    await put(world, "webhooks", position)
    async with world.database.write() as conn:
        table = world.cursors.table
        await conn.execute(table.update().values(holder="metasvc"))
        await conn.commit()
    assert await reason_of(put(world, "webhooks", position)) == "CONFLICT"


@pytest.mark.parametrize(
    ("name", "revision", "epoch", "reason"),
    [
        ("webhooks", 3, None, "REVISION_AHEAD"),
        ("webhooks", 0, None, "REVISION_COMPACTED"),
        ("webhooks", 2, "another", "EPOCH_MISMATCH"),
        ("Webhooks", 2, None, "BAD_REQUEST"),
        ("", 2, None, "BAD_REQUEST"),
        ("a" * 65, 2, None, "BAD_REQUEST"),
        ("a\0", 2, None, "BAD_REQUEST"),
    ],
)
async def test_a_cursor_that_is_none_is_refused(
    world: ChangeWorld, name: str, revision: int, epoch: str | None, reason: str
) -> None:
    await world.write(*numbered(2))
    await world.compact(1)
    position = await world.position(revision)
    if epoch is not None:
        position.epoch = epoch
    assert await reason_of(put(world, name, position)) == reason
    without = pb.PutCursorRequest(name="webhooks")
    assert await reason_of(world.stub.PutCursor(without, metadata=world.as_service())) == "BAD_REQUEST"


async def test_there_are_a_hundred_cursors_at_most(world: ChangeWorld) -> None:
    position = await world.position()
    for number in range(MOST_CURSORS):
        await put(world, f"c{number}", position)
    assert await reason_of(put(world, "more", position)) == "PRECONDITION"
    await put(world, "c0", position)


async def test_what_is_older_than_the_setting_is_deleted(ruled: ChangeWorld) -> None:
    # Those of two days are kept: revisions 9 and 10.
    assert await compact(ruled) == (8, 8, False)
    assert await compact(ruled) == (0, 8, False)
    ruled.clock.now += timedelta(days=30)
    assert await compact(ruled) == (2, 10, False)
    assert await ruled.write(CHANGE) == 11


async def test_one_call_deletes_no_more_than_it_was_told(ruled: ChangeWorld) -> None:
    assert await compact(ruled, 3) == (3, 3, True)
    assert await compact(ruled, 4) == (4, 7, True)
    assert await compact(ruled, 4) == (1, 8, False)


async def test_millions_are_not_deleted_in_one_transaction(ruled: ChangeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        await ruled.write(*numbered(1000))
    steps: list[int] = []
    delete = type(ruled.changes.store).delete_up_to

    async def noted(self: Any, revision: int) -> int:
        deleted = await delete(self, revision)
        steps.append(deleted)
        return deleted

    monkeypatch.setattr(type(ruled.changes.store), "delete_up_to", noted)
    # Only a hundred are kept.
    assert await compact(ruled) == (3910, 3910, False)
    assert steps == [1000, 1000, 1000, 910]


async def test_a_cursor_holds_back_compaction_up_to_a_limit(ruled: ChangeWorld) -> None:
    await put(ruled, "webhooks", await ruled.position(6))
    await put(ruled, "audit", await ruled.position(9))
    assert await compact(ruled) == (6, 6, False)
    # What is older than five days is given up.
    ruled.clock.now += timedelta(days=3)
    assert await compact(ruled) == (2, 8, False)
    await put(ruled, "webhooks", await ruled.position(10))
    assert await compact(ruled) == (1, 9, False)
    # Too many: they are deleted, whoever has not read them.
    await ruled.write(*[replace(CHANGE, time=ruled.clock.now)] * 150)
    assert await compact(ruled) == (51, 60, False)


async def test_a_cursor_of_an_old_epoch_holds_nothing_back(ruled: ChangeWorld) -> None:
    await put(ruled, "webhooks", await ruled.position(1))
    await ruled.renew_epoch()
    assert await compact(ruled) == (8, 8, False)


async def test_metrics_show_the_log_and_the_lag_of_each_cursor(ruled: ChangeWorld) -> None:
    await put(ruled, "webhooks", await ruled.position(7))
    await put(ruled, "audit", await ruled.position(10))
    await ruled.compact(2)
    metrics = ChangeMetrics(ruled.metrics, ruled.changes.store, ruled.feed, ruled.clock)
    await metrics.look()
    registry = ruled.metrics.registry

    def shown(name: str) -> float | None:
        return registry.get_sample_value(name, {"service": "metasvc"})

    assert (shown("change_log_revision"), shown("change_log_compacted_revision")) == (10, 2)
    assert gauges(registry, "change_cursor_lag_revisions") == {"webhooks": 3, "audit": 0}
    # Revision 8 is the oldest that was not read.
    assert gauges(registry, "change_cursor_lag_seconds") == {
        "webhooks": timedelta(days=2, hours=1).total_seconds(),
        "audit": 0,
    }
    assert shown("change_log_streams") == 0
    with ruled.feed.reading():
        assert shown("change_log_streams") == 1

    await ruled.stub.DeleteCursor(pb.DeleteCursorRequest(name="audit"), metadata=ruled.as_service())
    await metrics.look()
    assert gauges(registry, "change_cursor_lag_revisions") == {"webhooks": 3}

"""Rows of projects follow authsvc's log, and what is late or comes twice does no harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from metasvc.clients.project_log import ProjectLog
from metasvc.domain.project import delete_project, make_row
from metasvc.domain.project_projection import note_all, note_created, note_deleted
from metasvc.store.tables import followed_logs
from roadstead.change.v1.change_pb2 import Change
from svckit.change import LogPosition
from svckit.errors import Unavailable
from svckit.sql.followed_log import FollowedLog
from tests.contract.metasvc.world import ORIGIN, World, blob_digest


async def states(world: World) -> dict[int, str]:
    return {row.id: row.state for row in await world.rows("SELECT id, state FROM project ORDER BY id")}


def project_log(world: World) -> ProjectLog:
    return ProjectLog(world.ports, FollowedLog(world.database, followed_logs, "authsvc projects"))


def at(revision: int) -> LogPosition:
    return LogPosition(epoch="e", revision=revision)


async def test_a_project_has_a_row_and_its_quota_before_anything_is_pushed(world: World) -> None:
    await note_created(world.ports, 3)
    (row,) = await world.rows("SELECT * FROM project")
    assert (row.id, row.name, row.state, row.quota_bytes) == (3, "small", "active", 1000)
    await note_created(world.ports, 3)
    assert await states(world) == {3: "active"}


async def test_a_project_that_is_gone_again_gets_no_row(world: World) -> None:
    await note_created(world.ports, 9)
    assert await states(world) == {}


async def test_a_deletion_that_began_here_is_left_to_its_caller(world: World) -> None:
    await note_created(world.ports, 1)
    world.directory.failure = Unavailable()
    with pytest.raises(Unavailable):
        await delete_project(world.ports, 1, ORIGIN)
    del world.directory.projects[1]
    await note_deleted(world.ports, 1)
    assert await states(world) == {1: "deleting"}
    world.directory.failure = None
    await delete_project(world.ports, 1, ORIGIN)
    (entry,) = await world.changes()
    assert entry.change.origin == ORIGIN


async def test_a_project_that_authsvc_does_not_have_any_more_is_marked_unless_it_has_something(world: World) -> None:
    await note_created(world.ports, 2)
    await world.link("alpha/app", blob_digest("layer"))
    world.directory.projects.clear()
    for project_id in (1, 2, 9):
        await note_deleted(world.ports, project_id)
        await note_deleted(world.ports, project_id)
    assert await states(world) == {1: "active", 2: "deleted"}
    (entry,) = await world.changes()
    assert (entry.change.project_id, entry.change.origin.actor.name) == (2, "metasvc")


async def test_word_of_a_deletion_changes_nothing_while_authsvc_has_the_project(world: World) -> None:
    await note_created(world.ports, 1)
    await note_deleted(world.ports, 1)
    assert await states(world) == {1: "active"}


async def test_a_late_row_takes_no_name_from_the_project_that_has_it_now(world: World) -> None:
    await delete_project(world.ports, 2, ORIGIN)
    world.directory.projects[4] = ("beta", -1)
    await note_created(world.ports, 4)
    # Somebody had asked authsvc for project 2 before it was deleted, and goes on only now.
    world.directory.projects[2] = ("beta", -1)
    await make_row(world.ports, 2)
    assert await states(world) == {2: "deleted", 4: "active"}


async def test_all_rows_are_compared_at_the_beginning(world: World) -> None:
    await note_created(world.ports, 1)
    await note_created(world.ports, 2)
    del world.directory.projects[2]
    world.directory.projects[5] = ("new", -1)
    await note_all(world.ports)
    assert await states(world) == {1: "active", 2: "deleted", 3: "active", 5: "active"}


async def test_the_position_is_kept_behind_what_was_done(world: World) -> None:
    log = project_log(world)
    assert await log.position() is None
    await log.begin(at(4))
    assert (await log.position(), await states(world)) == (at(4), {1: "active", 2: "active", 3: "active"})

    world.directory.projects[5] = ("new", -1)
    del world.directory.projects[3]
    changes = [Change(kind="project_created", project_id=5), Change(kind="project_deleted", project_id=3)]
    await log.apply(changes, at(6))
    assert (await log.position(), (await states(world))) == (
        at(6),
        {1: "active", 2: "active", 3: "deleted", 5: "active"},
    )
    await log.apply([], at(9))
    assert await log.position() == at(6)


@asynccontextmanager
async def away(world: World) -> AsyncIterator[None]:
    look_up = world.directory.look_up

    async def fail(project_id: int) -> tuple[str, int]:
        raise Unavailable

    world.directory.look_up = fail  # type: ignore[method-assign]
    yield
    world.directory.look_up = look_up  # type: ignore[method-assign]


async def test_what_cannot_be_done_now_is_not_passed_over(world: World) -> None:
    log = project_log(world)
    await log.begin(at(1))
    world.directory.projects[5] = ("new", -1)
    async with away(world):
        with pytest.raises(Unavailable):
            await log.apply([Change(kind="project_created", project_id=5)], at(2))
    assert await log.position() == at(1)


async def test_two_replicas_may_do_the_same_at_once(world: World) -> None:
    logs = [project_log(world) for _ in range(2)]
    await asyncio.gather(*(log.begin(at(1)) for log in logs))
    world.directory.projects |= {number: (f"p{number}", -1) for number in range(10, 20)}
    changes = [Change(kind="project_created", project_id=number) for number in range(10, 20)]
    await asyncio.gather(*(log.apply(changes, at(11)) for log in logs))
    assert set(await states(world)) == {1, 2, 3, *range(10, 20)}

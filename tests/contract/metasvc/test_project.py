"""The row of a project is made when it is first needed, and its deletion spans two services."""

import asyncio

import pytest

from metasvc.domain.project import delete_project, finish_deletions, is_deletable, list_usages
from svckit.errors import DomainError, Unavailable
from tests.contract.metasvc.world import ORIGIN, World, blob_digest, image

DIGEST = blob_digest("layer")


async def delete(world: World, project_id: int) -> None:
    await delete_project(world.ports, project_id, ORIGIN)


async def reason_of(work: object) -> str:
    with pytest.raises(DomainError) as caught:
        await work  # type: ignore[misc]
    return caught.value.reason


async def test_the_row_is_made_at_the_first_need_with_the_initial_quota(world: World) -> None:
    await world.link("small/app", DIGEST, project_id=3)

    (row,) = await world.rows("SELECT * FROM project")
    assert (row.id, row.name, row.state, row.quota_bytes, row.used_bytes) == (3, "small", "active", 1000, 100)


async def test_a_project_that_does_not_exist_takes_nothing(world: World) -> None:
    assert await reason_of(world.link("gone/app", DIGEST, project_id=9)) == "INSUFFICIENT_SCOPE"
    # It was deleted after the right was checked.
    world.directory.may_push_anywhere = True
    assert await reason_of(world.link("gone/app", DIGEST, project_id=9)) == "PROJECT_UNKNOWN"
    assert await world.value("SELECT count(*) FROM project") == 0


async def test_a_project_with_a_repository_is_not_deleted_and_not_fenced(world: World) -> None:
    await world.link("alpha/app", DIGEST)

    assert await reason_of(delete(world, 1)) == "PROJECT_NOT_EMPTY"

    assert not await is_deletable(world.ports, 1)
    assert world.directory.deleted == []
    await world.link("alpha/app", blob_digest("another"))


async def test_an_empty_project_goes_in_both_services_even_if_it_was_never_used(world: World) -> None:
    await delete(world, 2)

    assert world.directory.deleted == [2]
    assert await world.value("SELECT kind FROM change") == "project_delete"
    # A push that asked authsvc before the deletion, and comes with its answer only now, revives nothing.
    world.directory.projects[2] = ("beta", -1)
    assert await reason_of(world.link("beta/app", DIGEST, project_id=2)) == "PROJECT_UNKNOWN"


async def test_a_deletion_that_was_interrupted_stays_fenced_and_is_resumed(world: World) -> None:
    world.directory.failure = Unavailable()
    assert await reason_of(delete(world, 1)) == "UNAVAILABLE"
    assert await reason_of(world.link("alpha/app", DIGEST)) == "PROJECT_UNKNOWN"
    assert await reason_of(world.put("alpha/app", image("one"))) == "PROJECT_UNKNOWN"

    world.directory.failure = None
    await delete(world, 1)

    assert world.directory.deleted == [1]


async def test_a_deletion_that_nobody_can_repeat_is_brought_to_its_end(world: World) -> None:
    world.directory.failure = Unavailable()
    assert await reason_of(delete(world, 1)) == "UNAVAILABLE"

    # The caller may still be finishing it.
    await finish_deletions(world.ports)
    assert await world.value("SELECT state FROM project") == "deleting"
    world.later(minutes=1)
    assert await reason_of(finish_deletions(world.ports)) == "UNAVAILABLE"
    world.directory.failure = None
    await finish_deletions(world.ports)
    await finish_deletions(world.ports)

    assert world.directory.deleted == [1]
    assert await world.value("SELECT state FROM project") == "deleted"
    [change] = await world.rows(
        "SELECT kind, project_id, resource_id, resource_name, actor_kind, actor_name FROM change"
    )
    assert tuple(change) == ("project_delete", 1, 1, "alpha", "service", "metasvc")


async def test_a_new_project_of_an_old_name_has_nothing_of_it(world: World) -> None:
    world.directory.failure = Unavailable()
    assert await reason_of(delete(world, 1)) == "UNAVAILABLE"
    # authsvc has deleted the old project, and a new one has its name.
    world.directory.projects = {11: ("alpha", -1)}

    await world.link("alpha/app", DIGEST, project_id=11)

    rows = {row.id: (row.name, row.state) for row in await world.rows("SELECT id, name, state FROM project")}
    assert rows == {1: ("#1#alpha", "deleted"), 11: ("alpha", "active")}
    [change] = await world.rows("SELECT project_id, resource_name FROM change WHERE kind = 'project_delete'")
    assert tuple(change) == (1, "alpha")


async def test_a_push_and_a_deletion_at_once_leave_no_repository_without_a_project(world: World) -> None:
    for project_id in range(20, 30):
        world.directory.projects[project_id] = (f"p{project_id}", -1)

        linked, deleted = await asyncio.gather(
            # Each upload has a generation of its own. That of a refused one is never linked.
            world.link(f"p{project_id}/app", DIGEST, generation=project_id, project_id=project_id),
            delete(world, project_id),
            return_exceptions=True,
        )

        outcomes = [error.reason if isinstance(error, DomainError) else error for error in (linked, deleted)]
        assert outcomes in (["PROJECT_UNKNOWN", None], [None, "PROJECT_NOT_EMPTY"])


async def test_usages_are_counted_for_many_projects_at_once(world: World) -> None:
    await world.link("alpha/app", DIGEST)
    await world.link("alpha/other", DIGEST)
    await world.link("small/app", DIGEST, project_id=3)

    usages = await list_usages(world.ports, [3, 1, 2])

    assert [(each.project_id, each.repository_count, each.used_bytes, each.limit_bytes) for each in usages] == [
        (1, 2, 100, -1),
        (3, 1, 100, 1000),
    ]
    assert await list_usages(world.ports, []) == []

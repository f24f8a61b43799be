"""Numbers of projects and repositories, for users, administrators and robots."""

from metasvc.domain.statistic import Statistic, get_statistics
from svckit.access.decision import AccessibleProjects
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.world import World, image


def projects(*ids: int) -> AccessibleProjects:
    return AccessibleProjects(all=False, project_ids=frozenset(ids))


async def fill(world: World) -> None:
    """Three projects with 1, 2 and 1 repositories. Project 1 is public."""
    for project_id, repository in ((1, "alpha/a"), (2, "beta/a"), (2, "beta/b"), (3, "small/a")):
        await world.push(repository, image("one", layer_size=100), project_id=project_id)
    world.visible.public_projects = projects(1, 8)
    world.visible.all_projects = 5


async def test_a_user_sees_what_is_public_and_what_is_their_own(world: World) -> None:
    await fill(world)
    world.visible.projects = projects(1, 2, 8, 9)
    assert await get_statistics(world.ports, is_user=True) == Statistic(2, 2, 2, 1)
    world.visible.projects = projects(1, 8)
    assert await get_statistics(world.ports, is_user=True) == Statistic(0, 0, 2, 1)


async def test_an_administrator_sees_everything_and_the_bytes_once(world: World) -> None:
    await fill(world)
    world.visible.projects = AccessibleProjects(all=True)
    expected = Statistic(3, 3, 2, 1, total_projects=5, total_repositories=4, total_storage_bytes=110)
    assert await get_statistics(world.ports, is_user=True) == expected


async def test_a_public_project_that_was_just_deleted_makes_no_number_negative(world: World) -> None:
    await fill(world)
    world.visible.projects = AccessibleProjects(all=True)
    world.visible.all_projects = 1
    counted = await get_statistics(world.ports, is_user=True)
    assert (counted.total_projects, counted.private_projects) == (1, 0)


async def test_a_robot_has_no_private_projects(world: World) -> None:
    await fill(world)
    world.visible.projects = AccessibleProjects(all=True)
    assert await get_statistics(world.ports, is_user=False) == Statistic(0, 0, 2, 1)


async def test_an_empty_registry_counts_nothing(world: World) -> None:
    assert await get_statistics(world.ports, is_user=True) == Statistic(0, 0, 0, 0)
    world.visible.projects = AccessibleProjects(all=True)
    assert await get_statistics(world.ports, is_user=True) == Statistic(0, 0, 0, 0)


async def test_it_takes_as_many_statements_for_any_number_of_projects(world: World) -> None:
    await fill(world)
    numbers = []
    for many in (2, 20_000):
        world.visible.public_projects = projects(*range(1, many))
        world.visible.projects = projects(*range(1, 2 * many))
        with sent_statements() as statements:
            await get_statistics(world.ports, is_user=True)
        numbers.append(len(statements))
    assert numbers[0] == numbers[1]

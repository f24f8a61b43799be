"""Repositories are listed, described and deleted."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from metasvc.domain.lists import ListedRepository
from metasvc.domain.model import ChangeKind
from metasvc.domain.repository import (
    delete_repository,
    get_repository,
    list_all_repositories,
    list_repositories,
    update_repository,
)
from svckit.access.decision import AccessibleProjects
from svckit.errors import DomainError
from svckit.listing import ListRequest, Page
from tests.contract.metasvc.world import ORIGIN, OTHER_ORIGIN, World, asked, blob_digest, image, index

ALL = AccessibleProjects(all=True)


def some(*projects: int) -> AccessibleProjects:
    return AccessibleProjects(all=False, project_ids=frozenset(projects))


async def listed(world: World, project_id: int = 1, **request: Any) -> Page[ListedRepository]:
    return await list_repositories(world.ports, project_id=project_id, request=asked(**request))


async def names(world: World, **request: Any) -> list[str]:
    return [each.repository.name for each in (await listed(world, **request)).items]


async def all_names(world: World, sees: AccessibleProjects = ALL, **request: Any) -> list[str]:
    world.visible.projects = sees
    page = await list_all_repositories(world.ports, request=asked(**request))
    return [each.repository.name for each in page.items]


async def delete(world: World, name: str, project_id: int = 1) -> None:
    await delete_repository(world.ports, project_id=project_id, name=name, origin=ORIGIN)


async def update(world: World, description: str | None, *, etag: str = "", name: str = "alpha/app") -> ListedRepository:
    return await update_repository(
        world.ports, project_id=1, name=name, description=description, etag=etag, origin=OTHER_ORIGIN
    )


async def push_some(world: World, count: int = 7) -> list[str]:
    found = [f"alpha/r{number}" for number in range(count)]
    for number, name in enumerate(found):
        if number % 3 == 0:
            world.later(minutes=1)
        await world.push(name, image("one"))
    return found


@pytest.mark.parametrize(
    "sort", ["", "name", "-update_time", "-pull_count", "pull_count,-name", "creation_time,-name", "-id"]
)
async def test_pages_by_token_and_by_number_agree(world: World, sort: str) -> None:
    made = await push_some(world)
    await world.execute("UPDATE repository SET pull_count = id % 3")
    by_token: list[list[str]] = []
    token = ""
    while token or not by_token:
        page = await listed(world, sort=sort, page_size=3, page_token=token)
        by_token.append([each.repository.name for each in page.items])
        assert page.total_size == 7
        token = page.next_page_token
    assert by_token == [await names(world, sort=sort, page_size=3, page=number) for number in (1, 2, 3)]
    assert sorted(name for page_ in by_token for name in page_) == made


async def test_the_newest_come_first_and_q_narrows_by_name(world: World) -> None:
    made = await push_some(world)
    assert await names(world) == made[::-1]
    assert await names(world, q="name=alpha/r3") == ["alpha/r3"]
    assert await names(world, q="name=~R", sort="name") == made
    assert await names(world, q="name=~_") == []
    hostile: tuple[dict[str, Any], ...] = ({"q": "project_id=1"}, {"sort": "artifact_count"}, {"q": "name=(a b)"})
    for wrong in hostile:
        with pytest.raises(DomainError) as caught:
            await listed(world, **wrong)
        assert caught.value.reason == "BAD_REQUEST"


async def test_a_project_that_was_never_used_has_none(world: World) -> None:
    await push_some(world, 2)
    assert await listed(world, project_id=2) == Page((), "", 0)


async def test_a_repository_says_how_many_artifacts_a_list_shows(world: World) -> None:
    parts = [image("amd"), image("arm")]
    for part in parts:
        await world.push("alpha/app", part)
    await world.push("alpha/app", index(parts), "v1")
    await world.push("alpha/empty", image("one"))
    await world.delete("alpha/empty", image("one").digest)
    assert {each.repository.name: each.artifact_count for each in (await listed(world)).items} == {
        "alpha/app": 1,
        "alpha/empty": 0,
    }
    assert (await get_repository(world.ports, project_id=1, name="alpha/app")).artifact_count == 1
    with pytest.raises(DomainError) as caught:
        await get_repository(world.ports, project_id=2, name="alpha/app")
    assert caught.value.reason == "NOT_FOUND"


async def test_everybody_sees_the_repositories_of_their_projects(world: World) -> None:
    await world.push("alpha/app", image("one"))
    world.later(seconds=1)
    await world.push("beta/app", image("one"), project_id=2)
    assert await all_names(world) == ["beta/app", "alpha/app"]
    assert await all_names(world, some(2)) == ["beta/app"]
    assert await all_names(world, some(1, 2, 99)) == ["beta/app", "alpha/app"]
    assert await all_names(world, some()) == []
    assert await all_names(world, q="project_id=1") == ["alpha/app"]
    assert await all_names(world, some(2), q="project_id=1") == []
    # More than the parameters that a statement may have.
    assert await all_names(world, some(*range(2, 70_000))) == ["beta/app"]


async def test_a_right_that_goes_between_two_pages_goes_from_the_second(world: World) -> None:
    await push_some(world, 3)
    world.visible.projects = ALL
    first = await list_all_repositories(world.ports, request=ListRequest(page_size=1))
    rest = ListRequest(page_size=1, page_token=first.next_page_token)
    world.visible.projects = some(2)
    assert (await list_all_repositories(world.ports, request=rest)).items == ()


async def test_a_description_is_changed(world: World) -> None:
    await world.push("alpha/app", image("one"))
    world.later(hours=1)

    async def describe(description: str, name: str = "alpha/app") -> ListedRepository:
        return await update(world, description, name=name)

    longest = "ü" * (64 * 1024)
    changed = await describe(longest)
    assert (changed.repository.description, changed.repository.update_time) == (longest, world.now)
    assert changed.artifact_count == 1
    world.later(hours=1)
    assert (await describe(longest)).repository.update_time < world.now
    assert (await describe("")).repository.description == ""
    with pytest.raises(DomainError) as caught:
        await describe("text", "alpha/none")
    assert caught.value.reason == "NOT_FOUND"


async def test_an_update_says_what_it_has_read_and_overwrites_no_other(world: World) -> None:
    await world.push("alpha/app", image("one"))
    read = (await get_repository(world.ports, project_id=1, name="alpha/app")).repository
    first = await update(world, "first", etag=read.etag)
    assert first.repository.etag != read.etag
    with pytest.raises(DomainError) as caught:
        await update(world, "second", etag=read.etag)
    assert caught.value.reason == "PRECONDITION"
    # A repeat, as after a lost answer.
    assert await update(world, "first", etag=read.etag) == first
    with pytest.raises(DomainError):
        await update(world, None, etag=read.etag)
    assert await update(world, None) == first
    assert (await update(world, "second")).repository.description == "second"


async def test_pushes_and_pulls_leave_the_etag_as_it_is(world: World) -> None:
    await world.push("alpha/app", image("one"))
    read = (await update(world, "text")).repository
    world.later(hours=1)
    await world.push("alpha/app", image("two"), "v1")
    assert (await get_repository(world.ports, project_id=1, name="alpha/app")).repository.etag == read.etag


async def test_of_many_updates_of_one_state_one_succeeds(world: World) -> None:
    await world.push("alpha/app", image("one"))
    etag = (await get_repository(world.ports, project_id=1, name="alpha/app")).repository.etag
    results = await asyncio.gather(
        *(update(world, f"by {number}", etag=etag) for number in range(6)), return_exceptions=True
    )
    refusals = [result.reason for result in results if isinstance(result, DomainError)]
    assert refusals == ["PRECONDITION"] * 5
    assert await world.value("SELECT count(*) FROM change WHERE kind = 'repository_update'") == 1


async def test_an_update_is_recorded_with_the_old_text_and_the_new_one(world: World) -> None:
    await world.push("alpha/app", image("one"))
    await update(world, "first")
    await update(world, "second")
    await update(world, "second")
    found = [each.change for each in await world.changes() if each.change.kind is ChangeKind.REPOSITORY_UPDATE]
    assert [(change.old, change.new) for change in found] == [
        ({"description": ""}, {"description": "first"}),
        ({"description": "first"}, {"description": "second"}),
    ]
    assert (found[0].resource_name, found[0].origin) == ("alpha/app", OTHER_ORIGIN)


async def test_a_deleted_repository_leaves_nothing_but_work_for_the_collector(world: World) -> None:
    parts = [image("amd"), image("arm")]
    for part in parts:
        await world.push("alpha/app", part)
    whole = index(parts)
    await world.push("alpha/app", whole, "v1")
    await world.push("alpha/app", image("three", layers=["own"]), "v2")
    # A manifest still needs it, but the repository no longer serves it.
    world.ports = replace(world.ports, delete_blobs_in_use=True)
    await world.unlink("alpha/app", blob_digest("own"))
    await world.push("alpha/stays", parts[0], "v1")
    stays = await world.rows("SELECT digest, count, size FROM project_blob WHERE count > 1 ORDER BY digest")
    assert {row.digest for row in stays} == set(parts[0].blobs) | {parts[0].digest}
    world.later(hours=3)

    await delete(world, "alpha/app")

    assert await names(world) == ["alpha/stays"]
    for table in ("tag", "tag_history", "artifact", "manifest"):
        assert await world.value(f"SELECT count(*) FROM {table}") == 1, table  # noqa: S608 - names of ours
    assert await world.value("SELECT count(*) FROM artifact_reference") == 0
    assert await world.value("SELECT count(*) FROM repository_blob") == 2
    charged = await world.rows("SELECT digest, count FROM project_blob")
    assert {tuple(row) for row in charged} == {(digest, 1) for digest in (*parts[0].blobs, parts[0].digest)}
    assert await world.used_bytes() == 110 + len(parts[0].content)
    reviews = await world.rows("SELECT digest, reason FROM review WHERE kind = 'blob'")
    gone = {digest for each in (*parts, image("three", layers=["own"])) for digest in each.blobs}
    assert {row.digest for row in reviews if row.reason == "repository_deleted"} == gone
    kept = await world.rows("SELECT digest FROM review WHERE kind = 'manifest'")
    assert [row.digest for row in kept] == [parts[0].digest]
    last = (await world.rows("SELECT * FROM change ORDER BY revision DESC LIMIT 1"))[0]
    assert (last.kind, last.project_id, last.resource_name, last.reference, last.digest) == (
        "repository_delete",
        1,
        "alpha/app",
        "",
        "",
    )
    assert (last.actor_kind, last.actor_id, last.actor_name) == ("user", 7, "ann")
    with pytest.raises(DomainError) as caught:
        await delete(world, "alpha/app")
    assert caught.value.reason == "NOT_FOUND"


async def test_a_repository_of_another_project_is_not_deleted(world: World) -> None:
    await world.push("alpha/app", image("one"))
    with pytest.raises(DomainError) as caught:
        await delete(world, "alpha/app", project_id=2)
    assert caught.value.reason == "NOT_FOUND"
    assert await names(world) == ["alpha/app"]


async def test_pushes_and_deletions_at_once_leave_the_usage_exact(world: World) -> None:
    images = [image(f"i{number}", layers=["shared", f"l{number}"]) for number in range(6)]
    await world.push("alpha/app", images[0])

    refusals: list[str] = []

    async def attempt(work: Awaitable[object]) -> None:
        try:
            await work
        except DomainError as error:
            refusals.append(error.reason)

    pushes = [world.push("alpha/app", each, f"t{number}") for number, each in enumerate(images * 2)]
    work = [*pushes[:6], delete(world, "alpha/app"), delete(world, "alpha/app"), *pushes[6:]]
    await asyncio.gather(*(attempt(each) for each in work))
    # The repository may be deleted with its links before the manifest comes.
    assert set(refusals) <= {"MANIFEST_BLOB_UNKNOWN", "NOT_FOUND"}
    await world.used_bytes()
    for digest, count in await world.rows("SELECT digest, count FROM project_blob"):
        uses = await world.value(
            "SELECT (SELECT count(*) FROM repository_blob WHERE digest = :digest)"
            " + (SELECT count(*) FROM artifact WHERE digest = :digest)",
            digest=digest,
        )
        assert uses == count

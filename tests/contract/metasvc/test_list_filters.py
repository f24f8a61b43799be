"""`q` and `sort` of the lists of repositories, tags and accessories. test_artifact_lists.py has those of artifacts."""

from typing import Any

import pytest

from metasvc.domain.artifact import list_accessories
from metasvc.domain.artifact_tag import list_tags
from metasvc.domain.repository import list_all_repositories, list_repositories
from svckit.access.decision import AccessibleProjects
from svckit.errors import DomainError
from svckit.oci.reference import Reference
from tests.contract.metasvc.test_artifact_lists import REPOSITORY, digests, signature
from tests.contract.metasvc.world import World, asked, image


async def repositories(world: World, **request: Any) -> list[str]:
    page = await list_repositories(world.ports, project_id=1, request=asked(**request))
    assert page.total_size == len(page.items)
    return [each.repository.name.removeprefix("alpha/") for each in page.items]


async def tags(world: World, **request: Any) -> list[str]:
    page = await list_tags(
        world.ports, project_id=1, repository=REPOSITORY, reference=Reference.parse("v0"), request=asked(**request)
    )
    assert page.total_size == len(page.items)
    return [tag.name for tag in page.items]


async def accessories(world: World, **request: Any) -> list[str]:
    page = await list_accessories(
        world.ports, project_id=1, repository=REPOSITORY, reference=Reference.parse("v0"), request=asked(**request)
    )
    assert page.total_size == len(page.items)
    return [accessory.digest for accessory in page.items]


async def test_repositories_are_filtered_by_what_they_have(world: World) -> None:
    for number in range(4):
        world.later(hours=1)
        await world.push(f"alpha/r{number}", image("one"))
    await world.push("beta/r0", image("one"), project_id=2)
    await world.execute("UPDATE repository SET pull_count = id * 10, description = 'about ' || name")
    ids = {row.name: row.id for row in await world.rows("SELECT id, name FROM repository")}

    assert await repositories(world, q="pull_count=[20~30]") == ["r2", "r1"]
    assert await repositories(world, q="PullCount={10 40 50}") == ["r3", "r0"]
    assert await repositories(world, q="description=~ABOUT alpha/r2") == ["r2"]
    assert await repositories(world, q=f"repository_id={ids['alpha/r1']}") == ["r1"]
    assert await repositories(world, q=f"id=[{ids['alpha/r2']}~]", sort="id") == ["r2", "r3"]
    assert await repositories(world, q="creation_time=[2026-01-01T02:00:00~2026-01-01T03:00:00]") == ["r2", "r1"]
    assert await repositories(world, q="name={alpha/r0 beta/r0}") == ["r0"]
    assert await repositories(world, q="name=~r,pull_count=[30~],update_time=[~2026-01-01T03:00:00]") == ["r2"]
    assert await repositories(world, sort="-pull_count") == ["r3", "r2", "r1", "r0"]
    world.visible.projects = AccessibleProjects(all=True)
    page = await list_all_repositories(world.ports, request=asked(q="project_id=2,name=~r"))
    assert [each.repository.name for each in page.items] == ["beta/r0"]


async def test_artifacts_are_filtered_by_types_sizes_and_times(world: World) -> None:
    subject = image("one")
    mark = signature(image("gone"))
    for pushed in (subject, mark):
        world.later(hours=1)
        await world.push(REPOSITORY, pushed)
    await world.execute(
        "UPDATE artifact SET pull_time = '2026-05-01 00:00:00' WHERE digest = :digest", digest=mark.digest
    )

    assert await digests(world, q="artifact_type=application/vnd.dev.cosign.artifact.sig.v1+json") == [mark.digest]
    assert await digests(world, q="ArtifactType=~COSIGN") == [mark.digest]
    assert await digests(world, q="manifest_media_type=~manifest") == [mark.digest, subject.digest]
    assert await digests(world, q="size=[1~]", sort="id") == [subject.digest, mark.digest]
    assert await digests(world, q="size=[~1]") == []
    assert await digests(world, q="pull_time=[2026-04-01~]") == [mark.digest]
    # Never is before everything, as in Harbor.
    assert await digests(world, q="pull_time=[~2026-04-01]") == [subject.digest]
    assert await digests(world, sort="pull_time") == [subject.digest, mark.digest]
    assert await digests(world, sort="-artifact_type,digest") != []


async def test_tags_are_filtered_by_names_and_times(world: World) -> None:
    for number in range(3):
        world.later(hours=1)
        await world.push(REPOSITORY, image("one"), f"v{number}")
    await world.execute("UPDATE tag SET pull_time = '2026-05-01 00:00:00' WHERE name = 'v1'")

    assert await tags(world, q="name={v0 v2 v9}") == ["v2", "v0"]
    assert await tags(world, q=r"name=\v1") == ["v1"]
    assert await tags(world, q="push_time=[2026-01-01T02:00:00~]") == ["v2", "v1"]
    assert await tags(world, q="pull_time=[2026-04-01~]") == ["v1"]
    assert await tags(world, q="pull_time=[~2026-04-01]", sort="name") == ["v0", "v2"]


async def test_accessories_are_filtered_and_unknown_keys_are_refused(world: World) -> None:
    subject = image("one")
    await world.push(REPOSITORY, subject, "v0")
    marks = [signature(subject, f"s{number}", annotations={"pad": "x" * 100 * number}) for number in range(3)]
    for mark in marks:
        world.later(hours=1)
        await world.push(REPOSITORY, mark)
    await world.push(REPOSITORY, image("by tag"), f"sha256-{subject.digest[7:]}.att")
    first, second, third = (mark.digest for mark in marks)

    assert await accessories(world, q="type=signature.cosign") == [first, second, third]
    assert await accessories(world, q="type=~SUBJECT") == [image("by tag").digest]
    assert await accessories(world, q=f"digest={{{first} {third}}}", sort="-size") == [third, first]
    assert await accessories(world, q="creation_time=[~2026-01-01T02:00:00]", sort="-creation_time") == [second, first]
    assert await accessories(world, sort="digest") == sorted([first, second, third, image("by tag").digest])
    sizes = {row.digest: row.size for row in await world.rows("SELECT digest, size FROM artifact")}
    assert await accessories(world, q=f"size=[{sizes[second]}~],type=signature.cosign") == [second, third]
    for wrong in ({"q": "icon=x"}, {"q": "type"}, {"sort": "icon"}, {"sort": "-type,type"}):
        with pytest.raises(DomainError) as caught:
            await accessories(world, **wrong)
        assert caught.value.reason == "BAD_REQUEST"

"""The artifacts of all repositories of a project, and the latest of each repository."""

from typing import Any

import pytest

from metasvc.domain.artifact import list_project_artifacts
from metasvc.domain.lists import ArtifactParts, ArtifactView
from svckit.errors import DomainError
from svckit.listing import Page
from svckit.oci import media_types
from tests.contract.metasvc.test_artifact_lists import signature
from tests.contract.metasvc.world import Image, World, asked, descriptor, image, index

CHART = "application/vnd.cncf.helm.config.v1+json"


async def listed(
    world: World, *, latest: bool = False, project_id: int = 1, parts: ArtifactParts | None = None, **request: Any
) -> Page[ArtifactView]:
    return await list_project_artifacts(
        world.ports,
        project_id=project_id,
        request=asked(**request),
        parts=ArtifactParts() if parts is None else parts,
        latest=latest,
    )


async def names(world: World, **request: Any) -> list[str]:
    page = await listed(world, **request)
    assert page.total_size == len(page.items)
    return [f"{view.artifact.repository_name}:{view.tags[0].name if view.tags else '-'}" for view in page.items]


def chart(name: str) -> Image:
    return image(name, config=descriptor(f"config of {name}", 10, CHART))


async def push_some(world: World) -> None:
    for number in range(3):
        for repository in ("alpha/a", "alpha/b"):
            world.later(minutes=1)
            await world.push(repository, image(f"{repository} {number}"), f"v{number}")
    world.later(minutes=1)
    await world.push("alpha/a", chart("chart"), "chart")
    await world.push("beta/a", image("foreign"), "v9", project_id=2)


async def test_all_repositories_are_shown_with_their_names_and_no_other_project(world: World) -> None:
    await push_some(world)

    assert await names(world) == [
        "alpha/a:chart",
        "alpha/b:v2",
        "alpha/a:v2",
        "alpha/b:v1",
        "alpha/a:v1",
        "alpha/b:v0",
        "alpha/a:v0",
    ]
    assert await names(world, project_id=2) == ["beta/a:v9"]
    assert await names(world, project_id=3) == []
    assert await names(world, q="repository_name=alpha/b,tags=~1") == ["alpha/b:v1"]
    assert await names(world, q="type=CHART") == ["alpha/a:chart"]
    assert await names(world, q="repository_name=~A/A", sort="push_time", page_size=100) == [
        f"alpha/a:{tag}" for tag in ("v0", "v1", "v2", "chart")
    ]
    [foreign] = await world.rows("SELECT id FROM repository WHERE name = 'beta/a'")
    assert await names(world, q=f"repository_id={foreign.id}") == []


async def test_what_is_shown_with_another_is_left_out_and_shown_there(world: World) -> None:
    # The same image, signed in one of two repositories only, and an index of it in the other.
    subject, mark = image("one"), signature(image("one"))
    for repository in ("alpha/a", "alpha/b"):
        await world.push(repository, subject, "v1")
    await world.push("alpha/a", mark)
    part = image("part")
    await world.push("alpha/b", part)
    await world.push("alpha/b", index([part]), "all")

    page = await listed(world, parts=ArtifactParts(accessories=True))

    shown = {(view.artifact.repository_name, view.artifact.digest): view for view in page.items}
    assert set(shown) == {
        ("alpha/a", subject.digest),
        ("alpha/b", subject.digest),
        ("alpha/b", index([part]).digest),
    }
    assert [each.digest for each in shown["alpha/a", subject.digest].accessories] == [mark.digest]
    assert shown["alpha/b", subject.digest].accessories == ()


@pytest.mark.parametrize("sort", ["", "repository_name,-digest", "-size", "type,push_time"])
@pytest.mark.parametrize("latest", [False, True])
async def test_pages_by_token_and_by_number_agree(world: World, sort: str, latest: bool) -> None:
    for number in range(7):
        await world.push(f"alpha/r{number % 5}", image(f"i{number}"))
    wanted: dict[str, Any] = {
        "sort": sort,
        "latest": latest,
        "q": f"media_type={media_types.OCI_CONFIG}",
        "page_size": 2,
    }
    by_token: list[list[int]] = []
    token = ""
    while token or not by_token:
        page = await listed(world, page_token=token, **wanted)
        assert page.total_size == (5 if latest else 7)
        by_token.append([view.artifact.id for view in page.items])
        token = page.next_page_token

    pages = [await listed(world, page=number, **wanted) for number in range(1, len(by_token) + 1)]
    assert [[view.artifact.id for view in page.items] for page in pages] == by_token
    assert len({each for page_ in by_token for each in page_}) == (5 if latest else 7)


async def test_the_latest_of_each_repository_is_the_newest_that_matches(world: World) -> None:
    await push_some(world)

    by_media_type = f"media_type={media_types.OCI_CONFIG}"
    assert await names(world, latest=True, q=by_media_type) == ["alpha/b:v2", "alpha/a:v2"]
    assert await names(world, latest=True, q=f"media_type={CHART}") == ["alpha/a:chart"]
    assert await names(world, latest=True, q=f"artifact_type={CHART}") == ["alpha/a:chart"]
    assert await names(world, latest=True, q=f"{by_media_type},tags=~1") == ["alpha/b:v1", "alpha/a:v1"]
    assert await names(world, latest=True, q=f"{by_media_type},push_time=[~2026-01-01T00:03:00]") == [
        "alpha/a:v1",
        "alpha/b:v0",
    ]
    # Of two that were pushed at one moment, the second. An accessory of an image is not the latest image.
    for name in ("twin 1", "twin 2"):
        await world.push("alpha/b", image(name), name.replace(" ", "-"))
    await world.push("alpha/b", signature(image("twin 2")))
    assert await names(world, latest=True, q=by_media_type) == ["alpha/b:twin-2", "alpha/a:v2"]


@pytest.mark.parametrize("q", ["", "tags=v1", f"media_type={CHART},artifact_type={CHART}"])
async def test_the_latest_needs_one_type(world: World, q: str) -> None:
    with pytest.raises(DomainError) as caught:
        await listed(world, latest=True, q=q)

    assert caught.value.reason == "BAD_REQUEST"
    assert caught.value.violations[0].field == "q"


async def test_a_token_of_another_project_or_of_the_latest_is_refused(world: World) -> None:
    await push_some(world)
    q = f"media_type={media_types.OCI_CONFIG}"
    token = (await listed(world, page_size=1, q=q)).next_page_token
    assert token
    for other in ({"project_id": 2}, {"latest": True}):
        with pytest.raises(DomainError) as caught:
            await listed(world, page_size=1, q=q, page_token=token, **other)
        assert caught.value.reason == "INVALID_PAGE_TOKEN"

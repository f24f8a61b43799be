"""How people create, list and delete tags, and the history of a tag."""

import asyncio
from typing import Any

import pytest

from metasvc.domain.artifact_tag import create_tag, delete_tag, list_moves, list_tags
from metasvc.domain.lists import PastMove
from metasvc.domain.model import ChangeKind, Tag
from svckit.errors import DomainError
from svckit.idempotency import IdempotencyKey
from svckit.listing import ListRequest, Page
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import ORIGIN, OTHER_ORIGIN, World, asked, image

REPOSITORY = "alpha/app"
ONE, TWO = image("one"), image("two")


async def create(
    world: World, reference: str, name: str, *, project_id: int = 1, key: IdempotencyKey | None = None
) -> Tag:
    return await create_tag(
        world.ports,
        project_id=project_id,
        repository=REPOSITORY,
        reference=Reference.parse(reference),
        name=name,
        origin=OTHER_ORIGIN,
        key=key,
    )


def key(request: str, *, name: str = "k", subject: str = "user:9") -> IdempotencyKey:
    return IdempotencyKey(subject, "/roadstead.meta.v1.TagService/CreateTag", name, request)


async def delete(world: World, reference: str, name: str) -> None:
    await delete_tag(
        world.ports,
        project_id=1,
        repository=REPOSITORY,
        reference=Reference.parse(reference),
        name=name,
        origin=OTHER_ORIGIN,
    )


async def listed(world: World, reference: str, **request: Any) -> Page[Tag]:
    return await list_tags(
        world.ports,
        project_id=1,
        repository=REPOSITORY,
        reference=Reference.parse(reference),
        request=asked(**request),
    )


async def names(world: World, reference: str, **request: Any) -> list[str]:
    return [tag.name for tag in (await listed(world, reference, **request)).items]


async def moves(world: World, name: str, **request: Any) -> Page[PastMove]:
    return await list_moves(
        world.ports,
        project_id=1,
        repository=REPOSITORY,
        name=name,
        request=asked(**request),
    )


async def tags_now(world: World) -> dict[str, str]:
    rows = await world.rows("SELECT tag.name, artifact.digest FROM tag JOIN artifact ON artifact.id = artifact_id")
    return {row.name: row.digest for row in rows}


async def test_a_tag_is_put_on_an_artifact_by_tag_and_by_digest(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    world.later(hours=1)
    made = await create(world, "v1", "v2")
    assert (made.name, made.digest, made.push_time, made.pull_time) == ("v2", ONE.digest, world.now, None)
    assert made.id == await world.value("SELECT id FROM tag WHERE name = 'v2'")
    await create(world, ONE.digest, "v3")
    assert await tags_now(world) == {"v1": ONE.digest, "v2": ONE.digest, "v3": ONE.digest}
    assert (await world.resolve(REPOSITORY, "v2")).content == ONE.content
    last = (await world.changes())[-1].change
    assert (last.kind, last.resource_name, last.reference, last.digest) == (
        ChangeKind.TAG_PUT,
        REPOSITORY,
        "v3",
        ONE.digest,
    )
    assert last.origin == OTHER_ORIGIN


async def test_a_name_in_use_is_not_moved(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    await world.push(REPOSITORY, TWO, "v2")
    for reference in (TWO.digest, ONE.digest):
        with pytest.raises(DomainError) as caught:
            await create(world, reference, "v1")
        assert (caught.value.reason, caught.value.entry.http_status) == ("CONFLICT", 409)
    assert await tags_now(world) == {"v1": ONE.digest, "v2": TWO.digest}


async def test_of_many_who_make_one_tag_one_succeeds(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    await world.push(REPOSITORY, TWO, "v2")
    results = await asyncio.gather(
        *(create(world, reference, "new") for reference in ("v1", "v2") * 3), return_exceptions=True
    )
    made = [result for result in results if isinstance(result, Tag)]
    refusals = [result.reason for result in results if isinstance(result, DomainError)]
    assert (len(made), refusals) == (1, ["CONFLICT"] * 5)
    assert len((await moves(world, "new")).items) == 1


async def test_a_repeat_with_the_same_key_gives_the_first_answer_back(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    made = await create(world, "v1", "new", key=key("a"))
    world.later(hours=1)
    assert await create(world, "v1", "new", key=key("a")) == made
    assert len((await moves(world, "new")).items) == 1
    # Without the key, with another one, and by another caller it is a create of its own.
    for other in (None, key("a", name="l"), key("a", subject="user:7")):
        with pytest.raises(DomainError) as caught:
            await create(world, "v1", "new", key=other)
        assert caught.value.reason == "CONFLICT"


async def test_another_request_with_the_same_key_is_refused(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    await create(world, "v1", "new", key=key("a"))
    with pytest.raises(DomainError) as caught:
        await create(world, "v1", "other", key=key("b"))
    assert (caught.value.reason, caught.value.violations[0].field) == ("CONFLICT", "idempotency_key")
    assert await tags_now(world) == {"v1": ONE.digest, "new": ONE.digest}


async def test_a_create_that_failed_leaves_its_key_free(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    with pytest.raises(DomainError, match="NOT_FOUND"):
        await create(world, "v2", "new", key=key("a"))
    await world.push(REPOSITORY, TWO, "v2")
    assert (await create(world, "v2", "new", key=key("a"))).digest == TWO.digest


async def test_a_repeat_does_not_bring_back_a_tag_that_was_deleted_since(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    await create(world, "v1", "new", key=key("a"))
    await delete(world, "v1", "new")
    with pytest.raises(DomainError) as caught:
        await create(world, "v1", "new", key=key("a"))
    assert caught.value.reason == "CONFLICT"
    assert await tags_now(world) == {"v1": ONE.digest}


async def test_repeats_at_once_make_one_tag_and_hear_the_same(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    answers = await asyncio.gather(*(create(world, "v1", "new", key=key("a")) for _ in range(6)))
    assert len(set(answers)) == 1
    assert len((await moves(world, "new")).items) == 1


async def test_a_tag_needs_an_artifact(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    for reference, project_id in (("v9", 1), (TWO.digest, 1), ("v1", 2)):
        with pytest.raises(DomainError) as caught:
            await create(world, reference, "new", project_id=project_id)
        assert caught.value.reason == "NOT_FOUND"
    assert await tags_now(world) == {"v1": ONE.digest}


async def test_a_tag_is_deleted_from_the_artifact_that_it_is_on_and_from_no_other(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    await world.push(REPOSITORY, TWO, "v2")
    await create(world, "v1", "also")
    for reference, name in ((TWO.digest, "v1"), ("v2", "v1"), ("v1", "none"), ("none", "v1")):
        with pytest.raises(DomainError) as caught:
            await delete(world, reference, name)
        assert caught.value.reason == "NOT_FOUND"
    await delete(world, "v1", "also")
    await delete(world, "v1", "v1")
    await delete(world, TWO.digest, "v2")
    assert await tags_now(world) == {}
    assert await world.value("SELECT count(*) FROM artifact") == 2
    queued = await world.rows("SELECT digest FROM review WHERE kind = 'manifest' AND reason = 'untagged'")
    assert {row.digest for row in queued} == {ONE.digest, TWO.digest}


async def test_every_move_is_told_newest_first_in_pages(world: World) -> None:
    await world.push(REPOSITORY, ONE, "v1")
    await world.push(REPOSITORY, TWO)
    for target in (TWO, ONE, TWO):
        world.later(minutes=1)
        await world.put(REPOSITORY, target, "v1")
    await delete(world, "v1", "v1")
    await create(world, ONE.digest, "v1")
    await create(world, ONE.digest, "other")

    found = (await moves(world, "v1")).items
    assert [(move.previous_digest, move.digest) for move in found] == [
        ("", ONE.digest),
        (TWO.digest, ""),
        (ONE.digest, TWO.digest),
        (TWO.digest, ONE.digest),
        (ONE.digest, TWO.digest),
        ("", ONE.digest),
    ]
    assert [move.actor for move in found] == [OTHER_ORIGIN.actor] * 2 + [ORIGIN.actor] * 4
    revisions = [move.revision for move in found]
    assert revisions == sorted(revisions, reverse=True)

    pages: list[tuple[PastMove, ...]] = []
    token = ""
    while token or not pages:
        page = await moves(world, "v1", page_size=4, page_token=token)
        pages.append(page.items)
        token = page.next_page_token
        assert page.total_size == 6
    assert [len(page_) for page_ in pages] == [4, 2]
    assert (*pages[0], *pages[1]) == found
    assert (await moves(world, "never")).items == ()
    with pytest.raises(DomainError) as caught:
        await list_moves(world.ports, project_id=2, repository=REPOSITORY, name="v1", request=ListRequest())
    assert caught.value.reason == "NOT_FOUND"


@pytest.mark.parametrize("sort", ["", "name", "-push_time,name", "-pull_time", "pull_time,name", "id"])
async def test_pages_of_tags_by_token_and_by_number_agree(world: World, sort: str) -> None:
    await world.push(REPOSITORY, ONE, "base")
    await world.push(REPOSITORY, TWO, "of-another")
    for number in range(6):
        world.later(seconds=number % 2)
        await create(world, "base", f"t{number}")
    # Some were pulled, most never: both have their place in the order.
    await world.execute("UPDATE tag SET pull_time = push_time WHERE name IN ('t1', 't4')")
    by_token: list[list[str]] = []
    token = ""
    while token or not by_token:
        page = await listed(world, ONE.digest, sort=sort, page_size=3, page_token=token)
        by_token.append([tag.name for tag in page.items])
        assert page.total_size == 7
        token = page.next_page_token
    assert by_token == [await names(world, "t3", sort=sort, page_size=3, page=number) for number in (1, 2, 3)]
    assert sorted(name for page_ in by_token for name in page_) == ["base", *(f"t{number}" for number in range(6))]


async def test_tags_are_narrowed_by_name_and_by_nothing_else(world: World) -> None:
    await world.push(REPOSITORY, ONE, "base")
    await create(world, "base", "v1.0")
    assert await names(world, "base", q="name=~V1") == ["v1.0"]
    assert await names(world, "base", q="name={base x}") == ["base"]
    for wrong in ({"q": "digest=a"}, {"sort": "digest"}):
        with pytest.raises(DomainError) as caught:
            await listed(world, "base", **wrong)
        assert caught.value.reason == "BAD_REQUEST"
    with pytest.raises(DomainError) as caught:
        await listed(world, "none")
    assert caught.value.reason == "NOT_FOUND"

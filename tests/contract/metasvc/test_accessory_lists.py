"""Lists of accessories, and how accessories appear in lists of artifacts."""

from typing import Any

import pytest

from metasvc.domain.artifact import list_accessories
from metasvc.domain.lists import Accessory
from svckit.errors import DomainError
from svckit.oci.reference import Reference
from tests.contract.metasvc.test_artifact_lists import REPOSITORY, digests, got, listed, signature
from tests.contract.metasvc.world import World, asked, image


async def test_an_accessory_is_listed_until_its_subject_comes(world: World) -> None:
    subject = image("one")
    by_field, by_tag, ordinary = signature(subject), image("by tag"), image("ordinary")
    tag = f"sha256-{subject.digest[7:]}"
    await world.push(REPOSITORY, by_field)
    await world.push(REPOSITORY, by_tag, f"{tag}.sig")
    # Not an index, so its tag is an ordinary one.
    await world.push(REPOSITORY, ordinary, tag)
    assert set(await digests(world)) == {by_field.digest, by_tag.digest, ordinary.digest}
    await world.push(REPOSITORY, subject, "v1")
    assert set(await digests(world)) == {subject.digest, ordinary.digest}
    [view] = (await listed(world, with_accessory=True, q="tags=v1")).items
    assert {each.digest for each in view.accessories} == {by_field.digest, by_tag.digest}
    # With an ordinary tag it is an image too; without its tag it is nothing but an image.
    await world.put(REPOSITORY, by_tag, "kept")
    assert by_tag.digest in await digests(world)
    await world.delete(REPOSITORY, "kept")
    await world.delete(REPOSITORY, f"{tag}.sig")
    assert set(await digests(world)) == {subject.digest, ordinary.digest, by_tag.digest}


async def test_a_signature_that_another_has_replaced_stays_an_accessory(world: World) -> None:
    subject, old, new = image("one"), image("old"), image("new")
    tag = f"sha256-{subject.digest[7:]}.sig"
    await world.push(REPOSITORY, subject, "v1")
    for signed in (old, new):
        await world.push(REPOSITORY, signed, tag)

    assert await digests(world) == [subject.digest]
    assert {each.digest for each in (await got(world, "v1")).accessories} == {old.digest, new.digest}

    # The tag comes back to the old one, and is deleted: then the old one is an image.
    await world.put(REPOSITORY, old, tag)
    await world.delete(REPOSITORY, tag)

    assert set(await digests(world)) == {subject.digest, old.digest}


async def test_an_artifact_that_is_an_accessory_for_two_reasons_is_listed_once(world: World) -> None:
    subject = image("one")
    mark = signature(subject)
    await world.push(REPOSITORY, subject, "v1")
    await world.push(REPOSITORY, mark, f"sha256-{subject.digest[7:]}.sig")
    await world.put(REPOSITORY, mark, f"sha256-{subject.digest[7:]}.att")
    assert await world.value("SELECT count(*) FROM artifact_accessory") == 3
    [accessory] = (await got(world, "v1")).accessories
    assert accessory.digest == mark.digest
    found = await list_accessories(
        world.ports, project_id=1, repository=REPOSITORY, reference=Reference.parse("v1"), request=asked()
    )
    assert ([each.digest for each in found.items], found.total_size) == ([mark.digest], 1)


async def test_accessories_are_listed_in_pages_by_tag_and_by_a_digest_that_is_gone(world: World) -> None:
    subject = image("one")
    await world.push(REPOSITORY, subject, "v1")
    marks = [signature(subject, f"s{number}") for number in range(5)]
    for mark in marks:
        await world.push(REPOSITORY, mark)

    async def page(reference: str, **request: Any) -> list[str]:
        found = await list_accessories(
            world.ports,
            project_id=1,
            repository=REPOSITORY,
            reference=Reference.parse(reference),
            request=asked(**request),
        )
        assert found.total_size == 5
        tokens.append(found.next_page_token)
        return [accessory.digest for accessory in found.items]

    tokens: list[str] = []
    everything = [mark.digest for mark in marks]
    assert await page("v1") == everything
    assert await page("v1", page_size=3) == everything[:3]
    assert await page(subject.digest, page_size=3, page_token=tokens[-1]) == everything[3:]
    assert await page(subject.digest, page_size=3, page=2) == everything[3:]

    # An ordinary tag keeps an accessory when its subject is deleted.
    for mark in marks:
        await world.put(REPOSITORY, mark, f"kept-{mark.digest[7:14]}")
    await world.delete(REPOSITORY, subject.digest)
    assert await page(subject.digest) == everything
    for reference in ("v1", image("two").digest):
        with pytest.raises(DomainError) as caught:
            await page(reference)
        assert caught.value.reason == "NOT_FOUND"


async def test_accessories_are_sorted_by_what_people_sort_by(world: World) -> None:
    subject = image("one")
    await world.push(REPOSITORY, subject, "v1")
    for number in range(4):
        world.later(seconds=1)
        await world.push(REPOSITORY, signature(subject, f"s{number}", annotations={"pad": "x" * (7 * number % 4)}))
    for sort in ("type", "-size", "-creation_time", "artifact_id"):
        found: list[Accessory] = []
        token = ""
        while token or not found:
            page = await list_accessories(
                world.ports,
                project_id=1,
                repository=REPOSITORY,
                reference=Reference.parse("v1"),
                request=asked(sort=sort, page_size=3, page_token=token),
            )
            found += page.items
            token = page.next_page_token
        assert len({each.digest for each in found}) == len(found) == 4
        if sort == "-size":
            assert [each.size for each in found] == sorted((each.size for each in found), reverse=True)
        if sort == "-creation_time":
            assert [each.create_time for each in found] == sorted((each.create_time for each in found), reverse=True)

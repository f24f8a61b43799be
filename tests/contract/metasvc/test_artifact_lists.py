"""Lists of artifacts: pages, filters, children, accessories, and what a list leaves out."""

import json
from typing import Any

import pytest
from sqlalchemy import update

from metasvc.convert import from_artifact
from metasvc.domain.artifact import delete_named_artifact, get_artifact, list_artifacts
from metasvc.domain.lists import ArtifactParts, ArtifactView
from metasvc.store.tables import artifact
from svckit.errors import DomainError, Invalid
from svckit.listing import ListRequest, Page
from svckit.oci import media_types
from svckit.oci.reference import Reference
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.world import ORIGIN, Image, World, asked, image, index

REPOSITORY = "alpha/app"


async def listed(
    world: World, *, with_tag: bool = True, with_accessory: bool = False, with_label: bool = False, **request: Any
) -> Page[ArtifactView]:
    return await list_artifacts(
        world.ports,
        project_id=1,
        repository=REPOSITORY,
        request=asked(**request),
        parts=ArtifactParts(with_tag, with_accessory, with_label),
    )


async def digests(world: World, **request: Any) -> list[str]:
    return [view.artifact.digest for view in (await listed(world, **request)).items]


async def got(world: World, reference: str, *, whole: bool = True) -> ArtifactView:
    return await get_artifact(
        world.ports,
        project_id=1,
        repository=REPOSITORY,
        reference=Reference.parse(reference),
        parts=ArtifactParts(whole, whole, whole),
    )


async def refused(world: World, **request: Any) -> str:
    with pytest.raises(DomainError) as caught:
        await listed(world, **request)
    return caught.value.reason


def signature(subject: Image, name: str = "signature", **more: Any) -> Image:
    return image(
        name,
        layers=[f"layer of {name}"],
        artifactType="application/vnd.dev.cosign.artifact.sig.v1+json",
        subject={"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)},
        **more,
    )


async def push_many(world: World, count: int) -> list[Image]:
    """Pairs of them were pushed in the same moment, so that the id has to decide."""
    images = [image(f"i{number}") for number in range(count)]
    for number, each in enumerate(images):
        if number % 2 == 0:
            world.later(seconds=1)
        await world.push(REPOSITORY, each, f"t{number:02}")
    return images


@pytest.mark.parametrize(
    "sort", ["", "push_time", "-pull_time", "size,-digest", "digest", "-type,size", "media_type", "-id"]
)
async def test_pages_by_token_and_by_number_agree(world: World, sort: str) -> None:
    images = await push_many(world, 11)
    # Some were pulled, most never: both have their place in the order.
    await world.execute("UPDATE artifact SET pull_time = push_time WHERE id IN (2, 5)")
    by_token: list[list[str]] = []
    token = ""
    while token or not by_token:
        page = await listed(world, sort=sort, page_size=4, page_token=token)
        by_token.append([view.artifact.digest for view in page.items])
        assert page.total_size == 11
        token = page.next_page_token
    assert by_token == [await digests(world, sort=sort, page_size=4, page=number) for number in (1, 2, 3)]
    assert sorted(digest for page_ in by_token for digest in page_) == sorted(each.digest for each in images)


async def test_the_newest_come_first_unless_said(world: World) -> None:
    images = await push_many(world, 5)
    newest = [each.digest for each in reversed(images)]
    assert await digests(world) == newest
    assert await digests(world, sort="push_time") == newest[::-1]
    assert await digests(world, page=2, page_size=2) == newest[2:4]
    beyond = await listed(world, page=9)
    assert (beyond.items, beyond.total_size) == ((), 5)


async def test_q_asks_for_what_artifacts_have(world: World) -> None:
    one, two = image("one"), image("two")
    chart = image("chart", config=_config("application/vnd.cncf.helm.config.v1+json"))
    for pushed, tag in ((one, "v1"), (two, None), (chart, "chart-1")):
        world.later(hours=1)
        await world.push(REPOSITORY, pushed, tag)
        if pushed is chart:
            await world.put(REPOSITORY, pushed, tags=["v2"])
    everything = {each.digest: name for each, name in ((one, "one"), (two, "two"), (chart, "chart"))}

    async def names(q: str) -> set[str]:
        page = await listed(world, q=q)
        assert page.total_size == len(page.items)
        return {everything[view.artifact.digest] for view in page.items}

    assert await names("") == {"one", "two", "chart"}
    assert await names(f"digest={one.digest}") == {"one"}
    assert await names("type=CHART") == {"chart"}
    assert await names("type={CHART IMAGE}") == {"one", "two", "chart"}
    assert await names(f"media_type={media_types.OCI_CONFIG}") == {"one", "two"}
    assert await names("push_time=[2026-01-01T01:30:00~2026-01-01T02:00:00]") == {"two"}
    assert await names("tags=*") == {"one", "chart"}
    assert await names("tags=nil") == {"two"}
    assert await names("tags=v1") == {"one"}
    assert await names("tags=~V") == {"one", "chart"}
    assert await names("tags=~%") == set()
    assert await names("tags={v1 v2 v3}") == {"one", "chart"}
    assert await names("tags=(v2 chart-1)") == {"chart"}
    assert await names("tags=(v1 v2)") == set()
    assert await names("tags=*,type=IMAGE") == {"one"}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"q": "labels=(one)"}, "BAD_REQUEST"),
        ({"q": "labels=~1"}, "BAD_REQUEST"),
        ({"q": "labels=(7 8)"}, ""),
        ({"q": "repository_id=1"}, "BAD_REQUEST"),
        ({"q": "tags=[a~b]"}, "BAD_REQUEST"),
        ({"q": "digest=nil"}, ""),
        ({"q": "digest=' OR 1=1 --"}, ""),
        ({"q": "type=a\0b"}, "BAD_REQUEST"),
        ({"q": "push_time=[9999-12-31T23:59:59-12:00~]"}, "BAD_REQUEST"),
        ({"sort": "repository_name"}, "BAD_REQUEST"),
        ({"sort": "push_time,push_time"}, "BAD_REQUEST"),
        ({"page": 2**31 - 1}, "BAD_REQUEST"),
        ({"page_token": "AAAA"}, "INVALID_PAGE_TOKEN"),
        ({"page_token": "\ud800"}, "INVALID_PAGE_TOKEN"),
    ],
)
async def test_hostile_requests_are_refused_or_find_nothing(
    world: World, request_: dict[str, Any], reason: str
) -> None:
    await world.push(REPOSITORY, image("one"))
    if reason:
        assert await refused(world, **request_) == reason
    else:
        assert await digests(world, **request_) == []


async def test_a_token_of_another_repository_or_sort_is_refused(world: World) -> None:
    await push_many(world, 3)
    await world.push("alpha/other", image("one"))
    token = (await listed(world, page_size=2)).next_page_token
    assert await refused(world, page_size=2, page_token=token, sort="size") == "INVALID_PAGE_TOKEN"
    with pytest.raises(Invalid):
        await list_artifacts(
            world.ports,
            project_id=1,
            repository="alpha/other",
            request=ListRequest(page_token=token),
            parts=ArtifactParts(tags=False),
        )


async def test_what_is_shown_with_another_is_left_out(world: World) -> None:
    parts = [image("amd"), image("arm")]
    for part in parts:
        await world.push(REPOSITORY, part)
    whole = index(parts)
    await world.push(REPOSITORY, whole, "v1")
    mark = signature(whole)
    await world.push(REPOSITORY, mark)
    assert await digests(world) == [whole.digest]
    assert (await listed(world)).total_size == 1

    # A child with a tag of its own is an image in its own right, and a signature is one of nothing without its subject.
    await world.put(REPOSITORY, parts[0], tags=["amd"])
    assert set(await digests(world)) == {whole.digest, parts[0].digest}
    await world.delete(REPOSITORY, whole.digest)
    assert await digests(world) == [parts[0].digest]


async def test_an_artifact_comes_with_children_tags_and_accessories(world: World) -> None:
    parts = [image("amd"), image("arm")]
    for part in parts:
        await world.push(REPOSITORY, part)
    whole = index(parts, annotations={"who": "me"})
    await world.push(REPOSITORY, whole, "v1")
    world.later(seconds=1)
    await world.put(REPOSITORY, whole, tags=["v2"])
    await world.push(REPOSITORY, signature(whole))

    for view in (await got(world, "v2"), (await listed(world, with_accessory=True)).items[0]):
        assert view.artifact.digest == whole.digest
        assert [child.child_digest for child in view.references] == [part.digest for part in parts]
        assert [tag.name for tag in view.tags] == ["v2", "v1"]
        [accessory] = view.accessories
        assert (accessory.type, accessory.subject_artifact_id) == ("signature.cosign", view.artifact.id)

    for view in (await got(world, whole.digest, whole=False), (await listed(world, with_tag=False)).items[0]):
        assert (view.tags, view.accessories) == ((), ())
        assert len(view.references) == 2
        assert view.artifact.annotations == {"who": "me"}


async def test_the_message_says_all_of_it(world: World) -> None:
    part = image("amd")
    await world.push(REPOSITORY, part)
    whole = index([part], annotations={"who": "me"})
    await world.push(REPOSITORY, whole, "v1")
    message = from_artifact(await got(world, "v1"))
    assert (message.type, message.media_type, message.repository_name) == ("IMAGE", media_types.OCI_INDEX, REPOSITORY)
    assert message.references[0].parent_id == message.id
    assert message.references[0].platform.architecture == "arch0"
    assert message.tags[0].artifact_id == message.id
    assert message.tags[0].push_time.ToDatetime(world.now.tzinfo) == world.now
    assert not message.HasField("pull_time")
    assert message.HasField("extra_attributes")
    assert dict(message.annotations) == {"who": "me"}


async def test_attributes_of_any_depth_fit_into_a_message(world: World) -> None:
    deep: Any = "bottom"
    for _ in range(60):
        deep = {"a": [deep]}
    await world.push(REPOSITORY, image("one"), "v1")
    async with world.database.write() as conn:
        await conn.execute(update(artifact).values(extra_attrs={"config": deep}))
        await conn.commit()
    message = from_artifact(await got(world, "v1"))
    assert type(message).FromString(message.SerializeToString()) == message


async def test_what_is_too_long_for_a_list_is_shown_alone(world: World) -> None:
    part = image("amd")
    await world.push(REPOSITORY, part)
    long = {"text": "x" * 40_000}
    document = json.loads(index([part], annotations=long).content)
    document["manifests"][0]["annotations"] = long
    whole = Image(json.dumps(document).encode(), media_types.OCI_INDEX, {})
    await world.push(REPOSITORY, whole, "v1")
    [view] = (await listed(world)).items
    assert view.artifact.annotations == {}
    assert view.references[0].annotations == {}
    alone = await got(world, "v1")
    assert alone.artifact.annotations == long
    assert alone.references[0].annotations == long


async def test_a_page_costs_the_same_number_of_queries_whatever_is_on_it(world: World) -> None:
    await push_many(world, 1)
    with sent_statements("SELECT") as few:
        await listed(world, with_accessory=True)
    parts = [image("amd"), image("arm")]
    for part in parts:
        await world.push(REPOSITORY, part)
    for number in range(10):
        whole = index(parts, annotations={"n": str(number)})
        await world.push(REPOSITORY, whole, f"index-{number}")
        await world.push(REPOSITORY, signature(whole, f"signature-{number}"))
    with sent_statements("SELECT") as many:
        assert len((await listed(world, with_accessory=True)).items) == 10
    assert len(many) == len(few) == 6


async def test_what_is_not_there_is_not_found(world: World) -> None:
    one = image("one")
    await world.push(REPOSITORY, one, "v1")
    for repository, project_id, reference in (
        (REPOSITORY, 1, "v2"),
        (REPOSITORY, 1, image("two").digest),
        ("alpha/none", 1, "v1"),
        (REPOSITORY, 2, "v1"),
        (REPOSITORY, 2, one.digest),
    ):
        with pytest.raises(DomainError) as caught:
            await get_artifact(
                world.ports,
                project_id=project_id,
                repository=repository,
                reference=Reference.parse(reference),
                parts=ArtifactParts(accessories=True),
            )
        assert caught.value.reason == "NOT_FOUND"
    with pytest.raises(DomainError) as caught:
        await list_artifacts(
            world.ports,
            project_id=2,
            repository=REPOSITORY,
            request=ListRequest(),
            parts=ArtifactParts(accessories=True),
        )
    assert caught.value.reason == "NOT_FOUND"


async def test_an_artifact_is_deleted_by_tag_with_all_its_tags_and_not_while_an_index_names_it(world: World) -> None:
    part = image("amd")
    await world.push(REPOSITORY, part, "amd")
    whole = index([part])
    await world.push(REPOSITORY, whole, "v1")
    await world.put(REPOSITORY, whole, tags=["v2"])

    async def delete(reference: str) -> None:
        await delete_named_artifact(
            world.ports,
            project_id=1,
            repository=REPOSITORY,
            reference=Reference.parse(reference),
            origin=ORIGIN,
        )

    with pytest.raises(DomainError) as caught:
        await delete("amd")
    assert (caught.value.reason, caught.value.entry.http_status) == ("PRECONDITION", 412)
    await delete("v2")
    assert await world.rows("SELECT name FROM tag ORDER BY name") == [("amd",)]
    for gone in ("v1", whole.digest):
        with pytest.raises(DomainError) as caught:
            await delete(gone)
        assert caught.value.reason == "NOT_FOUND"
    await delete(part.digest)
    assert await digests(world) == []
    kinds = await world.rows("SELECT kind, reference FROM change WHERE kind LIKE '%delete' ORDER BY revision")
    assert [tuple(row) for row in kinds] == [
        ("tag_delete", "v1"),
        ("tag_delete", "v2"),
        ("manifest_delete", whole.digest),
        ("tag_delete", "amd"),
        ("manifest_delete", part.digest),
    ]


def _config(media_type: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(image("chart").content)["config"]
    return {**config, "mediaType": media_type}


async def test_a_child_shows_the_signatures_of_the_indexes_that_name_it(world: World) -> None:
    child, other = image("child"), image("other")
    for each in (child, other):
        await world.push(REPOSITORY, each, each.digest[7:20])
    # The first index names the child twice. The third is not signed, and an SBOM is no signature.
    wholes = [index([child, child]), index([child, other]), index([child], annotations={"n": "3"})]
    for whole in wholes:
        await world.push(REPOSITORY, whole)
    marks = [signature(whole, f"mark {number}") for number, whole in enumerate(wholes[:2])]
    own = signature(child, "own")
    for mark in (*marks, own):
        await world.push(REPOSITORY, mark)
    await world.push(REPOSITORY, image("sbom"), f"sha256-{wholes[2].digest[7:]}.sbom")

    page = await list_artifacts(
        world.ports,
        project_id=1,
        repository=REPOSITORY,
        request=asked(),
        parts=ArtifactParts(accessories=True, inherited_accessories=True),
    )

    views = {view.artifact.digest: view for view in page.items}
    shown = {each: [(mark.digest, mark.subject_digest) for mark in views[each].inherited_accessories] for each in views}
    assert shown[child.digest] == [(mark.digest, whole.digest) for mark, whole in zip(marks, wholes, strict=False)]
    assert shown[other.digest] == [(marks[1].digest, wholes[1].digest)]
    assert [each.digest for each in views[child.digest].accessories] == [own.digest]
    assert {digest for digest, inherited in shown.items() if inherited} == {child.digest, other.digest}
    message = from_artifact(views[child.digest])
    assert [each.digest for each in message.inherited_accessories] == [mark.digest for mark in marks]
    assert (await listed(world, with_accessory=True)).items[0].inherited_accessories == ()

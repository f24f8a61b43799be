"""Pages fit into a message, whatever is on them."""

import pytest

from metasvc.convert import from_artifact
from metasvc.domain import tag as tag_names
from metasvc.domain.lists import MOST_LISTED_CHARACTERS
from metasvc.domain.tag import list_names
from roadstead.meta.v1 import artifact_service_pb2 as pb
from svckit.rpc.late_requests import MAXIMUM_MESSAGE_BYTES
from tests.contract.metasvc.test_artifact_lists import REPOSITORY, got, listed
from tests.contract.metasvc.test_referrer import about, referrers
from tests.contract.metasvc.world import MIB, World, image


async def test_a_full_page_of_large_artifacts_fits_into_a_message(world: World) -> None:
    # Each is just short enough for a list. Together they would be too large.
    # SQLite stores JSON in ASCII, so there an emoji has twelve characters.
    text = ("\U0001f600" if world.database.dialect == "postgresql" else "x") * (MOST_LISTED_CHARACTERS - 100)
    for number in range(100):
        await world.push(REPOSITORY, image(f"number {number}", annotations={"text": text, "number": str(number)}))
    page = await listed(world, page_size=100)
    assert len(page.items) == 100
    message = pb.ListArtifactsResponse(artifacts=map(from_artifact, page.items))
    assert message.ByteSize() < MAXIMUM_MESSAGE_BYTES / 2
    shown = [view for view in page.items if view.artifact.annotations]
    assert 0 < len(shown) < 100
    whole = await got(world, page.items[0].artifact.digest)
    assert whole.artifact.annotations["text"] == text


async def test_a_page_ends_before_it_is_too_large_for_a_message(world: World) -> None:
    subject = image("subject")
    texts = ["x" * 3 * MIB] * 3 + ["x"] * 5 + ["x" * 3 * MIB]
    large = [about(subject, f"number {number}", annotations={"text": text}) for number, text in enumerate(texts)]
    for each in large:
        await world.push("alpha/app", each)

    pages = [await referrers(world, subject.digest)]
    while pages[-1].next_page_token:
        pages.append(await referrers(world, subject.digest, page_token=pages[-1].next_page_token))

    # Three of the first do not fit together; the third, the small ones and the last do not either.
    assert [len(page.items) for page in pages] == [1, 1, 6, 1]
    found = [referrer for page in pages for referrer in page.items]
    assert [referrer.digest for referrer in found] == [each.digest for each in large]
    assert [referrer.annotations["text"] for referrer in found] == texts
    assert {page.total_size for page in pages} == {len(large)}
    assert [len((await referrers(world, subject.digest, page_size=1)).items), pages[-1].next_page_token] == [1, ""]


async def test_only_those_of_one_type_count_for_the_room_of_a_page(world: World) -> None:
    subject = image("subject")
    for number in range(3):
        for kind in ("a", "b"):
            text = "x" * 3 * MIB if kind == "a" else "y"
            await world.push(
                "alpha/app",
                about(subject, f"{kind}{number}", annotations={"text": text}, artifactType=f"application/vnd.{kind}"),
            )
    page = await referrers(world, subject.digest, artifact_type="application/vnd.b")
    assert (len(page.items), page.next_page_token) == (3, "")


async def test_more_names_than_fit_into_a_message_come_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_names, "MAX_NAMES", 3)
    names = [f"t{number}" for number in range(7)]
    await world.push(REPOSITORY, image("one"))
    await world.put(REPOSITORY, image("one"), tags=names)
    for limit in (None, 5):
        found = await list_names(world.ports, project_id=1, repository=REPOSITORY, start_after="", limit=limit)
        assert found == (names[:3], True)
    last = await list_names(world.ports, project_id=1, repository=REPOSITORY, start_after="t3", limit=None)
    assert last == (names[4:], False)

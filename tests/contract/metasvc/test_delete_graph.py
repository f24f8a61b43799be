"""The deletion of a graph: what goes, what stays and what is charged, and races with pushes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from metasvc.domain.artifact import delete_named_artifact
from metasvc.domain.model import ChangeKind
from metasvc.domain.repository import delete_repository
from svckit.errors import DomainError
from svckit.oci.reference import Reference
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.world import ORIGIN, POLICY, Image, World, image, index
from tests.harness.graph_cases import CASES, Case, Step, Story
from tests.harness.waiting import wait_until_async

REPOSITORY = "alpha/app"


async def delete_over_rest(world: World, reference: str) -> None:
    await delete_named_artifact(
        world.ports, project_id=1, repository=REPOSITORY, reference=Reference.parse(reference), origin=ORIGIN
    )


async def reason_of(work: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value.reason


async def play(world: World, step: Step, *, over_rest: bool) -> None:
    # Each step has its own moment, as with a real clock.
    world.later(milliseconds=1)
    if step.kind == "wait":
        world.later(hours=step.hours)
    elif step.kind == "push_blob":
        await world.link(REPOSITORY, step.reference, size=len(step.content))
    elif step.kind == "put":
        await world.put(REPOSITORY, Image(step.content, step.media_type, {}), step.reference)
    elif step.kind == "head":
        await world.resolve(REPOSITORY, step.reference, content=False)
    elif step.kind == "untag" or (step.kind == "delete" and not over_rest):
        await world.delete(REPOSITORY, step.reference)
    elif step.kind == "delete":
        await delete_over_rest(world, step.reference)
    elif step.kind == "refused":
        work = delete_over_rest(world, step.reference) if over_rest else world.delete(REPOSITORY, step.reference)
        assert await reason_of(work) == "PRECONDITION"
    else:
        raise AssertionError(step)


async def digests(world: World) -> set[str]:
    return {row.digest for row in await world.rows("SELECT digest FROM artifact")}


async def check(world: World) -> None:
    """What holds after every write: charges fit the rows, and nothing names what is gone."""
    expected = await world.rows(
        "SELECT digest, count(*) AS uses FROM ("
        " SELECT digest FROM artifact WHERE project_id = 1"
        " UNION ALL SELECT l.digest FROM repository_blob l JOIN repository r ON r.id = l.repository_id"
        " WHERE r.project_id = 1 AND l.charged"
        ") AS used GROUP BY digest"
    )
    charged = await world.rows("SELECT digest, count FROM project_blob WHERE project_id = 1")
    assert {tuple(row) for row in charged} == {tuple(row) for row in expected}
    await world.used_bytes()
    unpaid = await world.rows(
        "SELECT n.digest FROM artifact_blob n JOIN repository_blob l"
        " ON l.repository_id = n.repository_id AND l.digest = n.digest WHERE NOT l.charged"
    )
    assert unpaid == [], "a manifest names a blob that is not charged"
    dangling = await world.rows(
        "SELECT child_id FROM artifact_reference WHERE child_id NOT IN (SELECT id FROM artifact)"
    )
    assert dangling == []


@pytest.mark.parametrize("over_rest", [False, True], ids=["registry", "rest"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_what_goes_what_stays_and_what_is_charged(world: World, case: Case, *, over_rest: bool) -> None:
    story = Story(case)
    for step in story.steps():
        await play(world, step, over_rest=over_rest)
        await check(world)
    assert await digests(world) == story.left()
    assert {row.name for row in await world.rows("SELECT name FROM tag")} == story.tags()
    assert await world.used_bytes() == story.used_bytes()


async def graph(world: World, size: int) -> Image:
    """An index with so many children, each with a signature."""
    children = [image(f"child {number}", layers=[f"layer {number}"]) for number in range(size)]
    for child in children:
        await world.push(REPOSITORY, child)
        subject = {"mediaType": child.media_type, "digest": child.digest, "size": len(child.content)}
        await world.push(REPOSITORY, image(f"signature of {child.digest}", subject=subject))
    whole = index(children)
    await world.put(REPOSITORY, whole, "v1")
    return whole


async def test_a_deletion_has_as_many_statements_for_any_number_of_children(world: World) -> None:
    numbers = []
    for size in (2, 30):
        whole = await graph(world, size)
        with sent_statements() as statements:
            await world.delete(REPOSITORY, whole.digest)
        numbers.append(len(statements))
        assert await digests(world) == set()
        assert await world.used_bytes() == 0
    assert numbers[0] == numbers[1]


async def test_the_change_log_tells_each_artifact_and_tag_that_goes(world: World) -> None:
    whole = await graph(world, 2)
    gone = await digests(world)
    before = len(await world.changes())
    await world.delete(REPOSITORY, whole.digest)
    changes = [each.change for each in (await world.changes())[before:]]
    assert {(each.kind, each.reference) for each in changes} == {
        (ChangeKind.TAG_DELETE, "v1"),
        *((ChangeKind.MANIFEST_DELETE, digest) for digest in gone),
    }


async def test_what_stays_is_queued_and_what_goes_is_queued_no_more(world: World) -> None:
    amd, arm = image("amd"), image("arm")
    subject = {"mediaType": amd.media_type, "digest": amd.digest, "size": len(amd.content)}
    kept = image("kept", subject=subject)
    for each in (amd, arm):
        await world.push(REPOSITORY, each)
    whole = index([amd, arm])
    await world.put(REPOSITORY, whole)
    await world.push(REPOSITORY, kept, "kept")
    world.later(minutes=1)
    await world.resolve(REPOSITORY, arm.digest, content=False)
    await world.delete(REPOSITORY, whole.digest)
    reviews = {row.digest: row.reason for row in await world.rows("SELECT * FROM review WHERE kind = 'manifest'")}
    assert reviews == {arm.digest: "parent_deleted", kept.digest: "subject_deleted"}


async def test_only_a_head_that_a_deletion_has_to_know_of_is_written(world: World) -> None:
    child = image("child")
    await world.push(REPOSITORY, child, "v1")

    async def writes(reference: str) -> int:
        with sent_statements() as statements:
            await world.resolve(REPOSITORY, reference, content=False)
        return sum(statement.startswith("UPDATE artifact") for statement in statements)

    world.later(minutes=1)
    assert await writes("v1") == await writes(child.digest) == 0
    await world.put(REPOSITORY, index([child]))
    world.later(seconds=1)
    assert [await writes(child.digest), await writes(child.digest), await writes("v1")] == [1, 0, 0]
    world.later(seconds=POLICY.asked_every.total_seconds() + 1)
    assert [await writes("v1"), await writes(child.digest)] == [1, 0]
    # A pull writes nothing.
    world.later(days=3)
    with sent_statements() as statements:
        await world.resolve(REPOSITORY, "v1")
    assert not any(statement.startswith("UPDATE") for statement in statements)


async def test_a_head_postpones_a_review_that_is_near(world: World) -> None:
    pushed = image("one")
    await world.push(REPOSITORY, pushed)

    async def due() -> Any:
        return await world.value("SELECT due_time FROM review WHERE kind = 'manifest'")

    first = await due()
    world.later(hours=10)
    await world.resolve(REPOSITORY, pushed.digest, content=False)
    assert await due() == first
    world.later(hours=13)
    await world.resolve(REPOSITORY, pushed.digest, content=False)
    second = await due()
    assert second > first
    world.later(hours=23)
    await world.put(REPOSITORY, pushed)
    assert await due() > second


async def test_a_mount_charges_a_link_that_a_deletion_has_discharged(world: World) -> None:
    pushed = image("one")
    await world.push(REPOSITORY, pushed)
    await world.push("beta/app", pushed, project_id=2)
    await world.delete(REPOSITORY, pushed.digest)
    assert await world.used_bytes() == 0
    world.rights.named = {"beta/app": 2}
    for digest in pushed.blobs:
        assert await world.mount(REPOSITORY, digest, "beta/app") is not None
    assert await world.used_bytes() == 110
    await check(world)


async def test_a_push_that_charges_links_again_is_held_to_the_quota(world: World) -> None:
    pushed, other = image("one", layer_size=700), image("other", layers=["big"], layer_size=700)
    for each in (pushed, other):
        # Neither fits beside the other.
        await world.execute("UPDATE project SET quota_bytes = 3000 WHERE id = 1")
        await world.push(REPOSITORY, each)
        await world.delete(REPOSITORY, each.digest)
    await world.put(REPOSITORY, pushed)
    await world.execute("UPDATE project SET quota_bytes = used_bytes + 500 WHERE id = 1")
    assert await reason_of(world.put(REPOSITORY, other)) == "QUOTA_EXCEEDED"
    await check(world)
    await world.delete(REPOSITORY, pushed.digest)
    await world.put(REPOSITORY, other)


async def test_a_deleted_repository_discharges_what_was_charged_only(world: World) -> None:
    gone, stays = image("gone"), image("stays", layers=["other"])
    await world.push(REPOSITORY, gone)
    await world.push(REPOSITORY, stays)
    await world.push("alpha/other", gone)
    await world.delete(REPOSITORY, gone.digest)
    await check(world)
    await delete_repository(world.ports, project_id=1, name=REPOSITORY, origin=ORIGIN)
    await check(world)
    assert await world.used_bytes() == 110 + len(gone.content)


async def test_a_signature_that_is_pushed_while_its_subject_goes_goes_too_or_comes_after_it(world: World) -> None:
    subject = image("subject", layers=["one"])
    named = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)}
    by_field = image("by field", layers=["two"], subject=named)
    by_tag = image("by tag", layers=["three"])
    tag = f"sha256-{subject.digest[7:]}.sig"
    for each in (by_field, by_tag):
        for digest, size in each.blobs.items():
            await world.link(REPOSITORY, digest, size=size)
    for _ in range(12):
        await world.push(REPOSITORY, subject)
        await asyncio.gather(
            world.put(REPOSITORY, by_field),
            world.delete(REPOSITORY, subject.digest),
            world.put(REPOSITORY, by_tag, tag),
        )
        await check(world)
        left = await digests(world)
        assert left <= {by_field.digest, by_tag.digest}
        await world.push(REPOSITORY, subject)
        await world.delete(REPOSITORY, subject.digest)
        assert await digests(world) == set()


async def test_a_deletion_and_the_recorder_of_pulls_do_not_deadlock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def once(work: Callable[[], Awaitable[object]]) -> object:
        return await work()

    # Otherwise a deadlock would only cost a second.
    monkeypatch.setattr(world.store, "repeat", once)
    children = [image(f"child {number}", layers=["base"]) for number in range(6)]
    for child in children:
        await world.push(REPOSITORY, child)
    whole = index(children)
    await world.put(REPOSITORY, whole)
    first, *others = [row.id for row in await world.rows("SELECT id FROM artifact ORDER BY id")]
    assert await world.value("SELECT min(digest) FROM artifact") != children[0].digest, "both orders must differ"

    async def waits() -> bool:
        return bool(
            await world.rows(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )

    # As the recorder does: one by one, in the order of the ids.
    async with world.store.write() as unit:
        await unit.artifacts.touch_pulled({first: world.now})
        deleting = asyncio.create_task(world.delete(REPOSITORY, whole.digest))
        if world.database.dialect == "postgresql":
            await wait_until_async(waits, "the deletion to wait for the first artifact")
        await unit.artifacts.touch_pulled(dict.fromkeys(others, world.now))
        await unit.commit()
    await deleting
    assert await digests(world) == set()


async def test_of_two_indexes_that_go_at_once_the_later_takes_their_child_along(world: World) -> None:
    for number in range(12):
        child, own = image(f"child {number}"), image(f"own {number}")
        both = [index([child]), index([child, own])]
        for each in (child, own):
            await world.push(REPOSITORY, each)
        for each in both:
            await world.put(REPOSITORY, each)
        world.later(seconds=1)
        await asyncio.gather(*(world.delete(REPOSITORY, each.digest) for each in both))
        assert await digests(world) == set()
        await check(world)


async def test_an_index_that_is_pushed_while_another_goes_finds_its_child_or_is_refused(world: World) -> None:
    outcomes = set()
    for number in range(16):
        child = image(f"child {number}")
        old, new = index([child]), index([child], annotations={"new": "yes"})
        await world.push(REPOSITORY, child)
        await world.put(REPOSITORY, old)
        world.later(seconds=1)
        work = [world.delete(REPOSITORY, old.digest), world.put(REPOSITORY, new)]
        results = await asyncio.gather(*(work if number % 2 else reversed(work)), return_exceptions=True)
        await check(world)
        refusals = [error.reason for error in results if isinstance(error, DomainError)]
        assert refusals in ([], ["MANIFEST_BLOB_UNKNOWN"])
        assert await digests(world) == (set() if refusals else {new.digest, child.digest})
        outcomes.add(bool(refusals))
        if not refusals:
            await world.delete(REPOSITORY, new.digest)
    assert outcomes


async def test_a_child_that_a_head_has_found_is_there_for_the_next_index(world: World) -> None:
    for number in range(16):
        child = image(f"child {number}")
        old = index([child])
        await world.push(REPOSITORY, child)
        await world.put(REPOSITORY, old)
        world.later(seconds=1)
        asked, deleted = await asyncio.gather(
            world.resolve(REPOSITORY, child.digest, content=False),
            world.delete(REPOSITORY, old.digest),
            return_exceptions=True,
        )
        assert deleted is None
        if isinstance(asked, DomainError):
            assert asked.reason == "MANIFEST_UNKNOWN"
        else:
            await world.put(REPOSITORY, index([child], annotations={"new": "yes"}))
            await world.execute("DELETE FROM artifact_reference")
            await world.execute("DELETE FROM artifact")


async def test_charges_are_exact_under_pushes_and_deletes_of_images_that_share_layers(world: World) -> None:
    images = [image(f"number {number}", layers=["base", f"half {number % 2}"]) for number in range(4)]
    for pushed in images:
        await world.push(REPOSITORY, pushed)

    for round_ in range(10):
        results = await asyncio.gather(
            *(world.delete(REPOSITORY, pushed.digest) for pushed in images[round_ % 2 :]),
            *(world.put(REPOSITORY, pushed) for pushed in images),
            *(world.put(REPOSITORY, pushed) for pushed in images[:2]),
            return_exceptions=True,
        )
        # UNAVAILABLE: the artifact was deleted after the push had found it there. The client repeats the push.
        errors = {getattr(error, "reason", error) for error in results if isinstance(error, BaseException)}
        assert errors <= {"MANIFEST_UNKNOWN", "UNAVAILABLE"}
        await check(world)


async def test_a_blob_that_a_manifest_names_is_not_deleted(world: World) -> None:
    pushed = image("one")
    await world.push(REPOSITORY, pushed)
    for digest in pushed.blobs:
        with pytest.raises(DomainError) as caught:
            await world.unlink(REPOSITORY, digest)
        entry = caught.value.entry
        assert (caught.value.reason, entry.http_status, entry.oci_code) == ("BLOB_IN_USE", 405, "DENIED")
        await world.resolve_blob(REPOSITORY, digest)
    await world.delete(REPOSITORY, pushed.digest)
    for digest in pushed.blobs:
        await world.unlink(REPOSITORY, digest)
        assert await reason_of(world.unlink(REPOSITORY, digest)) == "BLOB_UNKNOWN"
    await check(world)


async def test_a_blob_of_a_racing_push_is_not_deleted_under_it(world: World) -> None:
    pushed = image("one")
    outcomes = set()
    for number in range(16):
        for digest, size in pushed.blobs.items():
            await world.link(REPOSITORY, digest, size=size)
        work = [world.put(REPOSITORY, pushed), *(world.unlink(REPOSITORY, digest) for digest in pushed.blobs)]
        results = await asyncio.gather(*(work if number % 2 else reversed(work)), return_exceptions=True)
        refusals = {error.reason for error in results if isinstance(error, DomainError)}
        outcomes |= refusals
        assert refusals <= {"BLOB_IN_USE", "MANIFEST_BLOB_UNKNOWN"}
        missing = await world.rows(
            "SELECT n.digest FROM artifact_blob n LEFT JOIN repository_blob l"
            " ON l.repository_id = n.repository_id AND l.digest = n.digest WHERE l.digest IS NULL"
        )
        assert missing == []
        await check(world)
        if await digests(world):
            await world.delete(REPOSITORY, pushed.digest)
    assert outcomes

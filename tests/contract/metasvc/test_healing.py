"""Damaged blobs: what finds them, what is quarantined, what heals them, and what is deleted afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from metasvc.domain.model import BlobKey
from metasvc.domain.ports import DamagedConfigError
from metasvc.domain.quarantine import quarantine_blob
from metasvc.domain.tombstone import delete_generations, delete_unlinked
from svckit.errors import DomainError, Unavailable
from svckit.tokens import Damage
from tests.contract.metasvc.world import START, Image, World, blob_digest, image
from tests.harness.keyring import SUBJECT

DIGEST = blob_digest("base")
FIRST, SECOND, THIRD = BlobKey(DIGEST, 1), BlobKey(DIGEST, 2), BlobKey(DIGEST, 3)
DAMAGES: tuple[tuple[int | None, Damage], ...] = ((None, "missing"), (99, "size"), (101, "size"), (0, "size"))

on_every_damage = pytest.mark.parametrize(("size", "damage"), DAMAGES, ids=["gone", "truncated", "grown", "emptied"])


async def reason_of(work: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value.reason


async def live(world: World, digest: str = DIGEST) -> tuple[int, str]:
    [row] = await world.rows("SELECT generation, state FROM blob WHERE digest = :digest", digest=digest)
    return row[0], row[1]


async def tombstones(world: World) -> dict[int, str]:
    return {row[0]: row[1] for row in await world.rows("SELECT generation, reason FROM tombstone")}


@on_every_damage
@pytest.mark.parametrize("repository", ["alpha/app", "alpha/other", "beta/app"])
async def test_the_next_push_to_any_repository_replaces_a_damaged_blob(
    world: World, size: int | None, damage: Damage, repository: str
) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    world.bytes.files[FIRST] = size

    await world.link(repository, DIGEST, generation=2, project_id=2 if repository.startswith("beta") else 1)

    assert await live(world) == (2, "live")
    assert (await world.resolve_blob("alpha/app", DIGEST)).generation == 2
    assert await tombstones(world) == {1: "replaced"}
    assert world.findings.found == [(FIRST, damage, "link")]


@on_every_damage
async def test_a_mount_of_a_damaged_blob_fails_and_quarantines_it(
    world: World, size: int | None, damage: Damage
) -> None:
    await world.link("beta/app", DIGEST, project_id=2)
    world.rights.named = {"beta/app": 2}
    world.bytes.files[FIRST] = size

    assert await world.mount("alpha/app", DIGEST, "beta/app") is None

    assert await live(world) == (1, "quarantined")
    assert world.findings.found == [(FIRST, damage, "mount")]
    assert await reason_of(world.resolve_blob("beta/app", DIGEST, project_id=2)) == "BLOB_UNKNOWN"
    await world.link("alpha/app", DIGEST, generation=2)
    assert (await world.resolve_blob("beta/app", DIGEST, project_id=2)).generation == 2


@on_every_damage
@pytest.mark.parametrize("again", [False, True], ids=["a new manifest", "a repeated manifest"])
async def test_a_manifest_that_names_a_damaged_blob_is_refused_and_the_blob_is_quarantined(
    world: World, size: int | None, damage: Damage, again: bool
) -> None:
    pushed = image("one")
    if again:
        await world.push("alpha/app", pushed, "v1")
    else:
        for digest, length in pushed.blobs.items():
            await world.link("alpha/app", digest, size=length)
    world.bytes.files[FIRST] = size

    with pytest.raises(DomainError) as caught:
        await world.put("alpha/app", pushed, "v2")

    assert (caught.value.reason, caught.value.metadata["digest"]) == ("MANIFEST_BLOB_UNKNOWN", DIGEST)
    assert await live(world) == (1, "quarantined")
    assert world.findings.found == [(FIRST, damage, "manifest")]
    await world.link("alpha/app", DIGEST, generation=2)
    await world.put("alpha/app", pushed, "v2")


async def test_a_config_whose_bytes_are_wrong_is_quarantined_by_the_push_that_reads_it(world: World) -> None:
    pushed = image("one")
    for digest, length in pushed.blobs.items():
        await world.link("alpha/app", digest, size=length)
    world.configs.failure = DamagedConfigError("digest", "store")

    assert await reason_of(world.put("alpha/app", pushed, "v1")) == "MANIFEST_BLOB_UNKNOWN"

    config = BlobKey(blob_digest("config of one"), 1)
    assert world.findings.found == [(config, "digest", "manifest")]
    assert await live(world, config.digest) == (1, "quarantined")
    world.configs.failure = None
    await world.push("alpha/app", pushed, "v1", generation=2)


async def link_again(world: World) -> object:
    await world.link("alpha/app", DIGEST, generation=2)
    return None


async def put_new(world: World) -> object:
    return await world.put("alpha/app", ONE, "v1")


ONE: Image = image("one")


@pytest.mark.parametrize("work", [link_again, put_new])
async def test_while_blobsvc_cannot_say_nothing_is_decided_and_nothing_quarantined(
    world: World, work: Callable[[World], Awaitable[object]]
) -> None:
    for digest, length in ONE.blobs.items():
        await world.link("alpha/app", digest, size=length)
    world.bytes.files[FIRST] = None
    world.bytes.failure = Unavailable()

    assert await reason_of(work(world)) == "UNAVAILABLE"
    world.rights.named = {"alpha/app": 1}
    assert await world.mount("alpha/other", DIGEST, "alpha/app") is None

    assert await live(world) == (1, "live")
    assert (await tombstones(world), world.findings.found) == ({}, [])


async def test_a_stored_manifest_can_be_tagged_while_blobsvc_is_away(world: World) -> None:
    await world.push("alpha/app", ONE, "v1")
    world.bytes.failure = Unavailable()

    assert (await world.put("alpha/app", ONE, "v2")).existed


async def test_blobsvc_is_asked_again_if_another_generation_is_live_by_then(world: World) -> None:
    """The damaged generation was replaced after blobsvc was asked: the replacement must not be replaced, too."""
    await world.link("alpha/app", DIGEST, generation=1)
    world.bytes.files[FIRST] = None

    async def replace() -> None:
        world.bytes.before_answer = None
        await world.link("alpha/app", DIGEST, generation=2)

    world.bytes.before_answer = replace
    await world.link("alpha/app", DIGEST, generation=3)

    assert await live(world) == (2, "live")
    assert await tombstones(world) == {1: "replaced", 3: "surplus"}


async def replace_during_the_answer(world: World) -> None:
    """Lets a damaged second generation take the place of the first one after blobsvc has looked at that."""
    for digest, length in ONE.blobs.items():
        await world.link("alpha/app", digest, size=length)
    world.bytes.files[SECOND] = 7

    async def replace() -> None:
        world.bytes.before_answer = None
        await world.execute("UPDATE blob SET generation = 2 WHERE digest = :digest", digest=DIGEST)

    world.bytes.before_answer = replace


async def test_a_mount_is_judged_by_the_generation_that_is_live_then(world: World) -> None:
    await replace_during_the_answer(world)
    world.rights.named = {"alpha/app": 1}

    assert await world.mount("alpha/other", DIGEST, "alpha/app") is None

    assert await live(world) == (2, "quarantined")
    assert world.findings.found == [(SECOND, "size", "mount")]
    assert await world.value("SELECT count(*) FROM repository WHERE name = 'alpha/other'") == 0


async def test_a_manifest_is_judged_by_the_generation_that_is_live_then(world: World) -> None:
    await replace_during_the_answer(world)

    assert await reason_of(world.put("alpha/app", ONE, "v1")) == "MANIFEST_BLOB_UNKNOWN"

    assert await live(world) == (2, "quarantined")
    assert world.findings.found == [(SECOND, "size", "manifest")]


async def test_a_finding_about_another_generation_changes_nothing(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=2)
    for key in (FIRST, THIRD, BlobKey(blob_digest("never"), 2)):
        assert not await quarantine_blob(world.ports, key, "digest", "read")
    assert await live(world) == (2, "live")

    assert await quarantine_blob(world.ports, SECOND, "digest", "read")
    assert not await quarantine_blob(world.ports, SECOND, "digest", "read")
    assert world.findings.found == [(SECOND, "digest", "read")]


async def test_a_receipt_of_bytes_that_were_damaged_since_links_nothing(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    world.bytes.files[FIRST] = None

    assert await reason_of(world.link("alpha/app", DIGEST, generation=1)) == "BLOB_UPLOAD_UNKNOWN"

    assert await live(world) == (1, "quarantined")


async def test_the_same_blob_pushed_twenty_times_keeps_one_copy(world: World) -> None:
    await asyncio.gather(*(world.link(f"alpha/app{number % 3}", DIGEST, generation=number) for number in range(1, 21)))

    await delete_generations(world.ports)

    lives, state = await live(world)
    assert state == "live"
    assert sorted(key.generation for key in world.bytes.deleted) == sorted(set(range(1, 21)) - {lives})
    assert world.findings.deletions == 19


async def test_a_push_that_the_quota_refuses_leaves_nothing(world: World) -> None:
    for generation in range(1, 6):
        assert (
            await reason_of(world.link("small/app", DIGEST, size=5000, generation=generation, project_id=3))
            == "QUOTA_EXCEEDED"
        )
    await delete_generations(world.ports)
    assert sorted(key.generation for key in world.bytes.deleted) == [1, 2, 3, 4, 5]
    assert set((await tombstones(world)).values()) == {"refused"}
    assert await world.rows("SELECT * FROM blob") == []


async def test_a_refused_link_does_not_delete_bytes_that_are_live(world: World) -> None:
    await world.link("alpha/app", DIGEST, size=5000, generation=1)
    assert await reason_of(world.link("small/app", DIGEST, size=5000, generation=1, project_id=3)) == "QUOTA_EXCEEDED"
    assert await tombstones(world) == {}


async def test_a_generation_that_was_live_is_deleted_only_when_no_grant_for_it_can_be_valid(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    world.bytes.files[FIRST] = 99
    await world.link("alpha/app", DIGEST, generation=2)

    world.later(seconds=305)
    await delete_generations(world.ports)
    assert world.bytes.deleted == []
    world.later(seconds=60)
    await delete_generations(world.ports)
    assert world.bytes.deleted == [FIRST]


async def test_a_quarantined_generation_that_a_refusal_buries_is_deleted_only_when_no_grant_can_be_valid(
    world: World,
) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    assert await quarantine_blob(world.ports, FIRST, "digest", "read")
    world.directory.refused = {SUBJECT}
    assert await reason_of(world.link("alpha/app", DIGEST, generation=1)) == "INSUFFICIENT_SCOPE"
    assert await tombstones(world) == {1: "refused"}

    world.later(seconds=305)
    await delete_generations(world.ports)
    assert world.bytes.deleted == []
    world.later(seconds=60)
    await delete_generations(world.ports)
    assert world.bytes.deleted == [FIRST]


async def test_a_deletion_that_fails_is_tried_again_and_keeps_back_no_other(world: World) -> None:
    for generation in (1, 2, 3):
        await world.link("alpha/app", DIGEST, generation=generation)
    delete = world.bytes.delete

    async def failing(key: BlobKey) -> None:
        if key == SECOND:
            raise Unavailable
        await delete(key)

    world.bytes.delete = failing  # type: ignore[method-assign]
    assert await reason_of(delete_generations(world.ports)) == "UNAVAILABLE"
    assert world.bytes.deleted == [THIRD]
    world.bytes.delete = delete  # type: ignore[method-assign]
    await delete_generations(world.ports)
    assert world.bytes.deleted == [THIRD], "another process may still be busy with it"
    world.later(seconds=31)
    await delete_generations(world.ports)
    assert world.bytes.deleted == [THIRD, SECOND]


async def test_two_processes_that_delete_at_once_do_each_once(world: World) -> None:
    for generation in range(1, 40):
        await world.link("alpha/app", DIGEST, generation=generation)
    await asyncio.gather(*(delete_generations(world.ports) for _ in range(3)))
    assert len(world.bytes.deleted) == len(set(world.bytes.deleted)) == 38


async def test_a_tombstone_is_forgotten_when_no_receipt_can_be_valid_and_never_before_the_deletion(
    world: World,
) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    await world.link("alpha/app", DIGEST, generation=2)
    world.bytes.failure = Unavailable()
    world.later(hours=5)
    assert await reason_of(delete_generations(world.ports)) == "UNAVAILABLE"
    world.bytes.failure = None
    world.later(minutes=1)
    await delete_generations(world.ports)
    await delete_generations(world.ports)
    assert await tombstones(world) == {}

    await world.link("alpha/app", DIGEST, generation=3)
    await delete_generations(world.ports)
    world.later(minutes=119)
    await delete_generations(world.ports)
    assert await tombstones(world) == {3: "surplus"}
    world.later(minutes=2)
    await delete_generations(world.ports)
    assert await tombstones(world) == {}


async def test_uploads_that_nobody_linked_are_deleted_and_those_that_live_are_settled(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    orphans = [BlobKey(blob_digest(f"orphan {number}"), 7) for number in range(5)]
    for key in (*orphans[:2], FIRST, *orphans[2:]):
        world.bytes.finish(key, world.now)
    world.later(minutes=121)

    await delete_unlinked(world.ports)
    await delete_generations(world.ports)

    assert sorted(world.bytes.deleted) == sorted(orphans)
    assert await live(world) == (1, "live")
    assert world.bytes.waiting == {}
    # The receipt of one arrives after all.
    assert await reason_of(world.link("alpha/app", orphans[0].digest, generation=7)) == "BLOB_UPLOAD_UNKNOWN"


async def test_a_finished_upload_waits_two_hours_for_its_link(world: World) -> None:
    """A receipt is valid for one hour, and a push that uses it late must find its bytes."""
    early, late = (BlobKey(blob_digest(name), 7) for name in ("early", "late"))
    world.bytes.finish(early, world.now)
    world.later(minutes=10)
    world.bytes.finish(late, world.now)

    world.later(minutes=109)
    await delete_unlinked(world.ports)
    assert (await tombstones(world), world.bytes.settled) == ({}, [])
    await world.link("alpha/app", late.digest, generation=7)

    world.later(minutes=2)
    await delete_unlinked(world.ports)
    await delete_generations(world.ports)
    assert world.bytes.deleted == [early]

    world.later(minutes=10)
    await delete_unlinked(world.ports)
    await delete_generations(world.ports)
    assert (world.bytes.deleted, world.bytes.waiting) == ([early], {})


async def test_what_is_decided_is_told_to_blobsvc_also_after_it_was_away(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    await world.link("alpha/app", DIGEST, generation=2)
    world.bytes.failure = Unavailable()
    assert await reason_of(world.ports.settled.flush()) == "UNAVAILABLE"
    world.bytes.failure = None
    await world.ports.settled.flush()
    await world.ports.settled.flush()
    assert world.bytes.settled == [FIRST, SECOND]


async def test_a_refusal_and_a_link_of_one_receipt_at_once_end_in_one_of_the_two(world: World) -> None:
    """Without the lock of the digest, one unit would make a generation live while another one buries it."""
    for number in range(1, 13):
        digest = blob_digest(f"contested {number}")
        await asyncio.gather(
            world.link("alpha/app", digest, size=5000, generation=1),
            world.link("small/app", digest, size=5000, generation=1, project_id=3),
            return_exceptions=True,
        )
    contradictions = await world.rows(
        "SELECT blob.digest FROM blob JOIN tombstone ON blob.digest = tombstone.digest"
        " AND blob.generation = tombstone.generation WHERE state = 'live'"
    )
    assert contradictions == []
    assert world.now - START == timedelta()

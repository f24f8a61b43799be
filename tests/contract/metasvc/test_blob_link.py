"""Links, mounts and generations of blobs, and what a project is charged for them."""

import asyncio

import pytest

from svckit.errors import DomainError, NotFound
from tests.contract.metasvc.world import POLICY, World, blob_digest

DIGEST = blob_digest("layer")
OTHER = blob_digest("other layer")


async def reason_of(work: object) -> str:
    with pytest.raises(DomainError) as caught:
        await work  # type: ignore[misc]
    return caught.value.reason


async def test_a_link_makes_the_repository_serve_the_blob_and_queues_its_review(world: World) -> None:
    await world.link("alpha/app", DIGEST, size=100, generation=5)

    served = await world.resolve_blob("alpha/app", DIGEST)
    assert (served.digest, served.generation, served.size, served.media_type) == (DIGEST, 5, 100, "")
    assert served.review_due_time == POLICY.due_time(world.now)
    assert await world.used_bytes() == 100


async def test_an_uploader_who_may_not_push_any_more_links_nothing(world: World) -> None:
    world.directory.refused = {"user:7"}
    for project_id in (1, 9):
        assert await reason_of(world.link("alpha/app", DIGEST, project_id=project_id)) == "INSUFFICIENT_SCOPE"
    assert await world.value("SELECT count(*) FROM repository") == 0

    await world.link("alpha/app", DIGEST, generation=2, subject="user:8")
    assert await world.used_bytes() == 100


async def test_a_repeated_link_changes_nothing(world: World) -> None:
    for _ in range(3):
        await world.link("alpha/app", DIGEST)

    assert await world.used_bytes() == 100
    assert await world.rows("SELECT digest FROM tombstone") == []
    assert await world.value("SELECT count(*) FROM repository") == 1


async def test_a_live_blob_keeps_its_generation_and_the_newcomer_is_surplus(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    await world.link("alpha/app", DIGEST, generation=2)

    assert (await world.resolve_blob("alpha/app", DIGEST)).generation == 1
    assert await world.rows("SELECT digest, generation FROM tombstone") == [(DIGEST, 2)]


@pytest.mark.parametrize("state", ["condemned", "quarantined"])
async def test_a_push_heals_what_was_condemned_or_corrupt(world: World, state: str) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    await world.execute("UPDATE blob SET state = :state", state=state)
    assert await reason_of(world.resolve_blob("alpha/app", DIGEST)) == "BLOB_UNKNOWN"

    await world.link("alpha/app", DIGEST, generation=2)

    assert (await world.resolve_blob("alpha/app", DIGEST)).generation == 2
    assert await world.rows("SELECT digest, generation FROM tombstone") == [(DIGEST, 1)]


async def test_a_late_receipt_does_not_revive_the_very_bytes_that_were_condemned(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    await world.execute("UPDATE blob SET state = 'condemned'")

    assert await reason_of(world.link("alpha/app", DIGEST, generation=1)) == "BLOB_UPLOAD_UNKNOWN"


async def test_a_generation_with_a_tombstone_never_becomes_live(world: World) -> None:
    await world.link("alpha/app", DIGEST, generation=1)
    await world.link("alpha/app", DIGEST, generation=2)
    await world.execute("UPDATE blob SET state = 'condemned'")

    assert await reason_of(world.link("alpha/app", DIGEST, generation=2)) == "BLOB_UPLOAD_UNKNOWN"

    await world.link("alpha/app", DIGEST, generation=3)
    # A late receipt of a tombstoned generation links the living one.
    await world.link("alpha/other", DIGEST, generation=2)
    assert (await world.resolve_blob("alpha/other", DIGEST)).generation == 3
    assert await world.rows("SELECT generation FROM tombstone ORDER BY generation") == [(1,), (2,)]


async def test_a_project_pays_for_a_digest_once_and_every_project_pays(world: World) -> None:
    await world.link("alpha/app", DIGEST)
    await world.link("alpha/other", DIGEST)
    await world.link("beta/app", DIGEST, project_id=2)

    assert await world.used_bytes(1) == 100
    assert await world.used_bytes(2) == 100

    await world.unlink("alpha/app", DIGEST)
    assert await world.used_bytes(1) == 100
    await world.unlink("alpha/other", DIGEST)
    assert await world.used_bytes(1) == 0
    assert await world.used_bytes(2) == 100


async def test_the_quota_is_exact_and_a_refusal_names_its_numbers(world: World) -> None:
    await world.link("small/app", DIGEST, size=600, project_id=3)

    with pytest.raises(DomainError) as caught:
        await world.link("small/app", OTHER, size=401, project_id=3)

    assert caught.value.reason == "QUOTA_EXCEEDED"
    assert dict(caught.value.metadata) == {"limit_bytes": "1000", "used_bytes": "600", "needed_bytes": "401"}
    # Nothing of it stays.
    assert await reason_of(world.resolve_blob("small/app", OTHER, project_id=3)) == "BLOB_UNKNOWN"
    await world.link("small/app", OTHER, size=400, generation=2, project_id=3)
    assert await world.used_bytes(3) == 1000


async def test_the_quota_is_exact_under_fifty_links_at_once(world: World) -> None:
    refused: list[str] = []

    async def link(number: int) -> None:
        try:
            # Every digest twice, in two repositories: the second costs nothing, whichever comes first.
            digest = blob_digest(f"{number // 2}")
            await world.link(f"small/app{number % 2}", digest, size=90, generation=number + 1, project_id=3)
        except DomainError as error:
            refused.append(error.reason)

    await asyncio.gather(*(link(number) for number in range(50)))

    assert await world.used_bytes(3) == 990
    charged = await world.value("SELECT count(*) FROM project_blob WHERE project_id = 3")
    assert charged == 11
    linked = 50 - len(refused)
    assert set(refused) == {"QUOTA_EXCEEDED"}
    assert linked == await world.value("SELECT count(*) FROM repository_blob")
    assert linked == await world.value("SELECT sum(count) FROM project_blob")


async def test_many_links_of_one_digest_at_once_charge_once(world: World) -> None:
    await asyncio.gather(*(world.link(f"alpha/app{number % 5}", DIGEST, generation=number) for number in range(25)))

    assert await world.used_bytes() == 100
    # One lives; all others are queued for deletion.
    lives = await world.value("SELECT generation FROM blob")
    surplus = {row[0] for row in await world.rows("SELECT generation FROM tombstone")}
    assert surplus == set(range(25)) - {lives}


async def test_a_blob_is_mounted_from_where_the_caller_may_pull(world: World) -> None:
    await world.link("beta/app", DIGEST, project_id=2)
    world.rights.named = {"beta/app": 2}

    assert await world.mount("alpha/app", DIGEST, "beta/app") == 100
    assert (await world.resolve_blob("alpha/app", DIGEST)).size == 100
    assert await world.used_bytes(1) == 100


async def test_a_mount_without_a_source_looks_only_where_the_token_says(world: World) -> None:
    await world.link("beta/app", DIGEST, project_id=2)

    assert await world.mount("alpha/app", DIGEST) is None
    world.rights.named = {"alpha/nothing": 1, "beta/app": 2}
    assert await world.mount("alpha/app", DIGEST) == 100


async def test_a_mount_that_may_not_be_is_no_error_and_links_nothing(world: World) -> None:
    await world.link("beta/app", DIGEST, size=5000, project_id=2)

    assert await world.mount("alpha/app", DIGEST, "beta/app") is None, "not the caller's to pull"
    world.rights.named = {"beta/app": 1}
    assert await world.mount("alpha/app", DIGEST, "beta/app") is None, "the name belongs to another project"
    world.rights.named = {"beta/app": 2}
    assert await world.mount("alpha/app", OTHER, "beta/app") is None, "not there"
    assert await world.mount("small/app", DIGEST, "beta/app", project_id=3) is None, "over the quota"
    assert await world.mount("gone/app", DIGEST, "beta/app", project_id=9) is None, "no such project"
    await world.execute("UPDATE blob SET state = 'condemned'")
    assert await world.mount("alpha/app", DIGEST, "beta/app") is None, "condemned"
    assert await world.value("SELECT count(*) FROM repository") == 1


async def test_another_project_of_the_same_name_serves_nothing(world: World) -> None:
    await world.link("alpha/app", DIGEST)

    assert await reason_of(world.resolve_blob("alpha/app", DIGEST, project_id=2)) == "BLOB_UNKNOWN"
    assert await reason_of(world.unlink("alpha/app", DIGEST, project_id=2)) == "BLOB_UNKNOWN"


async def test_asking_for_a_blob_whose_review_is_near_pushes_it_forward(world: World) -> None:
    await world.link("alpha/app", DIGEST)
    due = POLICY.due_time(world.now)
    world.later(hours=10)
    assert (await world.resolve_blob("alpha/app", DIGEST)).review_due_time == due

    world.later(hours=13)

    assert (await world.resolve_blob("alpha/app", DIGEST)).review_due_time == POLICY.due_time(world.now)


async def test_unlinking_what_is_not_linked_is_not_found(world: World) -> None:
    await world.link("alpha/app", DIGEST)
    await world.unlink("alpha/app", DIGEST)

    with pytest.raises(NotFound):
        await world.unlink("alpha/app", DIGEST)


async def test_no_link_ever_stands_on_a_condemned_blob(world: World) -> None:
    """The collector's way: lock, look in a second statement, condemn; against links and mounts."""
    world.rights.named = {"beta/app": 2}
    generations = iter(range(1, 1000))

    async def condemn_if_unlinked() -> None:
        async with world.store.write() as unit:
            held = await unit.blobs.lock_any(DIGEST)
            if held is None:
                return
            conn = unit._conn
            linked = (await conn.exec_driver_sql("SELECT count(*) FROM repository_blob")).scalar_one()
            if linked == 0:
                await conn.exec_driver_sql("UPDATE blob SET state = 'condemned'")
                await unit.commit()

    async def push(repository: str, project_id: int) -> None:
        await world.link(repository, DIGEST, generation=next(generations), project_id=project_id)

    for _ in range(15):
        await asyncio.gather(
            push("beta/app", 2),
            condemn_if_unlinked(),
            push("alpha/app", 1),
            world.mount("alpha/mounted", DIGEST, "beta/app"),
            condemn_if_unlinked(),
        )
        assert await world.value("SELECT state FROM blob") == "live"
        for repository, project_id in await world.rows("SELECT name, project_id FROM repository ORDER BY name"):
            try:
                await world.unlink(repository, DIGEST, project_id=project_id)
            except NotFound:
                # The mount found nothing to mount in this round.
                assert repository == "alpha/mounted"
        await condemn_if_unlinked()
        assert await world.value("SELECT state FROM blob") == "condemned"
    assert await world.used_bytes(1) == await world.used_bytes(2) == 0

"""A recount finds every wrong count and usage, corrects it, and disturbs no push."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from metasvc.domain import quota_recount
from metasvc.domain.project import delete_project
from metasvc.domain.quota_recount import RecountStep, recount_step
from metasvc.domain.quota_recount_rows import ChargeDifference
from metasvc.store.quota_recount import SqlQuotaRecounts
from roadstead.meta.v1.quota_service_pb2 import RecountQuotasRequest
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceStub
from svckit.errors import DomainError
from tests.contract.metasvc.remote import serving
from tests.contract.metasvc.world import ORIGIN, World, blob_digest, image
from tests.harness.keyring import from_service

MORE_USES = "UPDATE project_blob SET count = count + 5 WHERE project_id = :project AND digest = :digest"
NO_CHARGE = "DELETE FROM project_blob WHERE project_id = :project AND digest = :digest"
OTHER_SIZE = "UPDATE project_blob SET size = 7 WHERE project_id = :project AND digest = :digest"
WRONG_USAGES = (
    "SELECT id FROM project"
    " WHERE used_bytes != (SELECT sum(size) FROM project_blob WHERE project_blob.project_id = project.id)"
)


async def recount(world: World, *, project_id: int = 0, dry_run: bool = False) -> list[RecountStep]:
    steps = []
    token = ""
    while True:
        step = await recount_step(world.ports, project_id=project_id, dry_run=dry_run, page_token=token)
        steps.append(step)
        token = step.next_page_token
        if not token:
            return steps


def found(steps: Sequence[RecountStep]) -> list[ChargeDifference]:
    return [each for step in steps for each in step.differences]


async def charges(world: World) -> list[Any]:
    return [tuple(row) for row in await world.rows("SELECT * FROM project_blob ORDER BY project_id, digest")]


async def push_some(world: World) -> None:
    """Two repositories share a layer; a third is in another project. One link is not charged any more."""
    await world.push("alpha/app", image("one"), "v1")
    await world.push("alpha/other", image("one"), "v1")
    await world.push("alpha/app", image("two"), "v2")
    await world.push("beta/app", image("one"), "v1", project_id=2)
    await world.delete("alpha/app", "v2")


async def test_nothing_differs_after_pushes_copies_and_deletes(world: World) -> None:
    await push_some(world)
    before = await charges(world)
    steps = await recount(world)
    assert found(steps) == []
    assert [(step.project.name if step.project else "", step.remaining_projects) for step in steps] == [
        ("alpha", 2),
        ("beta", 1),
    ]
    assert [step.digest_count for step in steps] == [sum(row[0] == number for row in before) for number in (1, 2)]
    assert await charges(world) == before


async def test_every_wrong_row_and_usage_is_found_and_corrected(world: World) -> None:
    await push_some(world)
    right = await charges(world)
    used = await world.used_bytes()
    of_alpha = [row[1] for row in right if row[0] == 1]
    in_alpha = {"project": 1, "digest": of_alpha[0]}
    await world.execute(MORE_USES, **in_alpha)
    await world.execute(NO_CHARGE, **in_alpha | {"digest": of_alpha[1]})
    await world.execute(OTHER_SIZE, **in_alpha | {"digest": of_alpha[2]})
    stray, unused = blob_digest("stray"), blob_digest("unused")
    await world.execute("INSERT INTO project_blob VALUES (1, :digest, 2, 30)", digest=stray)
    await world.execute("INSERT INTO project_blob VALUES (1, :digest, 0, 40)", digest=unused)
    await world.execute("UPDATE project SET used_bytes = 1 WHERE id = 1")
    damaged = await charges(world)

    planned = await recount(world, dry_run=True)
    assert await charges(world) == damaged
    assert (planned[0].usage.used_bytes, planned[0].usage.charged_bytes) == (1, used)

    done = await recount(world)
    assert await charges(world) == right
    assert await world.used_bytes() == used
    assert (done[0].usage.used_bytes, done[0].usage.charged_bytes) == (1, used)
    assert found(done) == found(planned)
    assert [each.digest for each in found(done)] == sorted([*of_alpha[:3], stray, unused])
    by_digest = {each.digest: each for each in done[0].differences}
    counts = {row[1]: row[2:] for row in right if row[0] == 1}
    assert by_digest[stray] == ChargeDifference(digest=stray, old_count=2, new_count=0, old_size=30, new_size=0)
    assert by_digest[of_alpha[1]] == ChargeDifference(
        digest=of_alpha[1], old_count=0, new_count=counts[of_alpha[1]][0], old_size=0, new_size=counts[of_alpha[1]][1]
    )
    assert found(await recount(world)) == []


async def test_a_usage_alone_is_corrected_too(world: World) -> None:
    await world.push("alpha/app", image("one"), "v1")
    used = await world.used_bytes()
    await world.execute("UPDATE project SET used_bytes = used_bytes + 1000 WHERE id = 1")
    world.later(hours=1)
    [step] = await recount(world)
    assert (step.usage.used_bytes, step.usage.charged_bytes, found([step])) == (used + 1000, used, [])
    assert await world.used_bytes() == used
    assert await world.value("SELECT count(*) FROM project WHERE update_time > create_time") == 1


@pytest.mark.parametrize(("digests", "differences"), [(1, 1000), (2, 1000), (3, 2), (10_000, 1), (10_000, 3)])
async def test_steps_of_any_size_cover_every_digest_once(
    world: World, digests: int, differences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_recount, "DIGESTS_PER_STEP", digests)
    monkeypatch.setattr(quota_recount, "DIFFERENCES_PER_STEP", differences)
    await push_some(world)
    right, used = await charges(world), await world.used_bytes()
    await world.execute("UPDATE project_blob SET count = count + 1, size = size + 1")
    planned = await recount(world, dry_run=True)
    done = await recount(world)
    assert await charges(world) == right
    assert await world.used_bytes() == used
    assert found(done) == found(planned)
    assert sorted(each.digest for each in found(done)) == sorted(row[1] for row in right)
    assert sum(step.is_done for step in done) == 2


async def test_one_project_can_be_recounted_and_an_unknown_one_is_said_to_be_unknown(world: World) -> None:
    await push_some(world)
    await world.execute("UPDATE project SET used_bytes = used_bytes + 1")
    [step] = await recount(world, project_id=2)
    assert step.project is not None
    assert (step.project.id, step.remaining_projects) == (2, 1)
    # The other one stays as it is.
    assert [row[0] for row in await world.rows(WRONG_USAGES)] == [1]
    for project_id in (3, 99):
        with pytest.raises(DomainError) as caught:
            await recount(world, project_id=project_id)
        assert caught.value.reason == "PROJECT_UNKNOWN"


async def test_without_projects_there_is_nothing_to_do_and_deleted_ones_are_left_out(world: World) -> None:
    assert await recount(world) == [RecountStep()]
    await delete_project(world.ports, 2, ORIGIN)
    assert await recount(world) == [RecountStep()]


async def test_a_token_of_another_recount_is_refused(world: World) -> None:
    await push_some(world)
    token = (await recount(world))[0].next_page_token
    for project_id, page_token in ((1, token), (0, token[:-2] + "xx"), (0, "?")):
        with pytest.raises(DomainError) as caught:
            await recount_step(world.ports, project_id=project_id, dry_run=False, page_token=page_token)
        assert caught.value.reason == "INVALID_PAGE_TOKEN"


async def test_a_project_that_is_deleted_between_two_steps_does_not_end_the_recount(world: World) -> None:
    await world.execute(
        "INSERT INTO project (id, name, state, quota_bytes, used_bytes, create_time, update_time)"
        " SELECT 5, 'empty', 'active', -1, 0, '2026-01-01 00:00:00', '2026-01-01 00:00:00'"
    )
    await push_some(world)
    first, second, _ = await recount(world)
    assert first.project is not None
    await world.execute("UPDATE project SET state = 'deleting' WHERE id = 2")
    step = await recount_step(world.ports, project_id=0, dry_run=False, page_token=first.next_page_token)
    assert second.project is not None
    assert step.project is not None
    assert (second.project.id, step.project.id, step.next_page_token) == (2, 5, "")


async def test_a_recount_that_corrects_beside_pushes_and_deletes_counts_each_of_them(world: World) -> None:
    """Every count is damaged again and again while clients push and delete the same digests."""
    pushed = [image(f"image {number}") for number in range(4)]
    shared = blob_digest("shared")
    await world.link("alpha/app0", shared)
    busy = True

    async def push_and_delete(repository: str) -> None:
        for turn in range(6):
            for each in pushed:
                await world.push(repository, each, "v1", generation=1)
                await world.link(repository, shared)
            await world.unlink(repository, shared)
            if turn % 2:
                await world.delete(repository, pushed[turn % 4].digest)

    async def damage_and_recount() -> None:
        while busy:
            await world.execute("UPDATE project_blob SET count = count + 3 WHERE digest < 'sha256:8'")
            await world.execute("UPDATE project SET used_bytes = used_bytes + 10000")
            await recount(world)

    recounting = asyncio.gather(*(damage_and_recount() for _ in range(2)))
    await asyncio.gather(*(push_and_delete(f"alpha/app{number}") for number in range(4)))
    busy = False
    await recounting
    await recount(world)
    right = await charges(world)
    expected = await world.rows(
        "SELECT digest, count(*), max(size) FROM ("
        " SELECT l.digest, b.size FROM repository_blob l JOIN blob b ON b.digest = l.digest WHERE l.charged"
        " UNION ALL SELECT digest, manifest_size FROM artifact) AS used GROUP BY digest ORDER BY digest"
    )
    assert [row[1:] for row in right] == [tuple(row) for row in expected]
    assert await world.used_bytes() == sum(row[3] for row in right)
    assert len(right) > len(pushed)


async def test_a_push_under_way_is_counted_by_itself_and_not_by_the_recount(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recount has looked, and a push comes before it corrects: it counts again under its locks."""
    await world.push("alpha/app", image("one"), "v1")
    right = await charges(world)
    await world.execute("UPDATE project_blob SET count = 9")
    usage = SqlQuotaRecounts.usage

    async def push_after_the_look(self: SqlQuotaRecounts, project_id: int) -> Any:
        seen = await usage(self, project_id)
        await world.push("alpha/other", image("one"), "v1")
        return seen

    monkeypatch.setattr(SqlQuotaRecounts, "usage", push_after_the_look)
    await recount_step(world.ports, project_id=1, dry_run=False, page_token="")
    assert [(row[1], row[2]) for row in await charges(world)] == [(row[1], 2 * row[2]) for row in right]
    await world.used_bytes()


async def test_the_worker_recounts_over_grpc(world: World) -> None:
    await push_some(world)
    used = await world.used_bytes()
    await world.execute("UPDATE project SET used_bytes = used_bytes + 5 WHERE id = 1")
    stray = blob_digest("stray")
    await world.execute("INSERT INTO project_blob VALUES (2, :digest, 2, 30)", digest=stray)
    async with serving(world) as remote:
        quotas = QuotaServiceStub(remote.channel)
        caller = from_service(remote.keyring.service_token("worker"))
        first = await quotas.RecountQuotas(RecountQuotasRequest(), metadata=caller)
        assert (first.project_id, first.project_name, first.project_done) == (1, "alpha", True)
        assert (first.old_used_bytes, first.new_used_bytes, first.remaining_project_count) == (used + 5, used, 2)
        second = await quotas.RecountQuotas(RecountQuotasRequest(page_token=first.next_page_token), metadata=caller)
        [difference] = second.differences
        assert (difference.digest, difference.old_count, difference.old_size_bytes) == (stray, 2, 30)
        assert (difference.new_count, difference.new_size_bytes, second.next_page_token) == (0, 0, "")
    assert await world.used_bytes() == used

"""Quotas of used and of new projects are read, listed and set."""

from dataclasses import replace
from typing import Any

import pytest

from metasvc.domain.model import NO_LIMIT, ChangeKind, Project
from metasvc.domain.project import delete_project
from metasvc.domain.quota import check_upload_size, get_quota, list_quotas, parse_limit, set_quota
from svckit.configuration.values import Configuration
from svckit.errors import DomainError, Invalid, NotFound
from svckit.listing import Page
from tests.contract.metasvc.world import ORIGIN, OTHER_ORIGIN, World, asked, blob_digest, image


async def get(world: World, project_id: int) -> Project:
    return await get_quota(world.ports, project_id=project_id)


async def put(world: World, project_id: int, limit_bytes: int, etag: str = "") -> Project:
    return await set_quota(world.ports, project_id=project_id, limit_bytes=limit_bytes, etag=etag, origin=OTHER_ORIGIN)


async def listed(world: World, *, project_id: int | None = None, **request: Any) -> Page[Project]:
    return await list_quotas(world.ports, project_id=project_id, request=asked(**request))


async def ids(world: World, **request: Any) -> list[int]:
    return [project.id for project in (await listed(world, **request)).items]


async def test_the_quota_of_a_fresh_project_is_the_one_that_authsvc_gave_it(world: World) -> None:
    quota = await get(world, 3)
    assert (quota.name, quota.quota_bytes, quota.used_bytes) == ("small", 1000, 0)
    world.directory.projects[3] = ("small", 5)
    assert await get(world, 3) == quota
    with pytest.raises(DomainError) as caught:
        await get(world, 99)
    assert caught.value.reason == "PROJECT_UNKNOWN"


async def test_a_limit_holds_from_the_next_push(world: World) -> None:
    assert (await put(world, 1, 50)).quota_bytes == 50
    with pytest.raises(DomainError) as caught:
        await world.push("alpha/app", image("one"))
    assert caught.value.reason == "QUOTA_EXCEEDED"
    assert (await put(world, 1, NO_LIMIT)).quota_bytes == NO_LIMIT
    # Refused bytes are deleted, so the client uploads them again.
    await world.push("alpha/app", image("one"), generation=2)
    world.later(hours=1)
    # A limit below the usage deletes nothing, but refuses every push.
    lowered = await put(world, 1, 0)
    assert (lowered.quota_bytes, lowered.used_bytes) == (0, await world.used_bytes())
    assert lowered.update_time == world.now
    with pytest.raises(DomainError) as caught:
        await world.push("alpha/app", image("two"))
    assert caught.value.reason == "QUOTA_EXCEEDED"


async def test_an_update_says_what_it_has_read_and_overwrites_no_other(world: World) -> None:
    read = await get(world, 1)
    first = await put(world, 1, 50_000, read.etag)
    with pytest.raises(DomainError) as caught:
        await put(world, 1, 70_000, read.etag)
    assert (caught.value.reason, first.etag != read.etag) == ("PRECONDITION", True)
    # A repeat, as after a lost answer.
    assert await put(world, 1, 50_000, read.etag) == first
    # A push changes the usage, not the limit.
    await world.push("alpha/app", image("one"))
    assert (await put(world, 1, 70_000, first.etag)).quota_bytes == 70_000


async def test_a_new_limit_is_recorded_with_the_old_one(world: World) -> None:
    await put(world, 1, 50)
    await put(world, 1, 50)
    [only] = await world.changes()
    change = only.change
    assert (change.kind, change.project_id, change.resource_name) == (ChangeKind.QUOTA_UPDATE, 1, "alpha")
    assert (change.old, change.new) == ({"limit_bytes": NO_LIMIT}, {"limit_bytes": 50})
    assert change.origin == OTHER_ORIGIN


async def test_a_limit_is_for_projects_that_are_there(world: World) -> None:
    with pytest.raises(DomainError) as caught:
        await put(world, 99, 10)
    assert caught.value.reason == "PROJECT_UNKNOWN"
    await get(world, 2)
    await delete_project(world.ports, 2, ORIGIN)
    with pytest.raises(DomainError) as caught:
        await put(world, 2, 10)
    assert caught.value.reason == "PROJECT_UNKNOWN"
    # Its row stays, under another name.
    with pytest.raises(DomainError) as caught:
        await get(world, 2)
    assert caught.value.reason == "PROJECT_UNKNOWN"


async def test_the_list_shows_projects_with_a_row(world: World) -> None:
    # Refused bytes are deleted, so the client uploads them again.
    await world.push("alpha/app", image("one"), generation=2)
    world.later(seconds=1)
    await get(world, 3)
    assert await ids(world) == [3, 1]
    assert await ids(world, sort="-used.storage") == [1, 3]
    assert await ids(world, sort="hard.storage") == [1, 3]
    assert await ids(world, project_id=1) == [1]
    assert await ids(world, project_id=2) == []
    first = await listed(world, sort="id", page_size=1)
    assert (first.items[0].id, first.total_size) == (1, 2)
    assert await ids(world, sort="id", page_size=1, page_token=first.next_page_token) == [3]
    assert await ids(world, sort="id", page_size=1, page=2) == [3]


async def test_another_order_is_refused(world: World) -> None:
    with pytest.raises(DomainError) as caught:
        await listed(world, sort="name")
    assert caught.value.reason == "BAD_REQUEST"


async def test_what_gave_its_name_up_is_not_listed(world: World) -> None:
    await get(world, 1)
    # The project was deleted and made again in authsvc.
    world.directory.projects[7] = ("alpha", NO_LIMIT)
    await get(world, 7)
    assert await ids(world) == [7]


async def test_an_upload_larger_than_the_whole_limit_is_refused_whatever_is_used(world: World) -> None:
    # A project without a row has the limit that authsvc knows.
    assert await check_upload_size(world.ports, project_id=3, size_bytes=1) == 1000
    assert await check_upload_size(world.ports, project_id=3, size_bytes=1000) == 1000
    with pytest.raises(DomainError) as refused:
        await check_upload_size(world.ports, project_id=3, size_bytes=1001)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert dict(refused.value.metadata) == {"limit_bytes": "1000", "needed_bytes": "1001"}

    await world.link("small/app", blob_digest("layer"), size=900, project_id=3)
    await check_upload_size(world.ports, project_id=3, size_bytes=1000)
    # Without a limit.
    assert await check_upload_size(world.ports, project_id=1, size_bytes=2**62) == 2**63 - 1
    with pytest.raises(NotFound):
        await check_upload_size(world.ports, project_id=9, size_bytes=1)


async def test_quotas_can_be_switched_off_and_are_still_counted(world: World) -> None:
    await put(world, 1, 50)
    enforced = True
    world.store._enforces_quotas = lambda: enforced
    ports = replace(world.ports, configuration=lambda: Configuration(quota_per_project_enable=enforced))
    enforced = False
    await world.push("alpha/app", image("one"))
    used = (await get(world, 1)).used_bytes
    assert used > 50
    assert await check_upload_size(ports, project_id=1, size_bytes=1000) > 1000
    enforced = True
    with pytest.raises(DomainError):
        await check_upload_size(ports, project_id=1, size_bytes=1000)
    with pytest.raises(DomainError) as caught:
        await world.push("alpha/app", image("two"))
    assert caught.value.reason == "QUOTA_EXCEEDED"
    assert (await get(world, 1)).used_bytes == used


def test_a_limit_is_a_number_of_bytes_and_not_zero() -> None:
    assert parse_limit(-1, names_count=False) == NO_LIMIT
    for storage_bytes, names_count, text in (
        (0, False, "invalid value for resource storage"),
        (1000, True, "resource count not support"),
    ):
        with pytest.raises(Invalid, match=text):
            parse_limit(storage_bytes, names_count=names_count)

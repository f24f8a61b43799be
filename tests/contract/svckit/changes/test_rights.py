"""Who may read the log, and for how long."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from svckit.sql.database import Database
from svckit.tokens import IdentityToken
from tests.contract.svckit.changes.world import (
    ADMINISTRATOR,
    CHANGE,
    MEMBER,
    STRANGER,
    ChangeWorld,
    next_answer,
    read_revisions,
    refusal,
    serving,
)

# Of the promise that a lost right takes effect everywhere.
LOST_SECONDS = 5


async def test_a_service_that_the_rule_names_reads_everything(world: ChangeWorld) -> None:
    await world.write(CHANGE, replace(CHANGE, project_id=0))
    start = await world.position(0)
    assert await read_revisions(world.watch(start, metadata=world.as_service("jobsvc")), 2) == [1, 2]
    for other in ("authsvc", "blobsvc", "worker"):
        assert (await refusal(world.watch(start, metadata=world.as_service(other)))).reason == "FORBIDDEN"


async def test_an_administrator_reads_everything(world: ChangeWorld) -> None:
    await world.write(CHANGE, replace(CHANGE, project_id=0))
    administrator = world.as_user(ADMINISTRATOR, is_admin=True)
    answer = await next_answer(world.watch(await world.position(0), metadata=administrator))
    assert [change.client_address for change in answer.changes] == ["192.0.2.1"] * 2
    of_a_project = world.watch(await world.position(0), metadata=administrator, project={"name": "alpha"})
    (shown,) = (await next_answer(of_a_project)).changes
    assert (shown.client_address, shown.token_id) == ("192.0.2.1", "token-1")


async def test_who_may_list_the_logs_of_a_project_reads_its_changes_without_addresses(world: ChangeWorld) -> None:
    await world.write(CHANGE, replace(CHANGE, project_id=2), replace(CHANGE, project_id=0), CHANGE)
    member = world.as_user(MEMBER)
    answer = await next_answer(world.watch(await world.position(0), metadata=member, project={"name": "alpha"}))
    assert [change.revision for change in answer.changes] == [1, 4]
    assert {(change.client_address, change.token_id) for change in answer.changes} == {("", "")}
    # An old token says that it is an administrator's.
    claimed = world.as_user(MEMBER, is_admin=True)
    answer = await next_answer(world.watch(await world.position(0), metadata=claimed, project={"id": 1}))
    assert {(change.client_address, change.token_id) for change in answer.changes} == {("", "")}

    assert (await refusal(world.watch(metadata=member))).reason == "FORBIDDEN"
    assert (await refusal(world.watch(metadata=member, project={"name": "beta"}))).reason == "PROJECT_UNKNOWN"


async def test_a_stranger_reads_nothing(world: ChangeWorld) -> None:
    stranger = world.as_user(STRANGER)
    for fields in ({}, {"project": {"name": "alpha"}}, {"project": {"id": 1}}, {"project": {"id": 99}}):
        expected = "PROJECT_UNKNOWN" if fields else "FORBIDDEN"
        assert (await refusal(world.watch(metadata=stranger, **fields))).reason == expected
        with pytest.raises(Exception, match=expected):
            await world.stub.ListChanges(world.list_request(**fields), metadata=stranger)
    world.permissions.visible.add((STRANGER, "alpha"))
    assert (await refusal(world.watch(metadata=stranger, project={"id": 1}))).reason == "FORBIDDEN"
    anonymous = (("x-request-id", "nobody"),)
    assert (await refusal(world.watch(metadata=anonymous, project={"id": 1}))).reason == "UNAUTHORIZED"
    registry = world.keyring.registry_token(("alpha/app", "pull", 1))
    bearer = (("authorization", f"Bearer {registry}"),)
    assert (await refusal(world.watch(metadata=bearer, project={"id": 1}))).reason == "INSUFFICIENT_SCOPE"


@pytest.mark.parametrize("busy", [True, False], ids=["while changes come", "while nothing happens"])
async def test_a_lost_right_ends_the_stream(world: ChangeWorld, busy: bool) -> None:
    streams = [
        world.watch(metadata=world.as_user(MEMBER), project={"name": "alpha"}),
        world.watch(metadata=world.as_user(ADMINISTRATOR, is_admin=True)),
    ]
    for stream in streams:
        await next_answer(stream)
    world.permissions.allowed.clear()
    lost_at = time.monotonic()

    async def write() -> None:
        while busy:
            await world.write(CHANGE)
            await asyncio.sleep(0.05)

    writer = asyncio.create_task(write())
    reasons = await asyncio.gather(*(refusal(stream) for stream in streams))
    assert time.monotonic() - lost_at < LOST_SECONDS
    assert [refused.reason for refused in reasons] == ["PROJECT_UNKNOWN", "FORBIDDEN"]
    writer.cancel()


async def test_a_project_that_takes_the_name_of_a_deleted_one_is_another_one(world: ChangeWorld) -> None:
    stream = world.watch(metadata=world.as_user(MEMBER), project={"name": "alpha"})
    await next_answer(stream)
    world.permissions.projects["alpha"] = 55
    assert (await refusal(stream)).reason == "PROJECT_UNKNOWN"


@pytest.fixture
async def aging(log_database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChangeWorld]:
    """A world whose tokens are about to expire."""
    monkeypatch.setattr(IdentityToken, "leeway_seconds", 0)
    async with serving(log_database) as made:
        yield made


async def test_a_stream_ends_with_the_token_of_its_caller(aging: ChangeWorld) -> None:
    claims = IdentityToken(subject=f"user:{MEMBER}", kind="user", id=MEMBER, name="ann")
    token = aging.keyring.sign("authsvc", claims, lifetime_seconds=3)
    stream = aging.watch(metadata=(("authorization", f"Bearer {token}"),), project={"id": 1})
    await next_answer(stream)
    assert (await refusal(stream)).reason == "UNAUTHORIZED"

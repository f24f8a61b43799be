import asyncio
from datetime import UTC, datetime

import pytest

from authsvc.domain.bootstrap import BootstrapError, bootstrap
from authsvc.domain.model import Caller
from authsvc.store.unit_of_work import SqlStore
from tests.harness.authsvc import ADMIN_PASSWORD, cheap_hasher


def now() -> datetime:
    return datetime.now(UTC)


async def test_the_first_start_makes_admin_and_library_with_the_first_ids(auth_store: SqlStore) -> None:
    hasher = cheap_hasher()
    await bootstrap(auth_store, hasher, now, lambda: ADMIN_PASSWORD)
    async with auth_store.read() as unit:
        found = await unit.users.credentials("admin")
        library = await unit.projects.by_name("library")
        assert library is not None
        roles = await unit.members.roles_of(Caller("user", 1), [library.id])
    assert found is not None
    user, password_hash = found
    assert (user.id, user.is_administrator) == (1, True)
    assert await hasher.verify(password_hash, ADMIN_PASSWORD)
    assert (library.id, library.public, library.owner_id) == (1, True, 1)
    assert roles == {1: (1,)}


async def test_later_starts_ask_for_no_password_and_change_nothing(auth_store: SqlStore) -> None:
    def never() -> str:
        raise AssertionError("asked for a password")

    first = await bootstrap(auth_store, cheap_hasher(), now, lambda: ADMIN_PASSWORD)
    async with auth_store.write() as unit:
        await unit.users.remove(1)
        await unit.commit()
    assert await bootstrap(auth_store, cheap_hasher(), now, never) == first
    async with auth_store.read() as later:
        assert await later.users.by_name("admin") is None


async def test_two_replicas_that_start_at_once_make_one_installation(auth_store: SqlStore) -> None:
    keys = await asyncio.gather(*(bootstrap(auth_store, cheap_hasher(), now, lambda: ADMIN_PASSWORD) for _ in range(5)))
    assert len(set(keys)) == 1
    async with auth_store.read() as unit:
        assert await unit.users.count(()) == 1
        assert await unit.projects.count(Caller("user", 1, is_administrator=True), ()) == 1


async def test_what_is_added_later_does_not_get_the_first_ids(auth_store: SqlStore) -> None:
    await bootstrap(auth_store, cheap_hasher(), now, lambda: ADMIN_PASSWORD)
    async with auth_store.write() as unit:
        user_id = await unit.users.add(
            username="second",
            email="",
            realname="",
            comment="",
            password_hash="x",
            is_administrator=False,
            now=now(),
        )
        project_id = await unit.projects.add(
            name="second", owner_id=1, public=False, settings={}, initial_storage_limit_bytes=-1, now=now()
        )
        await unit.commit()
    assert (user_id, project_id) == (2, 2)


@pytest.mark.parametrize("password", [None, "", "short"])
async def test_without_a_usable_password_there_is_no_first_start(auth_store: SqlStore, password: str | None) -> None:
    with pytest.raises(BootstrapError):
        await bootstrap(auth_store, cheap_hasher(), now, lambda: password)
    async with auth_store.read() as unit:
        assert await unit.users.count(()) == 0
        assert await unit.installation.robot_secret_key() is None

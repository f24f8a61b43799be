"""Logging in, on a store that holds two accounts in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from authsvc.domain.attempts import Attempts
from authsvc.domain.configuration import RuntimeConfiguration
from authsvc.domain.hashing import VerifiedSecrets
from authsvc.domain.login import Login
from authsvc.domain.model import RobotState, User
from authsvc.domain.robot_secret import RobotSecrets
from svckit.errors import Unauthenticated

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOME, OFFICE = "192.0.2.1", "192.0.2.2"


class SlowHasher:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.work: list[str] = []

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, password_hash: str, password: str) -> bool:
        self.work.append("verify")
        return password_hash == f"hash of {password}"

    async def verify_dummy(self, password: str) -> None:
        self.work.append("verify")


class Accounts:
    """The part of a store that a log-in reads."""

    def __init__(self) -> None:
        self.users: Any = self
        self.robots: Any = self
        self.disabled = False
        self.password_hash = "hash of right"
        self.robot_hash = ""
        self.is_open = False

    async def credentials(self, *name: str) -> tuple[Any, str] | None:
        if name == ("alice",):
            return User(7, "alice", "", "", "", False, self.disabled, 1, NOW, NOW), self.password_hash
        if name == ("library", "ci"):
            return RobotState(9, "robot$library+ci", disabled=self.disabled, expire_time=None), self.robot_hash
        return None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Accounts]:
        self.is_open = True
        yield self
        self.is_open = False


class House:
    def __init__(self) -> None:
        self.accounts = Accounts()
        self.hasher = SlowHasher()
        self.secrets = RobotSecrets(b"key", self.hasher)
        self.waits: list[float] = []
        self.outcomes: list[str] = []
        self.login = Login(
            cast("Any", self.accounts),
            self.hasher,
            self.secrets,
            Attempts(1.0, 8.0, sleep=self.sleep),
            VerifiedSecrets(60),
            lambda: NOW,
            configuration=RuntimeConfiguration(),
            observe=self.outcomes.append,
        )

    async def sleep(self, seconds: float) -> None:
        # No connection is held while somebody is made to wait.
        assert not self.accounts.is_open
        self.waits.append(seconds)

    async def refused(self, name: str, secret: str, address: str = HOME) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.login.log_in(name, secret, address)
        return caught.value.message


@pytest.fixture
def house() -> House:
    return House()


async def test_a_right_password_is_hashed_once_in_a_while(house: House) -> None:
    for _ in range(3):
        caller = await house.login.log_in("alice", "right", HOME)
        assert (caller.kind, caller.id, caller.name) == ("user", 7, "alice")
    assert house.hasher.work == ["verify"]
    house.accounts.password_hash = "hash of new"
    assert await house.refused("alice", "right")
    await house.login.log_in("alice", "new", OFFICE)
    assert house.outcomes == ["ok", "ok", "ok", "failed", "ok"]


async def test_a_name_without_an_account_costs_what_one_with_does_and_reads_alike(house: House) -> None:
    messages = {await house.refused("alice", "wrong"), await house.refused("nobody", "wrong", OFFICE)}
    house.accounts.disabled = True
    messages.add(await house.refused("alice", "right", "192.0.2.3"))
    assert len(messages) == 1
    assert house.hasher.work == ["verify"] * 3


async def test_a_password_that_was_right_a_moment_ago_needs_no_wait_from_a_suspect_address(house: House) -> None:
    await house.login.log_in("alice", "right", HOME)
    for _ in range(5):
        await house.refused("alice", "wrong")
    waits = len(house.waits)
    await house.login.log_in("alice", "right", HOME)
    assert len(house.waits) == waits
    house.accounts.disabled = True
    assert await house.refused("alice", "right")


async def test_failures_wait_and_the_owner_elsewhere_does_not(house: House) -> None:
    for _ in range(4):
        await house.refused("alice", "wrong")
    assert house.waits == [1, 2, 4]
    await house.login.log_in("alice", "right", OFFICE)
    assert house.waits == [1, 2, 4]


async def test_a_robots_right_secret_costs_no_slow_hash_and_a_wrong_one_what_an_unknown_name_costs(
    house: House,
) -> None:
    secret, house.accounts.robot_hash = await house.secrets.make("")
    caller = await house.login.log_in("robot$library+ci", secret, HOME)
    assert (caller.kind, caller.id, caller.name) == ("robot", 9, "robot$library+ci")
    assert house.hasher.work == []
    await house.refused("robot$library+ci", "wrong")
    assert house.hasher.work == ["verify"]
    house.accounts.disabled = True
    await house.refused("robot$library+ci", secret, OFFICE)


async def test_what_is_too_long_is_refused_unhashed_at_its_own_length(house: House) -> None:
    await house.refused("alice", "x" * 5000)
    await house.refused("a" * 5000, "right", OFFICE)
    await house.refused("", "", "192.0.2.3")
    assert house.hasher.work == ["verify"] * 3


async def test_a_confirmed_password_is_the_callers_own(house: House) -> None:
    alice = await house.login.log_in("alice", "right", HOME)
    assert await house.login.confirms(alice, "right")
    assert not await house.login.confirms(alice, "wrong")

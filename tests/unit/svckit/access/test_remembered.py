"""Answers of authsvc, remembered for two seconds and asked for once."""

import asyncio

import pytest

from svckit.access.call import AccessChecker, Call, current_call
from svckit.access.decision import ProjectDecision, ProjectKey, ResolvedProject
from svckit.access.principal import Principal
from svckit.access.remembered import RememberedChecker
from svckit.errors import Unavailable
from svckit.tokens import ActingToken

_LIBRARY = ProjectKey(name="library")
_YES = ProjectDecision(allowed=True, visible=True, project_id=1, project_name="library")


class Asked:
    """Counts what it is asked, and answers when it may."""

    def __init__(self) -> None:
        self.count = 0
        self.free = asyncio.Event()
        self.free.set()
        self.failure: Exception | None = None
        self.deadlines: list[float | None] = []

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        await self._ask(call)
        return _YES

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        await self._ask(call)
        return True

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        await self._ask(call)
        return ResolvedProject(1, "library")

    async def _ask(self, call: Call) -> None:
        assert call is current_call()
        self.count += 1
        self.deadlines.append(call.deadline)
        await self.free.wait()
        if self.failure is not None:
            raise self.failure


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def checker(asked: Asked, clock: Clock) -> AccessChecker:
    return RememberedChecker(asked, 2.0, clock, remembered_answers=3)


def _call(token: str = "t") -> Call:
    return Call("m", token=token)


async def test_an_answer_counts_two_seconds_and_no_longer(checker: AccessChecker, asked: Asked, clock: Clock) -> None:
    for now, count in ((100.0, 1), (101.9, 1), (102.0, 2), (103.9, 2), (104.1, 3)):
        clock.now = now
        assert await checker.check_project(_call(), _LIBRARY, "repository", "pull") == _YES
        assert asked.count == count


async def test_an_answer_counts_from_when_it_was_asked_for(checker: AccessChecker, asked: Asked, clock: Clock) -> None:
    asked.free.clear()
    asking = asyncio.ensure_future(checker.check_system(_call(), "user", "list"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += 1.5
    asked.free.set()
    await asking
    clock.now += 1.0
    await checker.check_system(_call(), "user", "list")
    assert asked.count == 2


async def test_questions_are_told_apart(checker: AccessChecker, asked: Asked) -> None:
    await checker.check_project(_call("a"), _LIBRARY, "repository", "pull")
    await checker.check_project(_call("b"), _LIBRARY, "repository", "pull")
    await checker.check_project(_call("a"), ProjectKey(id=1), "repository", "pull")
    await checker.check_project(_call("a"), _LIBRARY, "member", "pull")
    await checker.check_project(_call("a"), _LIBRARY, "repository", "push")
    await checker.check_system(_call("a"), "repository", "pull")
    assert asked.count == 6


async def test_a_hundred_who_ask_at_once_are_one_question(checker: AccessChecker, asked: Asked) -> None:
    asked.free.clear()
    asking = [asyncio.ensure_future(checker.check_system(_call(), "user", "list")) for _ in range(100)]
    await asyncio.sleep(0)
    asked.free.set()
    assert await asyncio.gather(*asking) == [True] * 100
    assert asked.count == 1


async def test_who_asked_first_may_go_away(checker: AccessChecker, asked: Asked) -> None:
    asked.free.clear()
    first, second = (asyncio.ensure_future(checker.check_system(_call(), "user", "list")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    asked.free.set()
    assert await second is True
    assert first.cancelled()
    assert asked.count == 1


async def test_others_do_not_share_the_deadline_of_who_was_first(checker: AccessChecker, asked: Asked) -> None:
    await checker.check_system(Call("m", token="t", deadline=1.0), "user", "list")
    assert asked.deadlines == [None]


async def test_a_failure_is_told_to_all_who_wait_and_not_remembered(checker: AccessChecker, asked: Asked) -> None:
    asked.failure = Unavailable()
    asking = [asyncio.ensure_future(checker.check_system(_call(), "user", "list")) for _ in range(2)]
    assert [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)] == [Unavailable, Unavailable]
    asked.failure = None
    assert await checker.check_system(_call(), "user", "list") is True
    assert asked.count == 2


async def test_the_oldest_answers_go_first(checker: AccessChecker, asked: Asked) -> None:
    for token in "abcd":
        await checker.check_system(_call(token), "user", "list")
    await checker.check_system(_call("d"), "user", "list")
    assert asked.count == 4
    await checker.check_system(_call("a"), "user", "list")
    assert asked.count == 5


def test_remembering_longer_than_two_seconds_is_refused(asked: Asked) -> None:
    for seconds in (2.1, -1):
        with pytest.raises(ValueError, match="at most"):
            RememberedChecker(asked, seconds)


async def test_which_project_is_meant_is_the_same_for_every_service_that_asks(
    checker: AccessChecker, asked: Asked, clock: Clock
) -> None:
    for service in ("jobsvc", "worker"):
        call = Call("m", principal=Principal.of_acting(ActingToken(subject=f"service:{service}")))
        assert await checker.resolve_project(call, _LIBRARY) == ResolvedProject(1, "library")
    assert asked.count == 1
    clock.now += 2.1
    await checker.resolve_project(_call(), _LIBRARY)
    assert asked.count == 2

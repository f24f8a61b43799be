"""That somebody may push is remembered for two seconds, and that somebody may not is never."""

from typing import Any

import pytest

from metasvc.clients.authsvc import AuthDirectory
from roadstead.auth.v1 import access_service_pb2 as pb


class Authsvc:
    """Answers, and notes what it was asked."""

    def __init__(self) -> None:
        self.allowed = True
        self.asked: list[tuple[str, int]] = []

    async def CheckSubjectAccess(self, request: pb.CheckSubjectAccessRequest) -> pb.CheckSubjectAccessResponse:
        self.asked.append((request.subject, request.project.id))
        return pb.CheckSubjectAccessResponse(allowed=self.allowed)


@pytest.fixture
def authsvc() -> Authsvc:
    return Authsvc()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def directory(authsvc: Authsvc, now: list[float]) -> AuthDirectory:
    class Channel:
        def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
            return getattr(authsvc, method.rpartition("/")[2], None)

    channel: Any = Channel()
    return AuthDirectory(channel, lambda: now[0])


async def test_a_right_is_asked_for_again_after_two_seconds(
    directory: AuthDirectory, authsvc: Authsvc, now: list[float]
) -> None:
    for later, allowed in ((0.0, True), (1.9, True), (2.0, False)):
        now[0] = 1000 + later
        assert await directory.may_push("user:7", 1) is allowed
        authsvc.allowed = False
    assert len(authsvc.asked) == 2


async def test_a_refusal_is_not_remembered(directory: AuthDirectory, authsvc: Authsvc) -> None:
    authsvc.allowed = False
    assert not await directory.may_push("user:7", 1)
    authsvc.allowed = True
    assert await directory.may_push("user:7", 1)


async def test_the_right_of_one_is_not_that_of_another_nor_elsewhere(
    directory: AuthDirectory, authsvc: Authsvc
) -> None:
    assert await directory.may_push("user:7", 1)
    authsvc.allowed = False
    assert not await directory.may_push("user:8", 1)
    assert not await directory.may_push("user:7", 2)
    assert authsvc.asked == [("user:7", 1), ("user:8", 1), ("user:7", 2)]

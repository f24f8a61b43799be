"""What was allowed is remembered for some seconds, by project, within bounds."""

from typing import Any

import pytest

from gateway.clients import quota
from gateway.clients.quota import QuotaClient
from roadstead.meta.v1 import quota_service_pb2 as pb


class Stub:
    """Allows everything up to a limit, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def CheckUploadSize(self, request: pb.CheckUploadSizeRequest, **_: Any) -> pb.CheckUploadSizeResponse:
        self.asked.append((request.project_id, request.size_bytes))
        return pb.CheckUploadSizeResponse(allowed_size_bytes=100)


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def client(stub: Stub, now: list[float]) -> QuotaClient:
    class Channel:
        def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
            return getattr(stub, method.rpartition("/")[2], None)

    channel: Any = Channel()
    return QuotaClient(channel, lambda: now[0])


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


async def test_it_is_forgotten_after_five_seconds(client: QuotaClient, stub: Stub, now: list[float]) -> None:
    for later in (0.0, 4.9, 5.1, 9.0):
        now[0] = 1000 + later
        await client.check_upload_size(1, 10)
    assert stub.asked == [(1, 10)] * 2


async def test_each_project_is_asked_for(client: QuotaClient, stub: Stub) -> None:
    for project_id in (1, 2, 1, 2):
        await client.check_upload_size(project_id, 10)
    assert stub.asked == [(1, 10), (2, 10)]


@pytest.fixture
def two_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "_REMEMBERED_PROJECTS", 2)


@pytest.mark.usefixtures("two_projects")
async def test_the_oldest_projects_are_forgotten(client: QuotaClient, stub: Stub) -> None:
    for project_id in (1, 2, 3, 3, 2, 1):
        await client.check_upload_size(project_id, 10)
    assert [project_id for project_id, _ in stub.asked] == [1, 2, 3, 1]

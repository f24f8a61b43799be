"""blobsvc refuses registry tokens by what metasvc tells it, also those of uploads that are under way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from metasvc.clients.revoked_tokens import RevokedTokens
from roadstead.blob.v1.upload_service_pb2 import WriteUploadRequest
from svckit.errors import Unauthenticated
from svckit.log_position import LogPosition
from svckit.rpc import open_channel
from svckit.tokens.revocation import Loss, Revocation, Revocations
from tests.contract.blobsvc.conftest import Service
from tests.contract.blobsvc.test_rights import DATA, Client

SUBJECT = "user:7"


def told(count: int, *, first: int = 1) -> list[Revocation]:
    """Revocations of others, the last of which is the pusher's."""
    now = datetime.now(UTC)
    subjects = [*(f"user:{100 + number}" for number in range(count - 1)), SUBJECT]
    return [Revocation(first + number, now, Loss((subject,))) for number, subject in enumerate(subjects)]


def at(revision: int, epoch: str = "e") -> LogPosition:
    return LogPosition(epoch=epoch, revision=revision)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    client = Client(service)
    yield client
    await client.close()


@pytest.fixture
def known() -> Revocations:
    """What metasvc knows."""
    return Revocations()


@pytest.fixture
async def metasvc(service: Service, known: Revocations) -> AsyncIterator[RevokedTokens]:
    acting = service.keyring.acting_tokens("metasvc", "blobsvc")
    async with open_channel(service.target, acting_tokens=acting) as channel:
        yield RevokedTokens(channel, known)


@pytest.mark.parametrize("count", [1, 2500])
async def test_what_metasvc_knows_is_told_all_at_once_and_then_what_is_new(
    client: Client, metasvc: RevokedTokens, known: Revocations, count: int
) -> None:
    await metasvc.tell()
    await client.start()
    known.replace(at(count), told(count))
    await metasvc.tell()
    with pytest.raises(Unauthenticated, match="is revoked"):
        await client.start()


async def test_what_comes_later_is_told_as_well_and_by_another_replica(
    client: Client, metasvc: RevokedTokens, known: Revocations, service: Service
) -> None:
    known.replace(at(3), [])
    await metasvc.tell()
    await client.start()
    acting = service.keyring.acting_tokens("metasvc", "blobsvc")
    async with open_channel(service.target, acting_tokens=acting) as channel:
        ahead = Revocations()
        ahead.replace(at(4), told(1, first=4))
        await RevokedTokens(channel, ahead).tell()
    with pytest.raises(Unauthenticated, match="is revoked"):
        await client.start()
    # The first one has not heard of it yet, and takes nothing back.
    await metasvc.tell()
    with pytest.raises(Unauthenticated, match="is revoked"):
        await client.start()
    known.replace(at(4, "another"), [])
    await metasvc.tell()
    await client.start()


async def test_an_upload_under_way_ends_with_the_next_bytes(
    client: Client, metasvc: RevokedTokens, known: Revocations
) -> None:
    ticket = await client.start()
    first, go_on = asyncio.Event(), asyncio.Event()

    async def messages() -> AsyncIterator[WriteUploadRequest]:
        yield WriteUploadRequest(header=WriteUploadRequest.Header(ticket=ticket))
        yield WriteUploadRequest(data=DATA)
        first.set()
        await go_on.wait()
        yield WriteUploadRequest(data=DATA)

    async def write() -> None:
        await client.uploads.WriteUpload(messages(), metadata=client.pusher)

    writing = asyncio.create_task(write())
    await first.wait()
    known.replace(at(1), told(1))
    await metasvc.tell()
    go_on.set()
    with pytest.raises(Unauthenticated, match="is revoked"):
        await writing
    with pytest.raises(Unauthenticated, match="is revoked"):
        await client.status(ticket)

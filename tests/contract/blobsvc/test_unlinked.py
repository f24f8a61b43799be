"""The bound on bytes of unfinished and unlinked uploads, over gRPC."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from blobsvc.domain.model import StoredBlob
from blobsvc.store.filesystem import FileStore
from roadstead.blob.v1.blob_pb2 import BlobGeneration
from roadstead.blob.v1.blob_service_pb2 import SettleGenerationsRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.blob.v1.upload_service_pb2 import (
    CancelUploadRequest,
    FinishUploadRequest,
    StartUploadRequest,
    WriteUploadRequest,
    WriteUploadResponse,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.oci.digest import Digest
from svckit.rpc import RpcChannel, open_channel
from tests.contract.blobsvc.conftest import Service, file_store, serving
from tests.contract.blobsvc.steps import refused
from tests.harness.keyring import Metadata, bearer, from_service

PROJECT_LIMIT, SUBJECT_LIMIT = 1000, 600
REPOSITORY, ELSEWHERE = "library/app", "team/app"


class Pusher:
    """A caller who may push to two projects."""

    def __init__(self, service: Service, channel: RpcChannel, subject: str = "user:7") -> None:
        self.channel = channel
        self.uploads = UploadServiceStub(channel)
        self.metadata: Metadata = bearer(
            service.keyring.registry_token((REPOSITORY, "push", 1), (ELSEWHERE, "push", 2), subject=subject)
        )

    async def start(self, repository: str = REPOSITORY, expected_size_bytes: int | None = None) -> str:
        request = StartUploadRequest(repository=repository, expected_size_bytes=expected_size_bytes)
        return (await self.uploads.StartUpload(request, metadata=self.metadata)).upload.ticket

    async def write(self, ticket: str, *parts: bytes, size_bytes: int | None = None) -> WriteUploadResponse:
        header = WriteUploadRequest.Header(ticket=ticket, size_bytes=size_bytes)
        messages = [WriteUploadRequest(header=header), *(WriteUploadRequest(data=part) for part in parts)]
        return await self.uploads.WriteUpload(iter(messages), metadata=self.metadata)

    async def finish(self, ticket: str, content: bytes) -> None:
        request = FinishUploadRequest(ticket=ticket, digest=str(Digest.of(content)))
        await self.uploads.FinishUpload(request, metadata=self.metadata)

    async def cancel(self, ticket: str) -> None:
        await self.uploads.CancelUpload(CancelUploadRequest(ticket=ticket), metadata=self.metadata)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    async with file_store(tmp_path / "store") as files:
        yield files


@pytest.fixture
async def service(store: FileStore, socket_folder: Path) -> AsyncIterator[Service]:
    async with serving(
        store,
        socket_folder,
        unlinked_bytes_per_project=PROJECT_LIMIT,
        unlinked_bytes_per_subject=SUBJECT_LIMIT,
        open_uploads_per_subject=3,
    ) as running:
        yield running


@pytest.fixture
async def pusher(service: Service) -> AsyncIterator[Pusher]:
    async with open_channel(service.target) as channel:
        yield Pusher(service, channel)


async def stored(store: FileStore) -> list[StoredBlob]:
    return list((await store.admin.list()).blobs)


async def test_an_upload_that_says_it_is_too_large_is_refused_at_its_start(pusher: Pusher, store: FileStore) -> None:
    await pusher.start(expected_size_bytes=SUBJECT_LIMIT)
    with refused("UPLOADS_EXCEEDED") as refusal:
        await pusher.start(expected_size_bytes=SUBJECT_LIMIT + 1)
    assert refusal.metadata == {"bound": "subject", "used_bytes": "0", "limit_bytes": str(SUBJECT_LIMIT)}
    ticket = await pusher.start()
    with refused("UPLOADS_EXCEEDED"):
        await pusher.write(ticket, b"x", size_bytes=SUBJECT_LIMIT + 1)
    assert {upload.size_bytes for upload in await store.admin.list_unfinished()} == {0}


async def test_what_does_not_say_its_size_is_stopped_at_the_bound(pusher: Pusher, store: FileStore) -> None:
    ticket = await pusher.start()
    with refused("UPLOADS_EXCEEDED"):
        await pusher.write(ticket, b"x" * 400, b"x" * 200, b"x")
    # What came before stays, and may be finished.
    assert [upload.size_bytes for upload in await store.admin.list_unfinished()] == [SUBJECT_LIMIT]
    with refused("UPLOADS_EXCEEDED"):
        await pusher.start()
    with refused("UPLOADS_EXCEEDED"):
        await pusher.start(ELSEWHERE)
    await pusher.finish(ticket, b"x" * SUBJECT_LIMIT)


async def test_the_uploads_of_all_subjects_into_one_project_are_bounded(pusher: Pusher, service: Service) -> None:
    other = Pusher(service, pusher.channel, "robot:7")
    await pusher.write(await pusher.start(), b"x" * SUBJECT_LIMIT)
    ticket = await other.start()
    with refused("UPLOADS_EXCEEDED") as refusal:
        await other.write(ticket, b"x" * (PROJECT_LIMIT - SUBJECT_LIMIT + 1))
    assert refusal.metadata["bound"] == "project"
    await other.write(await other.start(ELSEWHERE), b"x" * SUBJECT_LIMIT)


async def test_room_comes_back_when_an_upload_is_cancelled_mismatched_or_settled(
    pusher: Pusher, service: Service, store: FileStore
) -> None:
    full = b"x" * SUBJECT_LIMIT
    ticket = await pusher.start()
    await pusher.write(ticket, full)
    await pusher.cancel(ticket)

    ticket = await pusher.start()
    await pusher.write(ticket, full)
    with refused("DIGEST_INVALID"):
        await pusher.finish(ticket, b"something else")

    ticket = await pusher.start()
    await pusher.write(ticket, full)
    await pusher.finish(ticket, full)
    with refused("UPLOADS_EXCEEDED"):
        await pusher.start()
    [blob] = await stored(store)
    request = SettleGenerationsRequest(
        generations=[BlobGeneration(digest=str(blob.digest), generation=blob.generation.number)]
    )
    async with open_channel(service.target) as channel:
        await BlobServiceStub(channel).SettleGenerations(
            request, metadata=from_service(service.keyring.service_token("metasvc"))
        )
    # A repeat of the finish does not count it again.
    await pusher.finish(ticket, full)
    await pusher.start(expected_size_bytes=SUBJECT_LIMIT)
    assert await stored(store) == [blob]


async def test_a_refusal_is_counted_and_so_are_the_bytes(pusher: Pusher, service: Service) -> None:
    await pusher.write(await pusher.start(), b"x" * 10)
    with refused("UPLOADS_EXCEEDED"):
        await pusher.start(expected_size_bytes=PROJECT_LIMIT + 1)
    value = service.metrics.registry.get_sample_value
    assert value("blobsvc_unlinked_bytes") == 10
    assert value("blobsvc_uploads_refused_total", {"bound": "project"}) == 1
    assert value("blobsvc_uploads_refused_total", {"bound": "subject"}) == 0


async def test_no_more_uploads_may_be_open_than_is_set_and_one_that_ends_makes_room(pusher: Pusher) -> None:
    first, *_ = [await pusher.start() for _ in range(3)]
    with refused("UPLOADS_EXCEEDED") as refusal:
        await pusher.start()
    assert refusal.metadata == {"bound": "open", "limit": "3"}
    await pusher.cancel(first)
    second = await pusher.start()
    with refused("UPLOADS_EXCEEDED"):
        await pusher.start()
    await pusher.finish(second, b"")
    await pusher.start()

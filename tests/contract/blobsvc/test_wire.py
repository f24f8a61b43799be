"""What only the wire can get wrong: the order of messages, sizes, pages, and streams that break or stall."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc.aio
import pytest

from roadstead.blob.v1.blob_service_pb2 import DeleteBlobRequest, ListBlobsRequest, ReadBlobRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.blob.v1.upload_service_pb2 import (
    FinishUploadRequest,
    GetUploadStatusRequest,
    StartUploadRequest,
    WriteUploadRequest,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.errors import Conflict, Invalid
from svckit.oci.digest import SHA512, Digest
from svckit.rpc import RpcChannel, open_channel
from tests.contract.blobsvc.conftest import LIFETIMES, Service, file_store, serving
from tests.contract.blobsvc.steps import push, refused, until_free
from tests.harness.keyring import bearer
from tests.harness.waiting import wait_until_async

REPOSITORY = "library/app"
DATA = bytes(range(256)) * 10_000


class Pusher:
    """UploadService, called with the token of somebody who may push."""

    def __init__(self, service: Service, channel: RpcChannel) -> None:
        stub = UploadServiceStub(channel)
        metadata = bearer(service.keyring.registry_token((REPOSITORY, "push", 1)))
        self.StartUpload = partial(stub.StartUpload, metadata=metadata)
        self.WriteUpload = partial(stub.WriteUpload, metadata=metadata)
        self.GetUploadStatus = partial(stub.GetUploadStatus, metadata=metadata)
        self.FinishUpload = partial(stub.FinishUpload, metadata=metadata)

    async def start(self) -> str:
        """The ticket of a new upload."""
        return (await self.StartUpload(StartUploadRequest(repository=REPOSITORY))).upload.ticket


@pytest.fixture
async def uploads(service: Service) -> AsyncIterator[Pusher]:
    async with open_channel(service.target) as channel:
        yield Pusher(service, channel)


def header(ticket: str, offset: int | None = None) -> WriteUploadRequest:
    return WriteUploadRequest(header=WriteUploadRequest.Header(ticket=ticket, offset=offset))


def data(content: bytes) -> WriteUploadRequest:
    return WriteUploadRequest(data=content)


async def test_a_start_says_how_to_go_on(uploads: Pusher) -> None:
    response = await uploads.StartUpload(StartUploadRequest(repository=REPOSITORY, digest_algorithm=SHA512))
    assert len(response.upload.id) == 32
    assert response.upload.committed_size_bytes == 0
    assert [placement.WhichOneof("way") for placement in response.placements] == ["stream"]
    assert response.expire_time.ToSeconds() > 0
    assert LIFETIMES.idle_seconds < LIFETIMES.total_seconds


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([WriteUploadRequest()], id="an empty message"),
        pytest.param([data(b"x")], id="data first"),
    ],
)
async def test_a_stream_without_its_header_is_refused(uploads: Pusher, messages: list[WriteUploadRequest]) -> None:
    with refused("BAD_REQUEST"):
        await uploads.WriteUpload(iter(messages))


async def test_after_the_header_comes_nothing_but_data(uploads: Pusher) -> None:
    ticket = await uploads.start()
    for stray in (header(ticket), WriteUploadRequest()):
        with refused("BAD_REQUEST"):
            await uploads.WriteUpload(iter([header(ticket), data(b"x"), stray, data(b"never")]))
    # What came before the mistake stays.
    status = await uploads.GetUploadStatus(GetUploadStatusRequest(ticket=ticket))
    assert status.committed_size_bytes == 2


async def test_a_message_may_carry_four_mebibytes_and_no_more(uploads: Pusher) -> None:
    ticket = await uploads.start()
    four = 4 * 1024 * 1024
    response = await uploads.WriteUpload(iter([header(ticket), data(bytes(four))]))
    assert response.committed_size_bytes == four
    with refused("BAD_REQUEST"):
        await uploads.WriteUpload(iter([header(ticket), data(bytes(four + 1))]))


async def test_an_offset_of_zero_is_an_offset(uploads: Pusher) -> None:
    ticket = await uploads.start()
    await uploads.WriteUpload(iter([header(ticket, 0), data(b"abc")]))
    with refused("RANGE_INVALID") as refusal:
        await uploads.WriteUpload(iter([header(ticket, 0), data(b"abc")]))
    assert refusal.metadata["committed_size"] == "3"
    response = await uploads.WriteUpload(iter([header(ticket), data(b"def")]))
    assert response.committed_size_bytes == 6


@pytest.mark.parametrize("digest", ["", "sha256", "sha256:", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha256:../x"])
async def test_what_is_no_digest_is_refused_and_the_session_lives(uploads: Pusher, digest: str) -> None:
    ticket = await uploads.start()
    await uploads.WriteUpload(iter([header(ticket), data(b"abc")]))
    with refused("DIGEST_INVALID"):
        await uploads.FinishUpload(FinishUploadRequest(ticket=ticket, digest=digest))
    status = await uploads.GetUploadStatus(GetUploadStatusRequest(ticket=ticket))
    assert status.committed_size_bytes == 3


async def test_an_expected_size_of_zero_is_a_size(uploads: Pusher) -> None:
    ticket = await uploads.start()
    await uploads.WriteUpload(iter([header(ticket), data(b"abc")]))
    digest = str(Digest.of(b"abc"))
    with refused("SIZE_INVALID"):
        await uploads.FinishUpload(FinishUploadRequest(ticket=ticket, digest=digest, expected_size_bytes=0))
    finished = await uploads.FinishUpload(FinishUploadRequest(ticket=ticket, digest=digest))
    assert finished.size_bytes == 3


async def test_a_client_that_hangs_up_gives_the_lock_back(uploads: Pusher) -> None:
    ticket = await uploads.start()
    call = uploads.WriteUpload()
    await call.write(header(ticket))
    await call.write(data(DATA))
    call.cancel()
    response = await until_free(lambda: _append_rest(uploads, ticket))
    assert response == len(DATA)
    finished = await uploads.FinishUpload(FinishUploadRequest(ticket=ticket, digest=str(Digest.of(DATA))))
    assert finished.size_bytes == len(DATA)


async def _append_rest(uploads: Pusher, ticket: str) -> int:
    status = await uploads.GetUploadStatus(GetUploadStatusRequest(ticket=ticket))
    offset = status.committed_size_bytes
    try:
        response = await uploads.WriteUpload(iter([header(ticket, offset), data(DATA[offset:])]))
    except Invalid as error:
        # Between the two calls, the writer that has gone away stored what it had been sent.
        if error.reason != "RANGE_INVALID":
            raise
        raise Conflict from error
    return response.committed_size_bytes


async def test_a_writer_that_stands_still_loses_the_lock(tmp_path: Path, socket_folder: Path) -> None:
    async with (
        file_store(tmp_path) as store,
        serving(store, socket_folder, stream_idle_seconds=0.2) as service,
        open_channel(service.target) as channel,
    ):
        uploads = Pusher(service, channel)
        ticket = await uploads.start()
        call = uploads.WriteUpload()
        await call.write(header(ticket))
        await call.write(data(b"abc"))
        with refused("REQUEST_TIMEOUT"):
            async with asyncio.timeout(10):
                await call
        response = await uploads.WriteUpload(iter([header(ticket, 3), data(b"def")]))
        assert response.committed_size_bytes == 6


async def test_a_writer_that_sends_a_byte_now_and_then_loses_the_lock(tmp_path: Path, socket_folder: Path) -> None:
    async with (
        file_store(tmp_path) as store,
        serving(store, socket_folder, stream_idle_seconds=0.3) as service,
        open_channel(service.target) as channel,
    ):
        uploads = Pusher(service, channel)
        ticket = await uploads.start()
        sent = 0

        async def drip() -> AsyncIterator[WriteUploadRequest]:
            nonlocal sent
            yield header(ticket)
            while True:
                yield data(b"a")
                sent += 1
                # Each byte comes in time, if only the pause before it counted.
                await asyncio.sleep(0.05)

        with refused("REQUEST_TIMEOUT"):
            async with asyncio.timeout(10):
                await uploads.WriteUpload(drip())
        assert sent > 1
        status = await uploads.GetUploadStatus(GetUploadStatusRequest(ticket=ticket))
        committed = status.committed_size_bytes
        response = await uploads.WriteUpload(iter([header(ticket, committed), data(b"def")]))
        assert response.committed_size_bytes == committed + 3


async def test_a_client_that_leaves_a_download_gives_the_file_back(tmp_path: Path, socket_folder: Path) -> None:
    async with file_store(tmp_path) as store:
        blob = await push(store.uploads, DATA)
        async with serving(store, socket_folder) as service, open_channel(service.target) as channel:
            blobs = BlobServiceStub(channel)
            request = ReadBlobRequest(grant=service.keyring.grant(blob.key, len(DATA)))
            metadata = bearer(service.keyring.registry_token((REPOSITORY, "pull", 1)))
            for _ in range(10):
                async for _message in blobs.ReadBlob(request, metadata=metadata):
                    break
            await wait_until_async(
                lambda: store.blobs._streams, "the reads to end", wanted=lambda streams: not streams, seconds=10
            )


async def test_a_reader_that_stands_still_holds_nothing(
    tmp_path: Path, socket_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svckit.rpc.handling._ABORT_SECONDS", 0.2)
    async with file_store(tmp_path) as store:
        blob = await push(store.uploads, DATA * 8)
        async with (
            serving(store, socket_folder, stream_idle_seconds=0.2) as service,
            open_channel(service.target) as channel,
        ):
            blobs = BlobServiceStub(channel)
            request = ReadBlobRequest(grant=service.keyring.grant(blob.key, len(DATA) * 8))
            metadata = bearer(service.keyring.registry_token((REPOSITORY, "pull", 1)))
            call = blobs.ReadBlob(request, metadata=metadata)
            assert await call.read() is not grpc.aio.EOF
            await wait_until_async(
                lambda: (store.blobs._streams, service.calls_in_flight),
                "the read to end",
                wanted=lambda held: not any(held),
                seconds=10,
            )
            with refused("REQUEST_TIMEOUT"):
                while await call.read() is not grpc.aio.EOF:
                    pass


async def test_page_tokens_are_bound_to_their_list(service: Service) -> None:
    tokens = service.keyring.service_tokens("jobsvc")
    async with open_channel(service.target, service_tokens=tokens) as channel, open_channel(service.target) as caller:
        uploads = Pusher(service, caller)
        for content in (b"a", b"b", b"c"):
            ticket = await uploads.start()
            await uploads.WriteUpload(iter([header(ticket), data(content)]))
            await uploads.FinishUpload(FinishUploadRequest(ticket=ticket, digest=str(Digest.of(content))))
        blobs = BlobServiceStub(channel)
        page = await blobs.ListBlobs(ListBlobsRequest(page_size=2))
        assert len(page.blobs) == 2
        last = await blobs.ListBlobs(ListBlobsRequest(page_size=2, page_token=page.next_page_token))
        assert (len(last.blobs), last.next_page_token) == (1, "")
        filtered = ListBlobsRequest(page_token=page.next_page_token)
        filtered.finished_before.FromSeconds(2**31)
        for request in (
            filtered,
            ListBlobsRequest(page_token="nonsense"),
            ListBlobsRequest(page_token=page.next_page_token + "x"),
        ):
            with refused("INVALID_PAGE_TOKEN"):
                await blobs.ListBlobs(request)


async def test_a_list_refuses_what_cannot_be_meant(service: Service) -> None:
    tokens = service.keyring.service_tokens("jobsvc")
    async with open_channel(service.target, service_tokens=tokens) as channel:
        blobs = BlobServiceStub(channel)
        never = ListBlobsRequest()
        never.finished_before.seconds = 2**60
        for request in (ListBlobsRequest(page_size=-1), never):
            with refused("BAD_REQUEST"):
                await blobs.ListBlobs(request)
        with refused("DIGEST_INVALID"):
            await blobs.DeleteBlob(DeleteBlobRequest(digest="../../etc/passwd", generation=1))
        with refused("BAD_REQUEST"):
            await blobs.DeleteBlob(DeleteBlobRequest(digest=str(Digest.of(b"")), generation=0))

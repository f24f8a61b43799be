"""WriteUploadFile: who may call it, what it demands, and what it bounds."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from blobsvc.store.memory import MemoryStore
from gateway.clients.blob_folder import BlobFolder
from gateway.clients.recent_configs import RecentConfigs
from gateway.clients.upload import UploadClient
from gateway.wire.measure import HttpMetrics
from roadstead.blob.v1.upload_service_pb2 import (
    GetUploadStatusRequest,
    StartUploadRequest,
    WriteUploadFileRequest,
    WriteUploadFileResponse,
    WriteUploadRequest,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.access.call import Call
from svckit.access.call import serving as serving_call
from svckit.errors import DomainError
from svckit.rpc import RpcChannel, open_channel
from tests.contract.blobsvc.conftest import Service, file_store, serving
from tests.contract.blobsvc.steps import refused
from tests.harness.keyring import bearer

REPOSITORY = "library/app"
MIB = 1024 * 1024
LIMIT = 3 * MIB


class Writer:
    """Somebody who may push, and calls through a service or directly."""

    def __init__(self, service: Service, channel: RpcChannel) -> None:
        self.token = service.keyring.registry_token((REPOSITORY, "push", 1))
        self.metadata = bearer(self.token)
        self.channel = channel
        self.stub = UploadServiceStub(channel)

    async def start(self) -> str:
        request = StartUploadRequest(repository=REPOSITORY)
        return (await self.stub.StartUpload(request, metadata=self.metadata)).upload.ticket

    async def call(self, *messages: WriteUploadFileRequest) -> list[WriteUploadFileResponse]:
        """All answers to these messages."""
        answers = self.stub.WriteUploadFile(iter(messages), metadata=self.metadata)
        return [answer async for answer in answers]

    async def status(self, ticket: str) -> int:
        request = GetUploadStatusRequest(ticket=ticket)
        return (await self.stub.GetUploadStatus(request, metadata=self.metadata)).committed_size_bytes

    async def write(self, folder: Path, ticket: str, content: bytes, size: int | None = None) -> int:
        """Writes as the gateway does, in chunks of a MiB."""

        async def chunks() -> AsyncIterator[list[bytes]]:
            for start in range(0, len(content), MIB):
                yield [content[start : start + MIB]]

        metrics = HttpMetrics(CollectorRegistry())
        client = UploadClient(self.channel, BlobFolder(folder, metrics), metrics, RecentConfigs(), 0)
        with serving_call(Call("PATCH", token=self.token)):
            committed = await client.write(ticket, "", None, chunks(), size)
        assert metrics.blob_received_bytes.labels("file")._value.get() == len(content)
        return committed


def header(ticket: str, *, size: int | None = None, offset: int | None = None) -> WriteUploadFileRequest:
    return WriteUploadFileRequest(header=WriteUploadFileRequest.Header(ticket=ticket, size_bytes=size, offset=offset))


def progress(size: int, wanted: int = 0) -> WriteUploadFileRequest:
    return WriteUploadFileRequest(progress=WriteUploadFileRequest.Progress(size_bytes=size, wanted_size_bytes=wanted))


@pytest.fixture
async def writer(service: Service) -> AsyncIterator[Writer]:
    tokens = service.keyring.service_tokens("gateway")
    async with open_channel(service.target, service_tokens=tokens) as channel:
        yield Writer(service, channel)


@pytest.mark.parametrize("caller", [None, "authsvc", "metasvc", "blobsvc", "jobsvc"])
async def test_nobody_but_the_gateway_may_write_files(service: Service, caller: str | None) -> None:
    tokens = None if caller is None else service.keyring.service_tokens(caller)
    async with open_channel(service.target, service_tokens=tokens) as channel:
        somebody = Writer(service, channel)
        ticket = await somebody.start()
        with refused("FORBIDDEN"):
            await somebody.call(header(ticket))


async def test_the_gateway_needs_the_callers_ticket_and_token(service: Service, writer: Writer) -> None:
    ticket = await writer.start()
    with refused("TICKET_INVALID"):
        await writer.call(header(f"{ticket}x"))
    with refused("TICKET_INVALID"):
        await writer.call(header(""))
    for metadata, reason in (
        (None, "UNAUTHORIZED"),
        (bearer(service.keyring.registry_token((REPOSITORY, "pull", 1))), "INSUFFICIENT_SCOPE"),
        (bearer(service.keyring.registry_token((REPOSITORY, "push", 1), subject="user:8")), "TICKET_INVALID"),
    ):
        writer.metadata = metadata  # type: ignore[assignment]
        with refused(reason):
            await writer.call(header(ticket))


async def test_the_first_answer_names_the_file_and_the_last_what_is_durable(writer: Writer, tmp_path: Path) -> None:
    ticket = await writer.start()
    answers = await writer.call(header(ticket), progress(0, 5))
    assert [answer.HasField("file") for answer in answers] == [True, False, False]
    assert [answer.HasField("committed_size_bytes") for answer in answers] == [False, False, True]
    file = tmp_path / "store" / answers[0].file.path
    assert file.stat().st_ino == answers[0].file.inode
    assert answers[1].allowed_size_bytes >= 5
    assert answers[2].committed_size_bytes == 0


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([progress(0)], id="no header"),
        pytest.param([WriteUploadFileRequest()], id="an empty message"),
    ],
)
async def test_a_stream_without_its_header_is_refused(writer: Writer, messages: list[WriteUploadFileRequest]) -> None:
    with refused("BAD_REQUEST"):
        await writer.call(*messages)


async def test_a_second_header_a_shrinking_file_and_one_that_is_too_large_are_refused(writer: Writer) -> None:
    ticket = await writer.start()
    for messages in (
        [header(ticket)],
        [progress(5), progress(4)],
        [progress(2**40)],
        [progress(-1)],
    ):
        with refused("BAD_REQUEST"):
            await writer.call(header(ticket), *messages)


async def test_a_store_without_files_says_so(socket_folder: Path) -> None:
    async with serving(MemoryStore(), socket_folder) as service:
        tokens = service.keyring.service_tokens("gateway")
        async with open_channel(service.target, service_tokens=tokens) as channel:
            writer = Writer(service, channel)
            with refused("UNSUPPORTED"):
                await writer.call(header(await writer.start()))


@pytest.fixture
async def bounded(tmp_path: Path, socket_folder: Path) -> AsyncIterator[Writer]:
    """A gateway of a service in which a subject may hold 3 MiB."""
    async with (
        file_store(tmp_path / "store") as files,
        serving(files, socket_folder, unlinked_bytes_per_subject=LIMIT) as service,
        open_channel(service.target, service_tokens=service.keyring.service_tokens("gateway")) as channel,
    ):
        yield Writer(service, channel)


async def test_an_upload_may_take_all_the_room_that_there_is(bounded: Writer, tmp_path: Path) -> None:
    ticket = await bounded.start()
    assert await bounded.write(tmp_path / "store", ticket, bytes(LIMIT)) == LIMIT
    with refused("UPLOADS_EXCEEDED"):
        await bounded.write(tmp_path / "store", ticket, b"x")


async def test_of_an_upload_that_is_too_large_nothing_is_written_beyond_the_bound(
    bounded: Writer, tmp_path: Path
) -> None:
    ticket = await bounded.start()
    with refused("UPLOADS_EXCEEDED"):
        await bounded.write(tmp_path / "store", ticket, bytes(LIMIT + 1))
    # Exactly as over the stream: the chunks that fit.
    assert await bounded.status(ticket) == LIMIT
    with refused("UPLOADS_EXCEEDED"):
        await bounded.start()


async def test_one_that_says_that_it_is_too_large_writes_nothing(bounded: Writer, tmp_path: Path) -> None:
    ticket = await bounded.start()
    with refused("UPLOADS_EXCEEDED"):
        await bounded.call(header(ticket, size=LIMIT + 1))
    assert await bounded.status(ticket) == 0


async def test_what_was_allowed_and_not_written_counts_no_more_after_the_commit(
    bounded: Writer, tmp_path: Path
) -> None:
    first, second = await bounded.start(), await bounded.start()
    assert await bounded.write(tmp_path / "store", first, bytes(MIB)) == MIB
    assert await bounded.write(tmp_path / "store", second, bytes(2 * MIB)) == 2 * MIB
    with refused("UPLOADS_EXCEEDED"):
        await bounded.write(tmp_path / "store", first, b"x")


async def test_the_same_is_refused_over_the_stream_and_over_the_file(bounded: Writer, tmp_path: Path) -> None:
    ticket = await bounded.start()
    assert await bounded.write(tmp_path / "store", ticket, b"abc") == 3
    seen = []
    for send in (_by_file, _by_stream):
        errors = []
        for offset, size in ((2, None), (7, None), (3, LIMIT), (2, LIMIT)):
            try:
                await send(bounded, ticket, offset, size)
            except DomainError as error:
                errors.append((error.reason, error.message, dict(error.metadata)))
        seen.append(errors)
    assert len(seen[0]) == 4
    assert seen[0] == seen[1]


async def _by_file(writer: Writer, ticket: str, offset: int, size: int | None) -> None:
    await writer.call(header(ticket, offset=offset, size=size))


async def _by_stream(writer: Writer, ticket: str, offset: int, size: int | None) -> None:
    first = WriteUploadRequest.Header(ticket=ticket, offset=offset, size_bytes=size)
    await writer.stub.WriteUpload(iter([WriteUploadRequest(header=first)]), metadata=writer.metadata)


async def test_a_writer_that_goes_away_leaves_the_upload_free(writer: Writer, tmp_path: Path) -> None:
    ticket = await writer.start()
    call = writer.stub.WriteUploadFile(metadata=writer.metadata)
    await call.write(header(ticket))
    first = await call.read()
    assert first is not grpc.aio.EOF
    call.cancel()
    assert await writer.write(tmp_path / "store", ticket, b"later") == 5

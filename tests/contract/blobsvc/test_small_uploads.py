"""AppendUpload: few bytes in one message, and the end of an upload by the same call. The same on every store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from blobsvc.domain.model import BlobKey, UploadId
from blobsvc.domain.ports import Store
from blobsvc.store.memory import MemoryStore
from roadstead.blob.v1.upload_service_pb2 import (
    AppendUploadRequest,
    AppendUploadResponse,
    FinishUploadRequest,
    GetUploadStatusRequest,
    StartUploadRequest,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.oci.digest import Digest
from svckit.rpc import RpcChannel, open_channel
from svckit.tokens import Receipt, UploadTicket
from tests.contract.blobsvc.conftest import file_store, serving
from tests.contract.blobsvc.steps import refused
from tests.harness.keyring import Keyring, bearer

REPOSITORY = "library/app"
LIMIT = 2 * 1024 * 1024


class Pusher:
    """A caller with one upload."""

    def __init__(self, channel: RpcChannel, keyring: Keyring, store: Store) -> None:
        self.store = store
        self.ticket = ""
        self._stub = UploadServiceStub(channel)
        self._keyring = keyring
        self._metadata = bearer(keyring.registry_token((REPOSITORY, "push", 1)))

    async def start(self) -> None:
        answer = await self._stub.StartUpload(StartUploadRequest(repository=REPOSITORY), metadata=self._metadata)
        self.ticket = answer.upload.ticket

    @property
    def upload_id(self) -> UploadId:
        return UploadId(self._keyring.verifier().verify(self.ticket, UploadTicket).upload_id)

    async def append(
        self, data: bytes, *, offset: int | None = None, digest: str = "", size: int | None = None
    ) -> AppendUploadResponse:
        request = AppendUploadRequest(
            ticket=self.ticket, data=data, offset=offset, digest=digest, expected_size_bytes=size
        )
        return await self._stub.AppendUpload(request, metadata=self._metadata)

    async def status(self) -> int:
        request = GetUploadStatusRequest(ticket=self.ticket)
        return (await self._stub.GetUploadStatus(request, metadata=self._metadata)).committed_size_bytes

    async def finish(self, digest: str) -> Receipt:
        request = FinishUploadRequest(ticket=self.ticket, digest=digest)
        return self.read((await self._stub.FinishUpload(request, metadata=self._metadata)).receipt)

    def read(self, receipt: str) -> Receipt:
        return self._keyring.verifier().verify(receipt, Receipt)

    async def content(self, receipt: Receipt) -> bytes:
        async with self.store.blobs.open(BlobKey.of(receipt.digest, receipt.generation)) as opened:
            return b"".join([chunk async for chunk in opened.chunks])


@asynccontextmanager
async def any_store(kind: str, folder: Path) -> AsyncIterator[Store]:
    if kind == "memory":
        yield MemoryStore()
        return
    async with file_store(folder) as files:
        yield files


@pytest.fixture(params=["filesystem", "memory"])
async def pusher(request: pytest.FixtureRequest, tmp_path: Path, socket_folder: Path) -> AsyncIterator[Pusher]:
    async with (
        any_store(request.param, tmp_path / "store") as store,
        serving(store, socket_folder, unlinked_bytes_per_subject=LIMIT) as service,
        open_channel(service.target) as channel,
    ):
        pusher = Pusher(channel, service.keyring, store)
        await pusher.start()
        yield pusher


def digest_of(content: bytes) -> str:
    return str(Digest.of(content))


async def test_messages_are_appended_one_after_the_other(pusher: Pusher) -> None:
    assert (await pusher.append(b"first ")).committed_size_bytes == 6
    answer = await pusher.append(b"second", offset=6)
    assert (answer.committed_size_bytes, answer.receipt) == (12, "")
    assert await pusher.status() == 12
    receipt = await pusher.finish(digest_of(b"first second"))
    assert await pusher.content(receipt) == b"first second"


async def test_an_empty_message_appends_nothing(pusher: Pusher) -> None:
    assert (await pusher.append(b"")).committed_size_bytes == 0
    answer = await pusher.append(b"", digest=digest_of(b""))
    assert pusher.read(answer.receipt).size == 0


async def test_a_digest_finishes_the_upload_and_a_repeated_finish_gives_the_same_generation(pusher: Pusher) -> None:
    await pusher.append(b"first ")
    digest = digest_of(b"first second")
    answer = await pusher.append(b"second", offset=6, digest=digest, size=12)
    receipt = pusher.read(answer.receipt)
    assert (answer.committed_size_bytes, receipt.digest, receipt.size) == (12, digest, 12)
    assert await pusher.content(receipt) == b"first second"
    assert (await pusher.finish(digest)).generation == receipt.generation
    # The bytes do not come twice.
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await pusher.append(b"second", digest=digest)


@pytest.mark.parametrize("digest", ["", digest_of(b"onetwo")])
async def test_a_wrong_offset_is_refused_with_the_size_and_nothing_is_appended(pusher: Pusher, digest: str) -> None:
    await pusher.append(b"one")
    with refused("RANGE_INVALID") as refusal:
        await pusher.append(b"two", offset=2, digest=digest)
    assert refusal.metadata == {"committed_size": "3"}
    assert await pusher.status() == 3


async def test_a_wrong_digest_ends_the_session(pusher: Pusher) -> None:
    with refused("DIGEST_INVALID"):
        await pusher.append(b"bytes", digest=digest_of(b"others"))
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await pusher.status()


async def test_a_wrong_size_is_refused_and_the_session_goes_on_with_the_bytes(pusher: Pusher) -> None:
    with refused("SIZE_INVALID") as refusal:
        await pusher.append(b"bytes", digest=digest_of(b"bytes"), size=4)
    assert refusal.metadata == {"committed_size": "5"}
    assert await pusher.content(await pusher.finish(digest_of(b"bytes"))) == b"bytes"


async def test_a_digest_that_is_none_appends_nothing(pusher: Pusher) -> None:
    with refused("DIGEST_INVALID"):
        await pusher.append(b"bytes", digest="sha256:1")
    assert await pusher.status() == 0


async def test_nothing_is_appended_while_somebody_writes(pusher: Pusher) -> None:
    async with pusher.store.uploads.open(pusher.upload_id):
        with refused("UPLOAD_CONFLICT"):
            await pusher.append(b"bytes")
    assert (await pusher.append(b"bytes")).committed_size_bytes == 5


async def test_the_bytes_count_among_the_unfinished_ones(pusher: Pusher) -> None:
    part = bytes(1024 * 1024)
    await pusher.append(part)
    await pusher.append(part)
    with refused("UPLOADS_EXCEEDED"):
        await pusher.append(b"x")
    assert await pusher.status() == LIMIT


async def test_a_large_message_is_refused(pusher: Pusher) -> None:
    with refused("BAD_REQUEST"):
        await pusher.append(bytes(1024 * 1024 + 1))
    assert await pusher.status() == 0

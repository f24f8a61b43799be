"""What the tests of the suite do over and over."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import pytest

from blobsvc.domain.model import BlobKey, StoredBlob, UploadId, UploadOwner
from blobsvc.domain.ports import BlobAdmin, BlobReader, UploadWriter
from svckit.errors import Conflict, DomainError
from svckit.oci.digest import SHA256, Digest
from tests.harness.waiting import wait_until_async

Result = TypeVar("Result")

OWNER = UploadOwner(repository="library/app", project_id=1, subject="user:7")


async def started(uploads: UploadWriter, algorithm: str = SHA256) -> UploadId:
    return (await uploads.start(OWNER, algorithm)).id


async def append(uploads: UploadWriter, upload_id: UploadId, *chunks: bytes, offset: int | None = None) -> int:
    async with uploads.open(upload_id, offset) as appender:
        for chunk in chunks:
            await appender.append(chunk)
        return await appender.commit()


async def append_at_once(uploads: UploadWriter, upload_id: UploadId, *chunks: bytes, offset: int | None = None) -> int:
    """The same by one call, for few bytes."""
    return await uploads.append(upload_id, b"".join(chunks), offset)


class Append(Protocol):
    """`append` or `append_at_once`."""

    async def __call__(
        self, uploads: UploadWriter, upload_id: UploadId, *chunks: bytes, offset: int | None = None
    ) -> int: ...


both_ways = pytest.mark.parametrize("write", [append, append_at_once])
"""For tests of what appending to an upload does, however many bytes it is."""


async def push(uploads: UploadWriter, data: bytes, algorithm: str = SHA256) -> StoredBlob:
    upload_id = await started(uploads, algorithm)
    if data:
        await append(uploads, upload_id, data)
    return await uploads.finish(upload_id, Digest.of(data, algorithm))


async def read(blobs: BlobReader, key: BlobKey, offset: int = 0, limit: int = 0) -> bytes:
    async with blobs.open(key, offset, limit) as opened:
        return b"".join([chunk async for chunk in opened.chunks])


async def keys(admin: BlobAdmin) -> list[BlobKey]:
    return [blob.key for blob in (await admin.list()).blobs]


async def until_free(step: Callable[[], Awaitable[Result]]) -> Result:
    """A step, repeated while a writer that has just gone away is still holding the upload."""

    async def attempt() -> Result | Conflict:
        try:
            return await step()
        except Conflict as conflict:
            return conflict

    done = await wait_until_async(
        attempt, "the upload to be free", wanted=lambda outcome: not isinstance(outcome, Conflict)
    )
    return cast("Result", done)


async def until_stored(uploads: UploadWriter, upload_id: UploadId, size: int) -> None:
    """Until what was appended has arrived: over gRPC it may still be on its way."""
    await wait_until_async(
        lambda: uploads.status(upload_id), "what was appended to arrive", wanted=lambda stored: stored == size
    )


@dataclass
class Refusal:
    """What was refused, once the block has ended."""

    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def refused(*reasons: str) -> Iterator[Refusal]:
    """Expects a DomainError with one of these reasons."""
    refusal = Refusal()
    with pytest.raises(DomainError) as caught:
        yield refusal
    assert caught.value.reason in reasons, caught.value
    refusal.message = caught.value.message
    refusal.metadata = caught.value.metadata

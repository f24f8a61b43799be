"""Reads configs and layers from blobsvc, looks at stored bytes, and deletes them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from metasvc.domain.model import BlobKey
from metasvc.domain.ports import Capacity, DamagedConfigError, StatedSizes, UnlinkedPage
from roadstead.blob.v1.blob_pb2 import BlobGeneration
from roadstead.blob.v1.blob_service_pb2 import (
    DeleteBlobRequest,
    GetCapacityRequest,
    ListUnlinkedRequest,
    ReadBlobRequest,
    ReadBlobResponse,
    SettleGenerationsRequest,
    StatBlobsRequest,
)
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from svckit.access.call import current_call
from svckit.convert import from_time
from svckit.errors import DomainError, Unavailable
from svckit.places import Places, Shares
from svckit.tokens import Finding, Grant

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    import grpc.aio

    from metasvc.domain.model import ServedBlob
    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from svckit.places import Refusal
    from svckit.tokens.signer import TokenSigner
    from svckit.tokens.verifier import TokenVerifier

# A push waits for this read and counts as a call in flight meanwhile, so it must be short. It is longer than a restart
# of blobsvc.
LONGEST_SECONDS = 3.0
# Somebody waits for an addition, who may ask again.
LONGEST_LAYER_SECONDS = 10.0
# Archives are expanded while they are read. Without this, many callers could take all of the CPU from pushes.
_LAYERS_AT_ONCE = 4
# Who reads or waits has a place. One caller, one address, and all callers without credentials together have fewer
# places than are read at once. So none of them can keep the others waiting.
_LAYER_SHARES = Shares(total=64, per_subject=2, per_address=3, per_address_without_credentials=2, without_credentials=3)
# Nobody waits for these.
_LONGEST_DELETE_SECONDS = 30.0
# Generations in one request.
_AT_ONCE = 1000


class ConfigBlobs:
    """See `domain.ports.ConfigReader`.

    It needs a channel with metasvc's own service token, because the grant is made for metasvc.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        signer: TokenSigner,
        verifier: TokenVerifier,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        """Takes a channel to blobsvc, what signs grants and verifies findings, and the longest time of a read."""
        self._blobs: BlobServiceAsyncStub = BlobServiceStub(channel)
        self._signer = signer
        self._verifier = verifier
        self._longest_seconds = longest_seconds

    async def read(self, blob: ServedBlob, *, project_id: int, repository: str) -> bytes:
        """See the port."""
        try:
            answers = _read(self._blobs, self._signer, blob, project_id, repository, self._longest_seconds)
            content = b"".join([answer.data async for answer in answers])
        except DomainError as error:
            # The error is about metasvc's own call and not about the push. A client that got it would, for example,
            # take a refused token for its own.
            raise _damage(error, self._verifier) or _unreadable() from error
        if len(content) != blob.size:
            raise _unreadable()
        return content


class LayerBlobs:
    """See `domain.ports.LayerReader`. It needs a channel with metasvc's own service token, as `ConfigBlobs`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        signer: TokenSigner,
        verifier: TokenVerifier,
        on_refusal: Callable[[str, Refusal], None] | None = None,
        longest_seconds: float = LONGEST_LAYER_SECONDS,
    ) -> None:
        """Takes what it reads with.

        Args:
            channel: a channel to blobsvc.
            signer: signs grants.
            verifier: verifies findings.
            on_refusal: counts refusals.
            longest_seconds: the longest time of a read, with the wait for it.
        """
        self._blobs: BlobServiceAsyncStub = BlobServiceStub(channel)
        self._signer = signer
        self._verifier = verifier
        self._longest_seconds = longest_seconds
        self._places = Places("layers", _LAYER_SHARES, on_refusal)
        self._reading = asyncio.Semaphore(_LAYERS_AT_ONCE)

    @asynccontextmanager
    async def open(self, blob: ServedBlob, *, project_id: int, repository: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port."""
        call = current_call()
        place = self._places.place(call.principal.known_subject, call.client_address)
        try:
            async with asyncio.timeout(self._longest_seconds), self._reading:
                answers = _read(self._blobs, self._signer, blob, project_id, repository, self._longest_seconds)
                try:
                    yield self._pieces(answers)
                finally:
                    # The caller may have what it wants.
                    answers.cancel()
        except TimeoutError:
            raise _slow() from None
        finally:
            place.leave()

    async def _pieces(self, answers: AsyncIterable[ReadBlobResponse]) -> AsyncIterator[bytes]:
        try:
            async for answer in answers:
                yield answer.data
        except DomainError as error:
            raise _damage(error, self._verifier) or _slow() from error


def _read(
    blobs: BlobServiceAsyncStub,
    signer: TokenSigner,
    blob: ServedBlob,
    project_id: int,
    repository: str,
    longest_seconds: float,
) -> grpc.aio.UnaryStreamCall[ReadBlobRequest, ReadBlobResponse]:
    """Reads a blob by a grant for metasvc itself."""
    grant = signer.sign(
        Grant(
            subject=f"service:{signer.service}",
            repository=repository,
            project_id=project_id,
            digest=blob.digest,
            generation=blob.generation,
            size=blob.size,
        )
    )
    return blobs.ReadBlob(ReadBlobRequest(grant=grant.text, limit=blob.size), timeout=longest_seconds)


def _damage(error: DomainError, verifier: TokenVerifier) -> DamagedConfigError | None:
    """What blobsvc has found damaged; None for another error."""
    if error.reason != "BLOB_DAMAGED":
        return None
    finding = verifier.verify(error.metadata.get("finding", ""), Finding)
    return DamagedConfigError(finding.damage, finding.store_id)


class StoredBytes:
    """See `domain.ports.BlobBytes`. It needs a channel with metasvc's own service token."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to blobsvc."""
        self._blobs: BlobServiceAsyncStub = BlobServiceStub(channel)

    async def sizes(self, keys: Sequence[BlobKey]) -> StatedSizes:
        """See the port."""
        found: list[int | None] = []
        store_id = ""
        with _unavailable():
            for start in range(0, len(keys), _AT_ONCE):
                request = StatBlobsRequest(blobs=_generations(keys[start : start + _AT_ONCE]))
                answer = await self._blobs.StatBlobs(request, timeout=LONGEST_SECONDS)
                found += [stat.size_bytes if stat.exists else None for stat in answer.stats]
                store_id = answer.store_id
        return StatedSizes(store_id, found)

    async def delete(self, key: BlobKey) -> None:
        """See the port."""
        with _unavailable():
            request = DeleteBlobRequest(digest=key.digest, generation=key.generation)
            await self._blobs.DeleteBlob(request, timeout=_LONGEST_DELETE_SECONDS)

    async def capacity(self) -> Capacity:
        """See the port."""
        with _unavailable():
            answer = await self._blobs.GetCapacity(GetCapacityRequest(), timeout=LONGEST_SECONDS)
        return Capacity(answer.total_bytes, answer.free_bytes)

    async def settle(self, keys: Sequence[BlobKey]) -> None:
        """See the port."""
        with _unavailable():
            for start in range(0, len(keys), _AT_ONCE):
                request = SettleGenerationsRequest(generations=_generations(keys[start : start + _AT_ONCE]))
                await self._blobs.SettleGenerations(request, timeout=_LONGEST_DELETE_SECONDS)

    async def unlinked(self, finished_before: datetime, page_token: str) -> UnlinkedPage:
        """See the port."""
        with _unavailable():
            request = ListUnlinkedRequest(finished_before=from_time(finished_before), page_token=page_token)
            answer = await self._blobs.ListUnlinked(request, timeout=_LONGEST_DELETE_SECONDS)
        keys = [BlobKey(unlinked.blob.digest, unlinked.blob.generation) for unlinked in answer.blobs]
        return UnlinkedPage(keys, answer.next_page_token)


def _generations(keys: Iterable[BlobKey]) -> list[BlobGeneration]:
    return [BlobGeneration(digest=key.digest, generation=key.generation) for key in keys]


@contextmanager
def _unavailable() -> Iterator[None]:
    # As in `ConfigBlobs.read`: the error is about metasvc's own call.
    try:
        yield
    except DomainError as error:
        raise Unavailable(message="the stored bytes cannot be looked at now; try again") from error


def _slow() -> Unavailable:
    return Unavailable(message="the stored bytes cannot be read now; try again")


def _unreadable() -> Unavailable:
    return Unavailable(message="the config cannot be read now; push the manifest again")

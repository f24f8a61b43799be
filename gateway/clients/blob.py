"""Blobs: metasvc knows which repository has which blob, blobsvc has the bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import grpc.aio

from gateway.clients.blob_folder import BlobFolder
from gateway.wire.file_body import FileBody
from gateway.wire.measure import HttpMetrics
from roadstead.blob.v1 import blob_service_pb2, placement_pb2
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.meta.v1 import blob_link_service_pb2 as pb
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from svckit.access.call import current_call, serving
from svckit.errors import DomainError, error_for
from svckit.rpc import shielded

if TYPE_CHECKING:
    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceAsyncStub


class BlobClient:
    """Reads, links and unlinks blobs. `gateway.clients.reads` finds them."""

    def __init__(
        self, metasvc: grpc.aio.Channel, blobsvc: grpc.aio.Channel, folder: BlobFolder | None, metrics: HttpMetrics
    ) -> None:
        """Takes the channels to both services.

        Args:
            metasvc: the channel to metasvc.
            blobsvc: the channel to blobsvc.
            folder: the folder of blobsvc; None if this process cannot read it.
            metrics: counts bytes.
        """
        self._links: BlobLinkServiceAsyncStub = BlobLinkServiceStub(metasvc)
        self._bytes: BlobServiceAsyncStub = BlobServiceStub(blobsvc)
        self._folder = folder
        self._sent_bytes = metrics.blob_sent_bytes.labels("stream")

    async def check(self, grant: str) -> None:
        """Checks that the file of a blob is there and has the right size.

        Raises:
            DomainError: GRANT_INVALID, UNAVAILABLE; BLOB_DAMAGED, and metasvc has been told.
        """
        async with self._reporting():
            await self._bytes.StatBlob(blob_service_pb2.StatBlobRequest(grant=grant))

    async def file_body(self, grant: str, parts: Sequence[bytes | range]) -> FileBody | None:
        """Opens the file of a blob, as a body of an answer; None if it cannot be read as a file. Then `read` reads it.

        Args:
            grant: of `resolve`.
            parts: bytes that are sent as they are, and ranges of positions in the blob.

        Raises:
            DomainError: GRANT_INVALID, UNAVAILABLE; BLOB_DAMAGED, and metasvc has been told.
        """
        if self._folder is None:
            return None
        request = blob_service_pb2.LocateBlobRequest(grant=grant, kinds=[placement_pb2.PLACEMENT_KIND_FILE])
        async with self._reporting():
            placements = (await self._bytes.LocateBlob(request)).placements
        if not placements:
            return None
        return await self._folder.body(placements[0].file, parts, partial(self.check, grant))

    async def read(self, grant: str, offset: int, limit: int) -> AsyncGenerator[bytes, None]:
        """Reads `limit` bytes from `offset` on, about 1 MiB at once. The first are fetched before this returns.

        So a refusal is known while another status can still be answered. The iterator must be closed.

        Args:
            grant: of `Reads.blob`.
            offset: the first byte.
            limit: how many; more than 0.

        Raises:
            DomainError: GRANT_INVALID, UNAVAILABLE; BLOB_DAMAGED, and metasvc has been told. The iterator raises
                BLOB_DAMAGED instead of the last bytes of a whole blob that does not match its digest, and UNAVAILABLE
                where fewer bytes come.
        """
        pieces = self._pieces(grant, offset, limit)
        try:
            first = await anext(pieces)
        except BaseException:
            await pieces.aclose()
            raise
        return _joined(first, pieces)

    async def _pieces(self, grant: str, offset: int, limit: int) -> AsyncGenerator[bytes, None]:
        call = self._bytes.ReadBlob(blob_service_pb2.ReadBlobRequest(grant=grant, offset=offset, limit=limit))
        left = limit
        async with (
            self._reporting(),
            aclosing(cast("AsyncGenerator[blob_service_pb2.ReadBlobResponse, None]", aiter(call))) as answers,
        ):
            async for answer in answers:
                left -= len(answer.data)
                yield answer.data
                self._sent_bytes.inc(len(answer.data))
        if left != 0:
            raise error_for("UNAVAILABLE", "the blob ended early")

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        """Passes the finding of blobsvc on to metasvc, which then no longer serves the damaged blob."""
        try:
            yield
        except DomainError as error:
            finding = error.metadata.get("finding")
            if error.reason != "BLOB_DAMAGED" or finding is None:
                raise
            # A download may take longer than the deadline of its request.
            with serving(current_call().without_deadline()):
                await shielded(self._quarantine(finding))
            # Without the finding, which is of no use to HTTP clients.
            raise error_for("BLOB_DAMAGED") from error

    async def _quarantine(self, finding: str) -> None:
        await self._links.QuarantineBlob(pb.QuarantineBlobRequest(finding=finding))

    async def link(self, repository: str, receipt: str) -> str:
        """Links an uploaded blob to a repository, and returns its digest.

        Raises:
            DomainError: QUOTA_EXCEEDED, RECEIPT_INVALID, NOT_FOUND.
        """
        answer = await self._links.LinkBlob(pb.LinkBlobRequest(receipt=receipt, repository=repository))
        return answer.digest

    async def mount(self, repository: str, digest: str, from_repository: str) -> bool:
        """Links a blob of another repository. Returns whether that was possible.

        Args:
            repository: the repository to link to.
            digest: the digest of the blob.
            from_repository: the other repository; empty for any repository in the caller's token.

        Raises:
            DomainError: INSUFFICIENT_SCOPE.
        """
        request = pb.MountBlobRequest(repository=repository, digest=digest, from_repository=from_repository)
        return (await self._links.MountBlob(request)).mounted

    async def unlink(self, repository: str, digest: str) -> None:
        """Deletes a link.

        Raises:
            DomainError: BLOB_UNKNOWN, NAME_UNKNOWN, INSUFFICIENT_SCOPE; UNSUPPORTED if deletion is switched off.
        """
        await self._links.UnlinkBlob(pb.UnlinkBlobRequest(repository=repository, digest=digest))


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece

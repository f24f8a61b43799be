"""Client of blobsvc's uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio

from roadstead.blob.v1 import upload_service_pb2 as pb
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub

if TYPE_CHECKING:
    from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceAsyncStub


@dataclass(frozen=True, slots=True)
class StartedUpload:
    """An upload session.

    Attributes:
        id: the id of the upload.
        ticket: what its owner needs to continue it; `repr` hides it.
    """

    id: str
    ticket: str = field(repr=False)


class UploadClient:
    """Begins, writes, finishes and cancels uploads. All but the first need the ticket, too."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to blobsvc."""
        self._stub: UploadServiceAsyncStub = UploadServiceStub(channel)

    async def start(
        self, repository: str, digest_algorithm: str, expected_size_bytes: int | None = None
    ) -> StartedUpload:
        """Begins an upload.

        Args:
            repository: full name.
            digest_algorithm: "sha256" or "sha512"; empty for the default.
            expected_size_bytes: the size of the whole blob; None if the client did not give it.

        Raises:
            DomainError: INSUFFICIENT_SCOPE, UPLOADS_EXCEEDED, DIGEST_INVALID for another algorithm.
        """
        request = pb.StartUploadRequest(
            repository=repository, digest_algorithm=digest_algorithm, expected_size_bytes=expected_size_bytes
        )
        upload = (await self._stub.StartUpload(request)).upload
        return StartedUpload(upload.id, upload.ticket)

    async def write(
        self,
        ticket: str,
        repository: str,
        offset: int | None,
        chunks: AsyncIterator[bytes],
        size_bytes: int | None = None,
    ) -> int:
        """Appends bytes, and returns the committed size.

        If the source of the chunks fails, the bytes before are committed first; then its error is raised.

        Args:
            ticket: the ticket of the upload.
            repository: the repository; the ticket must be for it.
            offset: the offset of the bytes; None for the committed size.
            chunks: pieces of about 1 MiB, 4 MiB at most.
            size_bytes: the size of all chunks; None if the client did not give it.

        Raises:
            DomainError: RANGE_INVALID with `committed_size`, UPLOAD_CONFLICT, BLOB_UPLOAD_UNKNOWN, TICKET_INVALID,
                UPLOADS_EXCEEDED.
        """
        header = pb.WriteUploadRequest.Header(
            ticket=ticket, repository=repository, offset=offset, size_bytes=size_bytes
        )
        call = self._stub.WriteUpload()
        broken: Exception | None = None
        try:
            await call.write(pb.WriteUploadRequest(header=header))
            while True:
                try:
                    chunk = await anext(chunks, None)
                except Exception as error:
                    broken = error
                    break
                if chunk is None:
                    break
                await call.write(pb.WriteUploadRequest(data=chunk))
            await call.done_writing()
            committed = (await call).committed_size_bytes
        finally:
            if not call.done():
                call.cancel()
        if broken is None:
            return committed
        try:
            raise broken
        finally:
            # A cycle with this frame, which also refers to the last chunk.
            del broken

    async def status(self, ticket: str, repository: str) -> int:
        """The committed size.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN, TICKET_INVALID.
        """
        answer = await self._stub.GetUploadStatus(pb.GetUploadStatusRequest(ticket=ticket, repository=repository))
        return answer.committed_size_bytes

    async def finish(
        self, ticket: str, repository: str, digest: str, expected_size_bytes: int | None, timeout_seconds: float
    ) -> str:
        """Verifies and stores the bytes, and returns the receipt.

        Args:
            ticket: the ticket of the upload.
            repository: the repository; the ticket must be for it.
            digest: the digest of the whole blob.
            expected_size_bytes: the size of the whole blob; None if the client did not give it.
            timeout_seconds: how long it may take. After a restart of blobsvc, earlier bytes are read again.

        Raises:
            DomainError: DIGEST_INVALID, SIZE_INVALID, BLOB_UPLOAD_UNKNOWN, UPLOAD_CONFLICT, TICKET_INVALID.
        """
        request = pb.FinishUploadRequest(
            ticket=ticket, repository=repository, digest=digest, expected_size_bytes=expected_size_bytes
        )
        return (await self._stub.FinishUpload(request, timeout=timeout_seconds)).receipt

    async def cancel(self, ticket: str, repository: str) -> None:
        """Cancels an upload and deletes its bytes.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN, TICKET_INVALID.
        """
        await self._stub.CancelUpload(pb.CancelUploadRequest(ticket=ticket, repository=repository))

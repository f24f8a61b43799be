"""Client of blobsvc's uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio

from gateway.clients.blob_folder import BlobFolder
from gateway.clients.recent_configs import RecentConfigs
from gateway.clients.small_upload import SMALL_BYTES, SmallAppends, SmallBytes, unless_unsupported
from gateway.clients.upload_file import FileUpload, read_answer
from gateway.wire.body import Chunk, size_of
from gateway.wire.measure import HttpMetrics
from gateway.wire.upload_body import RestOfBody
from roadstead.blob.v1 import upload_service_pb2 as pb
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.errors import DomainError

if TYPE_CHECKING:
    from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceAsyncStub

Rest = Callable[[], AbstractAsyncContextManager[RestOfBody | None]]


@dataclass(frozen=True, slots=True)
class StartedUpload:
    """An upload session.

    Attributes:
        id: the id of the upload.
        ticket: what its owner needs to continue it; `repr` hides it.
    """

    id: str
    ticket: str = field(repr=False)


class _Source:
    """The chunks of a body. After an error of theirs, what came before is used first."""

    def __init__(self, chunks: AsyncIterator[Chunk]) -> None:
        self._chunks = chunks
        self._first: Chunk | None = None
        self._failure: Exception | None = None

    async def peek(self) -> Chunk:
        """The first chunk, which comes again; empty if there is none."""
        self._first = await self.next_chunk()
        return self._first or ()

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        """All chunks, as `next_chunk` gives them."""
        while (chunk := await self.next_chunk()) is not None:
            yield chunk

    def put_back(self, data: bytes) -> None:
        """Makes bytes come again, before the error of the chunks."""
        self._first = [data]

    async def next_chunk(self) -> Chunk | None:
        """The next chunk; None at the end, and after an error."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._failure is not None:
            return None
        try:
            return await anext(self._chunks, None)
        except Exception as error:
            self._failure = error
            return None

    def raise_failure(self) -> None:
        """Raises the error of the chunks, if there was one."""
        if self._failure is None:
            return
        failure, self._failure = self._failure, None
        try:
            raise failure
        finally:
            # A cycle with this frame.
            del failure


class _StreamUpload:
    """An upload that goes to blobsvc over gRPC."""

    def __init__(self, call: grpc.aio.StreamUnaryCall[pb.WriteUploadRequest, pb.WriteUploadResponse]) -> None:
        self._call = call

    async def append(self, chunk: Chunk) -> None:
        await self._call.write(pb.WriteUploadRequest(data=b"".join(chunk)))

    async def commit(self) -> int:
        await self._call.done_writing()
        return (await self._call).committed_size_bytes


class UploadClient:
    """Begins, writes, finishes and cancels uploads. All but the first need the ticket, too."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        folder: BlobFolder | None,
        metrics: HttpMetrics,
        configs: RecentConfigs,
        file_min_bytes: int,
    ) -> None:
        """Takes the channel to blobsvc.

        Args:
            channel: the channel to blobsvc.
            folder: the folder of blobsvc; None if this process cannot write it.
            metrics: counts bytes.
            configs: keeps small JSON blobs that are uploaded.
            file_min_bytes: smaller bodies go over gRPC, which is faster for them.
        """
        self._stub: UploadServiceAsyncStub = UploadServiceStub(channel)
        self._folder = folder
        self._received_bytes = metrics.blob_received_bytes
        self._configs = configs
        self._small = SmallAppends(self._stub, metrics, configs)
        self._file_min_bytes = file_min_bytes

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
        chunks: AsyncIterator[Chunk],
        size_bytes: int | None = None,
        rest: Rest | None = None,
    ) -> int:
        """Appends bytes, and returns the committed size.

        If the source of the chunks fails, the bytes before are committed first; then its error is raised.

        Args:
            ticket: the ticket of the upload.
            repository: the repository; the ticket must be for it.
            offset: the offset of the bytes; None for the committed size.
            chunks: about 1 MiB each, 4 MiB at most.
            size_bytes: the size of all chunks; None if the client did not give it.
            rest: between two chunks, holds what comes next, so that it can be moved into a file without coming here.

        Raises:
            DomainError: RANGE_INVALID with `committed_size`, UPLOAD_CONFLICT, BLOB_UPLOAD_UNKNOWN, TICKET_INVALID,
                UPLOADS_EXCEEDED.
        """
        source = _Source(chunks)
        if self._folder is not None:
            # Without a size, the first chunk shows whether there is much to come.
            known_bytes = size_of(await source.peek()) if size_bytes is None else size_bytes
            if known_bytes >= self._file_min_bytes:
                async with self._file_upload(self._folder, ticket, repository, offset, size_bytes) as file:
                    if file is not None:
                        self._configs.forget(ticket)
                        return await self._write_file(source, rest, file)
        if size_bytes is not None and size_bytes <= SMALL_BYTES:
            data = b"".join([piece async for chunk in source for piece in chunk])
            committed = await self._small.append(ticket, repository, SmallBytes(data, offset))
            if committed is not None:
                source.raise_failure()
                return committed
            source.put_back(data)
        self._configs.forget(ticket)
        async with self._stream_upload(ticket, repository, offset, size_bytes) as stream:
            counted = self._received_bytes.labels("stream")
            while (chunk := await source.next_chunk()) is not None:
                await stream.append(chunk)
                counted.inc(size_of(chunk))
                # It must not stay in memory while the next one is waited for.
                del chunk
            return await self._commit(source, stream)

    async def _write_file(self, source: _Source, rest: Rest | None, file: FileUpload) -> int:
        counted = self._received_bytes.labels("file")
        while (chunk := await source.next_chunk()) is not None:
            await file.append(*chunk)
            counted.inc(size_of(chunk))
            del chunk
            if rest is not None:
                async with rest() as held:
                    if held is not None:
                        await file.move(held, counted.inc)
        return await self._commit(source, file)

    async def _commit(self, source: _Source, upload: FileUpload | _StreamUpload) -> int:
        committed = await upload.commit()
        source.raise_failure()
        return committed

    @asynccontextmanager
    async def _stream_upload(
        self, ticket: str, repository: str, offset: int | None, size_bytes: int | None
    ) -> AsyncIterator[_StreamUpload]:
        header = pb.WriteUploadRequest.Header(
            ticket=ticket, repository=repository, offset=offset, size_bytes=size_bytes
        )
        call = self._stub.WriteUpload()
        try:
            await call.write(pb.WriteUploadRequest(header=header))
            yield _StreamUpload(call)
        finally:
            if not call.done():
                call.cancel()

    @asynccontextmanager
    async def _file_upload(
        self, folder: BlobFolder, ticket: str, repository: str, offset: int | None, size_bytes: int | None
    ) -> AsyncIterator[FileUpload | None]:
        """A locked staging file; None if the upload must be written in another way."""
        header = pb.WriteUploadFileRequest.Header(
            ticket=ticket, repository=repository, offset=offset, size_bytes=size_bytes
        )
        call = self._stub.WriteUploadFile()
        try:
            await call.write(pb.WriteUploadFileRequest(header=header))
            first = await unless_unsupported(read_answer(call))
            file = None if first is None else await folder.take(first.file)
            if first is None or file is None:
                yield None
                return
            upload = FileUpload(call, file, first.allowed_size_bytes, folder.writing)
            try:
                yield upload
            finally:
                await asyncio.shield(asyncio.ensure_future(upload.close()))
        finally:
            if not call.done():
                call.cancel()

    async def status(self, ticket: str, repository: str) -> int:
        """The committed size.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN, TICKET_INVALID.
        """
        answer = await self._stub.GetUploadStatus(pb.GetUploadStatusRequest(ticket=ticket, repository=repository))
        return answer.committed_size_bytes

    async def finish(
        self,
        ticket: str,
        repository: str,
        digest: str,
        expected_size_bytes: int | None,
        timeout_seconds: float,
        last: SmallBytes | None = None,
    ) -> str:
        """Verifies and stores the bytes, and returns the receipt.

        With the last bytes, they are appended first, by the same call. If the upload was finished already, because the
        answer to the first attempt was lost, they are not needed.

        Args:
            ticket: the ticket of the upload.
            repository: the repository; the ticket must be for it.
            digest: the digest of the whole blob.
            expected_size_bytes: the size of the whole blob; None if the client did not give it.
            timeout_seconds: how long it may take. After a restart of blobsvc, earlier bytes are read again.
            last: the last bytes; None if all bytes are there.

        Raises:
            DomainError: DIGEST_INVALID, SIZE_INVALID, BLOB_UPLOAD_UNKNOWN, UPLOAD_CONFLICT, TICKET_INVALID; with last
                bytes also RANGE_INVALID and UPLOADS_EXCEEDED.
        """
        closing = pb.FinishUploadRequest(
            ticket=ticket, repository=repository, digest=digest, expected_size_bytes=expected_size_bytes
        )
        receipt = None if last is None else await self._finish_with(closing, last, timeout_seconds)
        if receipt is None:
            receipt = (await self._stub.FinishUpload(closing, timeout=timeout_seconds)).receipt
        self._configs.finished(ticket, digest)
        return receipt

    async def _finish_with(
        self, closing: pb.FinishUploadRequest, last: SmallBytes, timeout_seconds: float
    ) -> str | None:
        """The receipt; None if the bytes are there, but the upload must still be finished."""
        ticket, repository = closing.ticket, closing.repository
        try:
            receipt = await self._small.finish(closing, last, timeout_seconds)
            if receipt is None:
                async with self._stream_upload(ticket, repository, last.offset, len(last.data)) as stream:
                    await stream.append([last.data])
                    await stream.commit()
        except DomainError as error:
            # It may be finished already, if the answer to the first attempt was lost.
            if error.reason != "BLOB_UPLOAD_UNKNOWN":
                raise
            return None
        return receipt

    async def cancel(self, ticket: str, repository: str) -> None:
        """Cancels an upload and deletes its bytes.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN, TICKET_INVALID.
        """
        await self._stub.CancelUpload(pb.CancelUploadRequest(ticket=ticket, repository=repository))

"""UploadService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import grpc.aio

from blobsvc import convert
from blobsvc.domain.model import UploadOwner
from blobsvc.domain.ports import BlobAdmin
from blobsvc.domain.upload import (
    UploadPorts,
    append_upload,
    cancel_upload,
    finish_upload,
    purge_uploads,
    start_upload,
    upload_status,
    write_upload,
)
from blobsvc.domain.upload_file import FileProgress, write_upload_file
from roadstead.blob.v1 import upload_service_pb2_grpc
from roadstead.blob.v1.upload_service_pb2 import (
    AppendUploadRequest,
    AppendUploadResponse,
    CancelUploadRequest,
    CancelUploadResponse,
    FinishUploadRequest,
    FinishUploadResponse,
    GetUploadStatusRequest,
    GetUploadStatusResponse,
    PurgeUploadsRequest,
    PurgeUploadsResponse,
    StartUploadRequest,
    StartUploadResponse,
    WriteUploadFileRequest,
    WriteUploadFileResponse,
    WriteUploadRequest,
    WriteUploadResponse,
)
from svckit.access.call import current_call
from svckit.convert import authorized_project, held, to_digest, to_repository_name
from svckit.errors import Invalid
from svckit.tokens import UploadTicket

_UPLOADS_ON_A_PAGE = 100

Context = grpc.aio.ServicerContext[Any, Any]


class UploadServicer(upload_service_pb2_grpc.UploadServiceServicer):
    """Serves uploads from any store."""

    def __init__(self, ports: UploadPorts, admin: BlobAdmin) -> None:
        """Takes the domain's ports, and the administration of the same store."""
        self._ports = ports
        self._admin = admin

    async def StartUpload(self, request: StartUploadRequest, context: Context) -> StartUploadResponse:
        algorithm = convert.to_algorithm(request.digest_algorithm)
        caller_service = current_call().caller_service
        started = await start_upload(
            self._ports,
            _owner(request),
            algorithm,
            expected_size_bytes=request.expected_size_bytes if request.HasField("expected_size_bytes") else None,
            caller_service=caller_service,
        )
        return convert.from_started(started)

    async def WriteUpload(
        self, request_iterator: AsyncIterator[WriteUploadRequest], context: Context
    ) -> WriteUploadResponse:
        messages = aiter(request_iterator)
        header = await _header(messages)
        current_call().present(header.ticket)
        offset = header.offset if header.HasField("offset") else None
        chunks = _chunks(messages)
        size = header.size_bytes if header.HasField("size_bytes") else None
        committed = await write_upload(self._ports, _ticket(), header.repository, offset, chunks, size_bytes=size)
        return WriteUploadResponse(committed_size_bytes=committed)

    async def AppendUpload(self, request: AppendUploadRequest, context: Context) -> AppendUploadResponse:
        digest = to_digest(request.digest) if request.digest else None
        offset = request.offset if request.HasField("offset") else None
        ticket = _ticket()
        committed = await append_upload(self._ports, ticket, request.repository, offset, request.data)
        if digest is None:
            return AppendUploadResponse(committed_size_bytes=committed)
        size = request.expected_size_bytes if request.HasField("expected_size_bytes") else None
        finished = await finish_upload(self._ports, ticket, request.repository, digest, size)
        return AppendUploadResponse(committed_size_bytes=committed, receipt=finished.receipt)

    async def WriteUploadFile(
        self, request_iterator: AsyncIterator[WriteUploadFileRequest], context: Context
    ) -> AsyncIterator[WriteUploadFileResponse]:
        messages = aiter(request_iterator)
        first = await anext(messages, None)
        if first is None or not first.HasField("header"):
            raise Invalid(message="the first message of WriteUploadFile must be the header")
        header = first.header
        current_call().present(header.ticket)
        allowances = write_upload_file(
            self._ports,
            _ticket(),
            header.repository,
            header.offset if header.HasField("offset") else None,
            _progress(messages),
            size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
            caller_service=current_call().caller_service,
        )
        async with aclosing(allowances):
            async for allowance in allowances:
                yield convert.from_file_allowance(allowance)

    async def GetUploadStatus(self, request: GetUploadStatusRequest, context: Context) -> GetUploadStatusResponse:
        committed = await upload_status(self._ports, _ticket(), request.repository)
        return GetUploadStatusResponse(committed_size_bytes=committed)

    async def FinishUpload(self, request: FinishUploadRequest, context: Context) -> FinishUploadResponse:
        digest = to_digest(request.digest)
        size = request.expected_size_bytes if request.HasField("expected_size_bytes") else None
        finished = await finish_upload(self._ports, _ticket(), request.repository, digest, size)
        return convert.from_finished(finished)

    async def CancelUpload(self, request: CancelUploadRequest, context: Context) -> CancelUploadResponse:
        await cancel_upload(self._ports, _ticket(), request.repository)
        return CancelUploadResponse()

    async def PurgeUploads(self, request: PurgeUploadsRequest, context: Context) -> PurgeUploadsResponse:
        page = await purge_uploads(
            self._ports,
            self._admin,
            after=convert.to_upload_position(request.page_token),
            limit=_UPLOADS_ON_A_PAGE,
            dry_run=request.dry_run,
            now=datetime.now(UTC),
        )
        return convert.from_expired_page(page)


async def _header(messages: AsyncIterator[WriteUploadRequest]) -> WriteUploadRequest.Header:
    first = await anext(messages, None)
    if first is None or not first.HasField("header"):
        raise Invalid(message="the first message of WriteUpload must be the header")
    return first.header


async def _progress(messages: AsyncIterator[WriteUploadFileRequest]) -> AsyncIterator[FileProgress]:
    while (message := await anext(messages, None)) is not None:
        if not message.HasField("progress"):
            raise Invalid(message="every message of WriteUploadFile after the header must be progress")
        yield convert.to_file_progress(message.progress)


async def _chunks(messages: AsyncIterator[WriteUploadRequest]) -> AsyncIterator[bytes]:
    while (message := await anext(messages, None)) is not None:
        if not message.HasField("data"):
            raise Invalid(message="every message of WriteUpload after the header must be data")
        data = message.data
        # Frees the message's copy of the bytes while the next step waits for the disk.
        del message
        yield data


def _owner(request: StartUploadRequest) -> UploadOwner:
    call = current_call()
    return UploadOwner(
        repository=str(to_repository_name(request.repository)),
        project_id=authorized_project(call).id,
        subject=call.principal.subject,
    )


def _ticket() -> UploadTicket:
    return held(current_call().ticket)

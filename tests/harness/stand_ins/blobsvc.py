"""The RPCs of blobsvc that the gateway calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from roadstead.blob.v1 import blob_service_pb2 as blob_pb
from roadstead.blob.v1 import placement_pb2
from roadstead.blob.v1 import upload_service_pb2 as upload_pb
from svckit.access.call import current_call
from svckit.errors import NotFound, error_for
from svckit.tokens import UploadTicket
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.authsvc import PROJECT_ID
from tests.harness.stand_ins.serving import StandIn

STORE_ID = "the-store"


@dataclass
class Blobsvc(StandIn):
    """Keeps bytes in dictionaries.

    Attributes:
        keyring: signs tickets and receipts.
        blobs: by digest.
        uploads: by upload id.
        damaged: digests of blobs that are damaged.
        located: the files that were offered.
        reads: the first byte of each read, and the one after its last.
        breaks_after: bytes of a read after which the stream fails. The damage is found then, too.
        waits_for: what a write waits for before it takes any bytes.
        finished: digest by upload id.
        folder: where blobs are put as files when somebody asks for them; None to offer the stream only.
        after_locating: done before a file is offered, to be read or to be written.
        staged: the files of uploads that were offered.
        allowed_ahead: how many bytes a writer of such a file is allowed ahead.
        most_bytes: how many bytes an upload may have that is written as a file.
        knows_append: whether it serves AppendUpload.
        appended: for each AppendUpload, the digest to finish with.
        streamed: how many times bytes came by WriteUpload.
        before_committing: done when its writer says that it has written everything.
    """

    keyring: Keyring
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    located: list[Path] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    breaks_after: int | None = None
    waits_for: asyncio.Event | None = None
    finished: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    after_locating: Callable[[Path], None] = lambda _: None
    staged: list[Path] = field(default_factory=list)
    allowed_ahead: int = 1024 * 1024
    most_bytes: int | None = None
    before_committing: Callable[[Path], None] = lambda _: None
    algorithms: list[str] = field(default_factory=list)
    offsets: list[int | None] = field(default_factory=list)
    knows_append: bool = True
    appended: list[str] = field(default_factory=list)
    streamed: int = 0

    async def StartUpload(
        self, request: upload_pb.StartUploadRequest, context: object
    ) -> upload_pb.StartUploadResponse:
        self.algorithms.append(request.digest_algorithm)
        upload_id = f"upload-{len(self.uploads) + len(self.finished) + 1}"
        self.uploads[upload_id] = bytearray()
        ticket = self.keyring.ticket(
            upload_id, request.repository, project_id=PROJECT_ID, subject=current_call().principal.subject
        )
        answer = upload_pb.StartUploadResponse()
        answer.upload.id = upload_id
        answer.upload.ticket = ticket
        return answer

    async def WriteUpload(
        self, requests: AsyncIterator[upload_pb.WriteUploadRequest], context: object
    ) -> upload_pb.WriteUploadResponse:
        header = (await anext(requests)).header
        ticket = current_call().present(header.ticket)
        assert isinstance(ticket, UploadTicket)
        self.streamed += 1
        upload = self._upload(ticket.upload_id)
        self.offsets.append(header.offset if header.HasField("offset") else None)
        if header.HasField("offset") and header.offset != len(upload):
            raise error_for("RANGE_INVALID", metadata={"committed_size": str(len(upload))})
        async for request in requests:
            if self.waits_for is not None:
                await self.waits_for.wait()
            upload += request.data
        return upload_pb.WriteUploadResponse(committed_size_bytes=len(upload))

    async def AppendUpload(
        self, request: upload_pb.AppendUploadRequest, context: object
    ) -> upload_pb.AppendUploadResponse:
        if not self.knows_append:
            raise error_for("UNSUPPORTED")
        ticket = current_call().ticket
        assert ticket is not None
        self.appended.append(request.digest)
        upload = self._upload(ticket.upload_id)
        self.offsets.append(request.offset if request.HasField("offset") else None)
        if request.HasField("offset") and request.offset != len(upload):
            raise error_for("RANGE_INVALID", metadata={"committed_size": str(len(upload))})
        upload += request.data
        size = len(upload)
        if not request.digest:
            return upload_pb.AppendUploadResponse(committed_size_bytes=size)
        expected = request.expected_size_bytes if request.HasField("expected_size_bytes") else None
        finish = upload_pb.FinishUploadRequest(
            ticket=request.ticket, digest=request.digest, expected_size_bytes=expected
        )
        receipt = (await self.FinishUpload(finish, context)).receipt
        return upload_pb.AppendUploadResponse(committed_size_bytes=size, receipt=receipt)

    async def WriteUploadFile(
        self, requests: AsyncIterator[upload_pb.WriteUploadFileRequest], context: object
    ) -> AsyncIterator[upload_pb.WriteUploadFileResponse]:
        header = (await anext(requests)).header
        ticket = current_call().present(header.ticket)
        assert isinstance(ticket, UploadTicket)
        upload = self._upload(ticket.upload_id)
        if self.folder is None:
            raise error_for("UNSUPPORTED")
        self.offsets.append(header.offset if header.HasField("offset") else None)
        if header.HasField("offset") and header.offset != len(upload):
            raise error_for("RANGE_INVALID", metadata={"committed_size": str(len(upload))})
        path = self.folder / "uploads" / ticket.upload_id
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(upload)
        allowed = len(upload) + self.allowed_ahead
        answer = upload_pb.WriteUploadFileResponse(allowed_size_bytes=allowed)
        answer.file.path, answer.file.store_id = f"uploads/{path.name}", STORE_ID
        answer.file.inode, answer.file.committed_size_bytes = path.stat().st_ino, len(upload)
        self.staged.append(path)
        self.after_locating(path)
        yield answer
        async for request in requests:
            if self.waits_for is not None:
                await self.waits_for.wait()
            progress = request.progress
            assert progress.size_bytes <= allowed
            allowed = max(progress.size_bytes + self.allowed_ahead, progress.wanted_size_bytes, allowed)
            if self.most_bytes is not None and progress.wanted_size_bytes > self.most_bytes:
                raise error_for("UPLOADS_EXCEEDED")
            yield upload_pb.WriteUploadFileResponse(allowed_size_bytes=min(allowed, self.most_bytes or allowed))
        self.before_committing(path)
        upload[:] = path.read_bytes()
        yield upload_pb.WriteUploadFileResponse(committed_size_bytes=len(upload))

    async def GetUploadStatus(
        self, request: upload_pb.GetUploadStatusRequest, context: object
    ) -> upload_pb.GetUploadStatusResponse:
        ticket = current_call().ticket
        assert ticket is not None
        return upload_pb.GetUploadStatusResponse(committed_size_bytes=len(self._upload(ticket.upload_id)))

    async def FinishUpload(
        self, request: upload_pb.FinishUploadRequest, context: object
    ) -> upload_pb.FinishUploadResponse:
        ticket = current_call().ticket
        assert ticket is not None
        if self.finished.get(ticket.upload_id) != request.digest:
            content = bytes(self._upload(ticket.upload_id))
            algorithm = request.digest.partition(":")[0]
            if f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" != request.digest:
                raise error_for("DIGEST_INVALID")
            if request.HasField("expected_size_bytes") and request.expected_size_bytes != len(content):
                raise error_for("SIZE_INVALID")
            del self.uploads[ticket.upload_id]
            self.finished[ticket.upload_id] = request.digest
            self.blobs[request.digest] = content
        size = len(self.blobs[request.digest])
        receipt = self.keyring.receipt(
            ticket.repository,
            request.digest,
            size=size,
            project_id=ticket.project_id,
            subject=ticket.subject,
            upload_time=ticket.upload_time,
        )
        return upload_pb.FinishUploadResponse(receipt=receipt, size_bytes=size)

    async def CancelUpload(
        self, request: upload_pb.CancelUploadRequest, context: object
    ) -> upload_pb.CancelUploadResponse:
        ticket = current_call().ticket
        assert ticket is not None
        self._upload(ticket.upload_id)
        del self.uploads[ticket.upload_id]
        return upload_pb.CancelUploadResponse()

    async def StatBlob(self, request: blob_pb.StatBlobRequest, context: object) -> blob_pb.StatBlobResponse:
        self._require_undamaged()
        return blob_pb.StatBlobResponse()

    async def LocateBlob(self, request: blob_pb.LocateBlobRequest, context: object) -> blob_pb.LocateBlobResponse:
        self._require_undamaged()
        grant = current_call().grant
        assert grant is not None
        content = self.blobs.get(grant.digest)
        if content is None:
            raise NotFound("BLOB_UNKNOWN")
        answer = blob_pb.LocateBlobResponse(size_bytes=len(content))
        if self.folder is not None and placement_pb2.PLACEMENT_KIND_FILE in request.kinds:
            path = self.folder / "blobs" / grant.digest
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            self.located.append(path)
            place = answer.placements.add().file
            place.path, place.store_id = f"blobs/{path.name}", STORE_ID
            place.inode, place.size_bytes = path.stat().st_ino, len(content)
            self.after_locating(path)
        return answer

    async def ReadBlob(
        self, request: blob_pb.ReadBlobRequest, context: object
    ) -> AsyncIterator[blob_pb.ReadBlobResponse]:
        if not self.breaks_after:
            self._require_undamaged()
        grant = current_call().grant
        assert grant is not None
        content = self.blobs.get(grant.digest)
        if content is None:
            raise NotFound("BLOB_UNKNOWN")
        end = request.offset + request.limit if request.limit else len(content)
        self.reads.append((request.offset, end))
        sent = 0
        for start in range(request.offset, end, 1024 * 1024):
            if self.breaks_after is not None and sent >= self.breaks_after:
                self._require_undamaged()
                raise RuntimeError("the disk is gone")
            piece = content[start : min(start + 1024 * 1024, end)]
            sent += len(piece)
            yield blob_pb.ReadBlobResponse(data=piece)

    def _require_undamaged(self) -> None:
        grant = current_call().grant
        assert grant is not None
        if grant.digest in self.damaged:
            finding = self.keyring.finding(grant.digest, grant.generation)
            raise error_for("BLOB_DAMAGED", metadata={"finding": finding})

    def _upload(self, upload_id: str) -> bytearray:
        upload = self.uploads.get(upload_id)
        if upload is None:
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        return upload

"""Appends few bytes to an upload in one message, and finishes it by the same call.

A stream of one message takes 0.7 ms more of blobsvc's CPU time.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from roadstead.blob.v1 import upload_service_pb2 as pb
from svckit.errors import DomainError

if TYPE_CHECKING:
    from gateway.clients.recent_configs import RecentConfigs
    from gateway.wire.measure import HttpMetrics
    from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceAsyncStub

Answer = TypeVar("Answer")

SMALL_BYTES = 64 * 1024
"""Bodies up to this size go to blobsvc in one message."""

# An append of so few bytes takes milliseconds. It waits so long for blobsvc to be restarted.
_APPEND_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class SmallBytes:
    """Bytes of an upload, `SMALL_BYTES` at most.

    Attributes:
        data: the bytes.
        offset: where they belong; None for the committed size.
    """

    data: bytes = field(repr=False)
    offset: int | None


async def unless_unsupported(answer: Awaitable[Answer]) -> Answer | None:
    """The answer; None if this blobsvc, or its store, cannot do it."""
    try:
        return await answer
    except DomainError as error:
        if error.reason != "UNSUPPORTED":
            raise
        return None


class SmallAppends:
    """Appends to uploads. What it gives is None if blobsvc is older than AppendUpload; then nothing is appended."""

    def __init__(self, stub: UploadServiceAsyncStub, metrics: HttpMetrics, configs: RecentConfigs) -> None:
        """Takes the stub of blobsvc's uploads, what counts bytes, and what keeps small JSON blobs."""
        self._stub = stub
        self._received_bytes = metrics.blob_received_bytes.labels("stream")
        self._configs = configs

    async def append(self, ticket: str, repository: str, small: SmallBytes) -> int | None:
        """Appends bytes, and returns the committed size.

        Raises:
            DomainError: as `UploadClient.write`.
        """
        request = pb.AppendUploadRequest(ticket=ticket, repository=repository, offset=small.offset, data=small.data)
        answer = await self._send(request, _APPEND_SECONDS)
        return None if answer is None else answer.committed_size_bytes

    async def finish(self, closing: pb.FinishUploadRequest, last: SmallBytes, timeout_seconds: float) -> str | None:
        """Appends the last bytes and finishes the upload, and returns the receipt.

        Raises:
            DomainError: as `UploadClient.finish`.
        """
        request = pb.AppendUploadRequest(
            ticket=closing.ticket,
            repository=closing.repository,
            offset=last.offset,
            data=last.data,
            digest=closing.digest,
            expected_size_bytes=closing.expected_size_bytes if closing.HasField("expected_size_bytes") else None,
        )
        answer = await self._send(request, timeout_seconds)
        return None if answer is None else answer.receipt

    async def _send(self, request: pb.AppendUploadRequest, timeout_seconds: float) -> pb.AppendUploadResponse | None:
        answer = await unless_unsupported(self._stub.AppendUpload(request, timeout=timeout_seconds))
        if answer is None:
            return None
        self._received_bytes.inc(len(request.data))
        if answer.committed_size_bytes == len(request.data):
            self._configs.written(request.ticket, request.data)
        else:
            self._configs.forget(request.ticket)
        return answer

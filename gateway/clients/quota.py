"""Client of metasvc's quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import quota_service_pb2 as pb
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceStub
from svckit.errors import DomainError

if TYPE_CHECKING:
    from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub

# The check only saves bytes that would be refused later. It must not hold up an upload while metasvc is away.
_TIMEOUT_SECONDS = 2.0


class QuotaClient:
    """Asks for quotas."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to metasvc."""
        self._stub: QuotaServiceAsyncStub = QuotaServiceStub(channel)

    async def check_upload_size(self, project_id: int, size_bytes: int) -> None:
        """Refuses an upload that is larger than the project's whole limit. Without an answer, it is let through.

        Raises:
            DomainError: QUOTA_EXCEEDED.
        """
        request = pb.CheckUploadSizeRequest(project_id=project_id, size_bytes=size_bytes)
        try:
            await self._stub.CheckUploadSize(request, timeout=_TIMEOUT_SECONDS)
        except DomainError as error:
            if error.reason == "QUOTA_EXCEEDED":
                raise

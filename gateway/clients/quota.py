"""Client of metasvc's quotas."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import quota_service_pb2 as pb
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceStub
from svckit.errors import DomainError
from svckit.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub

# The check only saves bytes that would be refused later. It must not hold up an upload while metasvc is away.
_TIMEOUT_SECONDS = 2.0
# For so long, an upload is let through that would have been allowed before. If the limit was lowered meanwhile, it is
# refused at the end instead.
_REMEMBERED_SECONDS = 5.0
_REMEMBERED_PROJECTS = 4096


class QuotaClient:
    """Asks for quotas.

    It remembers what was allowed in a project, so that not every step of an upload costs a query. It refuses nothing by
    what it remembers.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the channel to metasvc, and a clock that returns monotonic seconds."""
        self._stub: QuotaServiceAsyncStub = QuotaServiceStub(channel)
        # The largest upload, by the id of the project.
        self._allowed: Recent[int] = Recent(_REMEMBERED_SECONDS, clock, _REMEMBERED_PROJECTS)

    async def check_upload_size(self, project_id: int, size_bytes: int) -> None:
        """Refuses an upload that is larger than the project's whole limit. Without an answer, it is let through.

        Raises:
            DomainError: QUOTA_EXCEEDED.
        """
        allowed = self._allowed.find(project_id)
        if allowed is not None and size_bytes <= allowed:
            return
        request = pb.CheckUploadSizeRequest(project_id=project_id, size_bytes=size_bytes)
        expire_time = self._allowed.expire_time()
        try:
            answer = await self._stub.CheckUploadSize(request, timeout=_TIMEOUT_SECONDS)
        except DomainError as error:
            if error.reason == "QUOTA_EXCEEDED":
                raise
            return
        # An older metasvc does not say what else is allowed.
        self._allowed.keep(project_id, max(size_bytes, answer.allowed_size_bytes), expire_time)

"""Client of metasvc's quotas."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import quota_service_pb2 as pb
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceStub
from svckit.errors import DomainError

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
        self._clock = clock
        # By the id of the project: until when, and the largest upload.
        self._allowed: OrderedDict[int, tuple[float, int]] = OrderedDict()

    async def check_upload_size(self, project_id: int, size_bytes: int) -> None:
        """Refuses an upload that is larger than the project's whole limit. Without an answer, it is let through.

        Raises:
            DomainError: QUOTA_EXCEEDED.
        """
        expire_time, allowed = self._allowed.get(project_id, (0.0, 0))
        if size_bytes <= allowed and self._clock() < expire_time:
            return
        request = pb.CheckUploadSizeRequest(project_id=project_id, size_bytes=size_bytes)
        expire_time = self._clock() + _REMEMBERED_SECONDS
        try:
            answer = await self._stub.CheckUploadSize(request, timeout=_TIMEOUT_SECONDS)
        except DomainError as error:
            if error.reason == "QUOTA_EXCEEDED":
                raise
            return
        # An older metasvc does not say what else is allowed.
        self._remember(project_id, expire_time, max(size_bytes, answer.allowed_size_bytes))

    def _remember(self, project_id: int, expire_time: float, allowed_size_bytes: int) -> None:
        self._allowed[project_id] = expire_time, allowed_size_bytes
        self._allowed.move_to_end(project_id)
        while len(self._allowed) > _REMEMBERED_PROJECTS:
            self._allowed.popitem(last=False)

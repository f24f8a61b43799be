"""Client of metasvc's usage of projects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import project_service_pb2 as pb
from roadstead.meta.v1.project_service_pb2_grpc import ProjectServiceStub

if TYPE_CHECKING:
    from roadstead.meta.v1.project_service_pb2_grpc import ProjectServiceAsyncStub


class UsageClient:
    """Asks for the usage of projects."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to metasvc."""
        self._stub: ProjectServiceAsyncStub = ProjectServiceStub(channel)

    async def of_projects(self, project_ids: Iterable[int]) -> Mapping[int, pb.ProjectUsage]:
        """The usage by project id. metasvc does not know projects without pushes, so they are not in the answer.

        Raises:
            DomainError: INSUFFICIENT_SCOPE.
        """
        answer = await self._stub.ListProjectUsages(pb.ListProjectUsagesRequest(project_ids=project_ids))
        return {usage.project_id: usage for usage in answer.usages}

"""Looks up and deletes the projects of authsvc, and asks who may push into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.access.v1 import project_ref_pb2
from roadstead.auth.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    project_service_pb2,
    project_service_pb2_grpc,
)

if TYPE_CHECKING:
    import grpc.aio


class AuthDirectory:
    """See `domain.ports.ProjectDirectory`.

    It needs a channel with metasvc's own service token. The caller's token may have expired during a long upload.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to authsvc."""
        self._projects = project_service_pb2_grpc.ProjectServiceStub(channel)
        self._access = access_service_pb2_grpc.AccessServiceStub(channel)

    async def look_up(self, project_id: int) -> tuple[str, int]:
        """See the port."""
        request = project_service_pb2.LookUpProjectRequest(project=project_ref_pb2.ProjectRef(id=project_id))
        answer = await self._projects.LookUpProject(request)
        return answer.project.name, answer.project.initial_storage_limit_bytes

    async def delete(self, project_id: int) -> None:
        """See the port."""
        await self._projects.DeleteProject(project_service_pb2.DeleteProjectRequest(project_id=project_id))

    async def may_push(self, subject: str, project_id: int) -> bool:
        """See the port."""
        request = access_service_pb2.CheckSubjectAccessRequest(
            subject=subject, project=project_ref_pb2.ProjectRef(id=project_id), resource="repository", action="push"
        )
        return (await self._access.CheckSubjectAccess(request)).allowed

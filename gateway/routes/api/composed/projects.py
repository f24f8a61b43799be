"""Projects with their number of repositories: authsvc has the projects, metasvc counts the repositories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf.message import Message

from gateway.clients.usage import UsageClient
from roadstead.auth.v1 import project_pb2, project_service_pb2
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub

if TYPE_CHECKING:
    from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceAsyncStub


class ProjectCompositions:
    """Composes the answers of GetProject and ListProjects."""

    def __init__(self, authsvc: grpc.aio.Channel, metasvc: grpc.aio.Channel) -> None:
        """Takes the channels to both services."""
        self._projects: ProjectServiceAsyncStub = ProjectServiceStub(authsvc)
        self._usages = UsageClient(metasvc)

    def by_rpc(self) -> Mapping[str, Callable[[Any], Awaitable[Message]]]:
        """The functions that compose answers, by the path of the RPC."""
        return {
            "/roadstead.auth.v1.ProjectService/GetProject": self.get_project,
            "/roadstead.auth.v1.ProjectService/ListProjects": self.list_projects,
        }

    async def get_project(
        self, request: project_service_pb2.GetProjectRequest
    ) -> project_service_pb2.GetProjectResponse:
        """One project."""
        response = await self._projects.GetProject(request)
        await self._count([response.project])
        return response

    async def list_projects(
        self, request: project_service_pb2.ListProjectsRequest
    ) -> project_service_pb2.ListProjectsResponse:
        """A page of projects, counted in one call."""
        response = await self._projects.ListProjects(request)
        await self._count(response.projects)
        return response

    async def _count(self, projects: Sequence[project_pb2.Project]) -> None:
        if not projects:
            return
        usages = await self._usages.of_projects(project.id for project in projects)
        for project in projects:
            project.repository_count = usages[project.id].repository_count if project.id in usages else 0

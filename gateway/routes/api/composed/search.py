"""GET /search: projects and repositories whose names contain a text.

authsvc has the projects and metasvc has the repositories. Each shows what the caller may see.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import grpc.aio

from gateway.routes.api.composed.projects import ProjectCompositions
from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.contracts import PREFIX
from gateway.transcode.encoding import Encoders
from gateway.transcode.openapi import HandwrittenOperation, schema_of
from gateway.wire.answer import Answer
from gateway.wire.fields import read_pairs
from roadstead.auth.v1 import project_pb2, project_service_pb2
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from roadstead.meta.v1 import repository_pb2, repository_service_pb2
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceStub
from svckit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceAsyncStub
    from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub

_MOST_FOUND = 100
"""Of projects, and of repositories: the most on one page of the services. Lists with `q` show the rest."""
_MOST_PARAMETERS = 200
_MOST_CHARACTERS = 255
# No name has other characters, so nothing is found by them.
_PART_OF_A_NAME = re.compile(r"[a-z0-9._/-]*")
# authsvc is asked nevertheless, so that wrong credentials are refused whatever is searched.
_NOTHING = "project_id=0"
_NUMBER = {"type": "integer", "format": "int64"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "project": {"type": "array", "items": schema_of(project_pb2.Project.DESCRIPTOR)},
        "repository": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "project_id": _NUMBER,
                    "project_name": {"type": "string"},
                    "project_public": {"type": "boolean"},
                    "repository_name": {"type": "string"},
                    "pull_count": _NUMBER,
                    "artifact_count": _NUMBER,
                },
            },
        },
    },
}


class SearchRoute:
    """Answers with the projects and repositories that match."""

    def __init__(self, authsvc: grpc.aio.Channel, metasvc: grpc.aio.Channel) -> None:
        """Takes the channels to both services."""
        self._counted = ProjectCompositions(authsvc, metasvc)
        self._projects: ProjectServiceAsyncStub = ProjectServiceStub(authsvc)
        self._repositories: RepositoryServiceAsyncStub = RepositoryServiceStub(metasvc)
        self._write_project = Encoders().of_message(project_pb2.Project.DESCRIPTOR)

    @property
    def route(self) -> HandwrittenRoute:
        """The route."""
        operation = HandwrittenOperation(
            "GET",
            f"{PREFIX}/search",
            "search",
            "Find projects and repositories by a part of their names",
            _SCHEMA,
            {"q": {"type": "string", "maxLength": _MOST_CHARACTERS}},
        )
        return HandwrittenRoute(operation, self.answer)

    async def answer(self, exchange: ApiExchange) -> Answer:
        """Answers one request."""
        text = _wanted(exchange.request.query_string).lower()
        repositories: list[dict[str, object]] = []
        if _PART_OF_A_NAME.fullmatch(text) is None:
            projects = await self._find_projects(_NOTHING)
        else:
            query = f"name=~{text}" if text else ""
            projects, repositories = await asyncio.gather(self._find_projects(query), self._find_repositories(query))
        return Answer.of_json(
            {"project": [self._write_project(project) for project in projects], "repository": repositories}
        )

    async def _find_projects(self, query: str) -> Sequence[project_pb2.Project]:
        request = project_service_pb2.ListProjectsRequest(q=query, page_size=_MOST_FOUND)
        return (await self._counted.list_projects(request)).projects

    async def _find_repositories(self, query: str) -> list[dict[str, object]]:
        request = repository_service_pb2.ListAllRepositoriesRequest(q=query, sort="name", page_size=_MOST_FOUND)
        found = (await self._repositories.ListAllRepositories(request)).repositories
        projects = await self._projects_of(found)
        # A project may have been deleted in between.
        return [
            _found(repository, projects[repository.project_id])
            for repository in found
            if repository.project_id in projects
        ]

    async def _projects_of(
        self, repositories: Sequence[repository_pb2.Repository]
    ) -> Mapping[int, project_pb2.Project]:
        ids = sorted({repository.project_id for repository in repositories})
        if not ids:
            return {}
        request = project_service_pb2.ListProjectsRequest(
            q=f"project_id={{{' '.join(map(str, ids))}}}", page_size=_MOST_FOUND
        )
        return {project.id: project for project in (await self._projects.ListProjects(request)).projects}


def _found(repository: repository_pb2.Repository, project: project_pb2.Project) -> dict[str, Any]:
    return {
        "project_id": project.id,
        "project_name": project.name,
        "project_public": project.metadata.get("public") == "true",
        "repository_name": repository.name,
        "pull_count": repository.pull_count,
        "artifact_count": repository.artifact_count,
    }


def _wanted(query: bytes) -> str:
    """The text to look for. As elsewhere, the last value counts.

    Raises:
        DomainError: BAD_REQUEST; there is none, or it is longer than any name.
    """
    values = [value for name, value in read_pairs(query, most=_MOST_PARAMETERS) if name == "q"]
    if not values or len(values[-1]) > _MOST_CHARACTERS:
        raise Invalid.of_field("q", f"must be given, with {_MOST_CHARACTERS} characters at most")
    return values[-1]

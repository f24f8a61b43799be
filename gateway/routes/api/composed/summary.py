"""GET /projects/{project_name_or_id}/summary: the contents and the members of a project.

authsvc has members and permissions, metasvc has repositories and usage. As in Harbor, each part is shown only to
callers who may read it: the members to callers who may list them, the quota to callers who may read quotas.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import grpc.aio

from gateway.clients.usage import UsageClient
from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.binding import name_project
from gateway.transcode.contracts import PREFIX
from gateway.transcode.openapi import HandwrittenOperation
from gateway.wire.answer import Answer
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2, member_service_pb2, project_pb2, project_service_pb2
from roadstead.auth.v1.access_service_pb2_grpc import AccessServiceStub
from roadstead.auth.v1.member_service_pb2_grpc import MemberServiceStub
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from roadstead.meta.v1 import project_service_pb2 as usage_pb2
from svckit.configuration.reader import ConfigurationReader

if TYPE_CHECKING:
    from roadstead.auth.v1.access_service_pb2_grpc import AccessServiceAsyncStub
    from roadstead.auth.v1.member_service_pb2_grpc import MemberServiceAsyncStub
    from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceAsyncStub

_COUNTS_BY_ROLE = {
    1: "project_admin_count",
    4: "maintainer_count",
    2: "developer_count",
    3: "guest_count",
    5: "limited_guest_count",
}
"""Harbor's name for the number of members with a role, by the role's id."""
_MEMBERS_AT_ONCE = 100
_NUMBER = {"type": "integer", "format": "int64"}
_AMOUNT = {"type": "object", "properties": {"storage": _NUMBER}}
_SCHEMA = {
    "type": "object",
    "properties": {
        "repo_count": _NUMBER,
        **dict.fromkeys(_COUNTS_BY_ROLE.values(), _NUMBER),
        "quota": {"type": "object", "properties": {"hard": _AMOUNT, "used": _AMOUNT}},
    },
}


class ProjectSummaryRoute:
    """Answers with the summary of a project."""

    def __init__(
        self, authsvc: grpc.aio.Channel, metasvc: grpc.aio.Channel, configuration: ConfigurationReader
    ) -> None:
        """Takes the channels to both services, and the runtime configuration."""
        self._configuration = configuration
        self._projects: ProjectServiceAsyncStub = ProjectServiceStub(authsvc)
        self._members: MemberServiceAsyncStub = MemberServiceStub(authsvc)
        self._access: AccessServiceAsyncStub = AccessServiceStub(authsvc)
        self._usages = UsageClient(metasvc)

    @property
    def route(self) -> HandwrittenRoute:
        """The route."""
        path = f"{PREFIX}/projects/{{project_name_or_id}}/summary"
        operation = HandwrittenOperation("GET", path, "getProjectSummary", "Summarize a project", _SCHEMA)
        return HandwrittenRoute(operation, self.answer)

    async def answer(self, exchange: ApiExchange) -> Answer:
        """Answers one request. First it is checked whether the caller may see the project."""
        named = ProjectRef()
        name_project(named, exchange.variables[0], exchange.header)
        project = (await self._projects.GetProject(project_service_pb2.GetProjectRequest(project=named))).project
        found = ProjectRef(id=project.id)
        usage, sees_quota, sees_members = await asyncio.gather(
            self._usage(project), self._may(found, "quota", "read"), self._may(found, "member", "list")
        )
        summary: dict[str, object] = {"repo_count": usage.repository_count}
        if sees_members:
            roles = await self._count_roles(found)
            summary |= {name: roles[role_id] for role_id, name in _COUNTS_BY_ROLE.items()}
        # Without quotas, Harbor's summary has none.
        if sees_quota and self._configuration.values.quota_per_project_enable:
            summary["quota"] = {"hard": {"storage": usage.limit_bytes}, "used": {"storage": usage.used_bytes}}
        return Answer.of_json(summary)

    async def _usage(self, project: project_pb2.Project) -> usage_pb2.ProjectUsage:
        usages = await self._usages.of_projects([project.id])
        # Never pushed to: metasvc will take this limit when it is.
        unused = usage_pb2.ProjectUsage(project_id=project.id, limit_bytes=project.initial_storage_limit_bytes)
        return usages.get(project.id, unused)

    async def _may(self, project: ProjectRef, resource: str, action: str) -> bool:
        request = access_service_pb2.CheckAccessRequest(project=project, resource=resource, action=action)
        return (await self._access.CheckAccess(request)).allowed

    async def _count_roles(self, project: ProjectRef) -> Counter[int]:
        roles: Counter[int] = Counter()
        request = member_service_pb2.ListMembersRequest(project=project, page_size=_MEMBERS_AT_ONCE)
        while True:
            response = await self._members.ListMembers(request)
            roles.update(member.role_id for member in response.members)
            if not response.next_page_token:
                return roles
            request.page_token = response.next_page_token

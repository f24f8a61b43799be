"""Looks up and deletes the projects of authsvc, and asks who may push into them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from roadstead.access.v1 import project_ref_pb2
from roadstead.auth.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    project_service_pb2,
    project_service_pb2_grpc,
)
from svckit.access.remembered import LONGEST_SECONDS, RecentAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import grpc.aio

_REMEMBERED_ANSWERS = 8192
_PAGE_SIZE = 100


class AuthDirectory:
    """See `domain.ports.ProjectDirectory`.

    It needs a channel with metasvc's own service token. The caller's token may have expired during a long upload.

    That somebody may push is remembered for two seconds, as other answers of authsvc are (`svckit.access.remembered`).
    Without this, each blob of a push would cost a call.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes a channel to authsvc, and a clock that returns monotonic seconds."""
        self._projects = project_service_pb2_grpc.ProjectServiceStub(channel)
        self._access = access_service_pb2_grpc.AccessServiceStub(channel)
        self._may_push: RecentAnswers[bool] = RecentAnswers(LONGEST_SECONDS, clock, _REMEMBERED_ANSWERS)

    async def look_up(self, project_id: int) -> tuple[str, int]:
        """See the port."""
        request = project_service_pb2.LookUpProjectRequest(project=project_ref_pb2.ProjectRef(id=project_id))
        answer = await self._projects.LookUpProject(request)
        return answer.project.name, answer.project.initial_storage_limit_bytes

    async def ids(self) -> AsyncIterator[int]:
        """See the port."""
        request = project_service_pb2.ListProjectsRequest(page_size=_PAGE_SIZE)
        while True:
            answer = await self._projects.ListProjects(request)
            for project in answer.projects:
                yield project.id
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def delete(self, project_id: int) -> None:
        """See the port."""
        await self._projects.DeleteProject(project_service_pb2.DeleteProjectRequest(project_id=project_id))

    async def may_push(self, subject: str, project_id: int) -> bool:
        """See the port."""
        key = (subject, project_id)
        if self._may_push.find(key):
            return True
        expire_time = self._may_push.expire_time()
        request = access_service_pb2.CheckSubjectAccessRequest(
            subject=subject, project=project_ref_pb2.ProjectRef(id=project_id), resource="repository", action="push"
        )
        allowed = (await self._access.CheckSubjectAccess(request)).allowed
        if allowed:
            # Refusals are not remembered, so that a new right is of use at once.
            self._may_push.keep(key, allowed, expire_time)
        return allowed

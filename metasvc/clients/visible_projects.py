"""Asks authsvc for the projects whose repositories a caller may list."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from svckit.access.call import Call, current_call
from svckit.access.remembered import LONGEST_SECONDS, RecentAnswers

if TYPE_CHECKING:
    from collections.abc import Callable

    from svckit.access.decision import AccessibleProjects

_RIGHT = ("repository", "list")


class ProjectLister(Protocol):
    """Asks for the caller of a call (`svckit.access.remote.RemoteChecker`)."""

    async def accessible_projects(self, call: Call, resource: str, action: str) -> AccessibleProjects:
        """The projects in which the caller may do `action` on `resource`."""

    async def project_count(self, call: Call) -> int:
        """How many projects the caller may see."""


class RememberedVisibleProjects:
    """See `domain.lists.VisibleProjects`.

    A client that reads a list page by page needs the same answer for each page, and it may hold thousands of ids. So
    the answer is remembered for two seconds for the caller's token. A revoked right is gone within five seconds.
    """

    def __init__(
        self,
        lister: ProjectLister,
        ttl_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        *,
        remembered_answers: int = 256,
    ) -> None:
        """Starts without answers.

        Args:
            lister: asks authsvc.
            ttl_seconds: how long an answer is remembered; at most two seconds.
            clock: seconds, monotonic.
            remembered_answers: how many answers are remembered; beyond that, the oldest is forgotten.

        Raises:
            ValueError: `ttl_seconds` is more than two seconds.
        """
        self._lister = lister
        self._answers: RecentAnswers[AccessibleProjects] = RecentAnswers(ttl_seconds, clock, remembered_answers)

    async def listable(self) -> AccessibleProjects:
        """See the port."""
        return await self._of(current_call())

    async def public(self) -> AccessibleProjects:
        """See the port. These are the projects of a caller without a token."""
        call = current_call()
        nobody = Call(
            call.method,
            request_id=call.request_id,
            traceparent=call.traceparent,
            client_address=call.client_address,
            deadline=call.deadline,
        )
        return await self._of(nobody)

    async def project_count(self) -> int:
        """See the port."""
        return await self._lister.project_count(current_call())

    async def _of(self, call: Call) -> AccessibleProjects:
        key = (call.token, call.principal.subject)
        answer = self._answers.find(key)
        if answer is None:
            expire_time = self._answers.expire_time()
            answer = await self._lister.accessible_projects(call, *_RIGHT)
            self._answers.keep(key, answer, expire_time)
        return answer

"""The projects whose repositories a caller may list, as authsvc says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from svckit.access.call import current_call
from svckit.access.remembered import LONGEST_SECONDS, RecentAnswers

if TYPE_CHECKING:
    from collections.abc import Callable

    from svckit.access.call import Call
    from svckit.access.decision import AccessibleProjects

_RIGHT = ("repository", "list")


class ProjectLister(Protocol):
    """Answers for the caller of a call (`svckit.access.remote.RemoteChecker`)."""

    async def accessible_projects(self, call: Call, resource: str, action: str) -> AccessibleProjects:
        """The projects in which the caller may do `action` on `resource`."""


class RememberedVisibleProjects:
    """See `domain.lists.VisibleProjects`.

    Whoever walks through a list asks the same for each page of it, and the answer may hold thousands of ids: it is
    remembered for two seconds, by the caller's own token. A right that was taken away is gone within five.
    """

    def __init__(
        self,
        lister: ProjectLister,
        ttl_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        *,
        remembered_answers: int = 256,
    ) -> None:
        """Takes who is asked.

        Args:
            lister: is asked.
            ttl_seconds: how long an answer counts; two seconds at most.
            clock: monotonic, in seconds.
            remembered_answers: how many are kept; the oldest goes first.

        Raises:
            ValueError: if answers would be remembered longer than two seconds.
        """
        self._lister = lister
        self._answers: RecentAnswers[AccessibleProjects] = RecentAnswers(ttl_seconds, clock, remembered_answers)

    async def listable(self) -> AccessibleProjects:
        """See the port."""
        call = current_call()
        key = (call.token, call.principal.subject)
        answer = self._answers.find(key)
        if answer is None:
            expire_time = self._answers.expire_time()
            answer = await self._lister.accessible_projects(call, *_RIGHT)
            self._answers.keep(key, answer, expire_time)
        return answer

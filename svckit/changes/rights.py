"""Who may read a change log: services that the rule names, administrators, and for a project, who holds log:list."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from svckit.access.decision import ProjectKey
from svckit.errors import Denied, Unauthenticated

if TYPE_CHECKING:
    from svckit.access.call import Call
    from svckit.access.decision import ResolvedProject

RESOURCE, ACTION = "log", "list"
"""Harbor's right to read the logs of a project. The rules in the contracts name it, too."""

# Answers of authsvc are remembered for two seconds at most (`svckit.access.remembered`), so a lost right ends a stream
# within five.
_AGAIN_SECONDS = 2.0


class ReadRight:
    """The right of one call, judged again while its stream lives.

    Attributes:
        project: the project that it is for; None for the whole log.
        sees_origin: whether the caller is shown the addresses and tokens of those who made the changes.
    """

    def __init__(self, call: Call) -> None:
        """Takes the call. `open` judges it."""
        self._call = call
        self._judged_at = 0.0
        self.project: ResolvedProject | None = None
        self.sees_origin = False

    async def open(self, project: ProjectKey | None) -> None:
        """Judges the call.

        Args:
            project: the project that the request names; None for the whole log.

        Raises:
            DomainError: the refusal.
        """
        await self._judge(project)

    async def check(self) -> None:
        """Judges the call again, if that was not done just now.

        Raises:
            DomainError: the refusal. UNAUTHORIZED also if the caller's token has expired.
        """
        if time.monotonic() - self._judged_at < _AGAIN_SECONDS:
            return
        token = self._call.principal.identity or self._call.principal.acting
        if token is not None and time.time() >= token.expire_time + token.leeway_seconds:
            raise Unauthenticated(message="the token has expired; go on from the last answer with a new one")
        # By its id: another project of the same name is another project.
        await self._judge(None if self.project is None else ProjectKey(id=self.project.id))

    @property
    def seconds_left(self) -> float:
        """How long to wait at most before the next `check`."""
        return max(0.0, self._judged_at + _AGAIN_SECONDS - time.monotonic())

    async def _judge(self, project: ProjectKey | None) -> None:
        began = time.monotonic()
        if project is None:
            await self._call.check_system(RESOURCE, ACTION)
            self.sees_origin = True
        else:
            self.project = await self._call.check_project(project, RESOURCE, ACTION)
            self.sees_origin = self._call.acts_for_itself or await self._is_administrator()
        self._judged_at = began

    async def _is_administrator(self) -> bool:
        # False in a token is not worth a question; true may be five minutes old.
        if not self._call.principal.is_admin:
            return False
        try:
            await self._call.check_system(RESOURCE, ACTION)
        except Denied:
            return False
        return True

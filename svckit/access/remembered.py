"""Remembers authsvc's answers for two seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from svckit.access.call import serving
from svckit.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from svckit.access.call import AccessChecker, Call
    from svckit.access.decision import ProjectDecision, ProjectKey, ResolvedProject

T = TypeVar("T")

LONGEST_SECONDS = 2.0
"""The longest time to remember an answer. A removed role must lose its effect within five seconds."""


class RecentAnswers(Recent[T]):
    """Answers about rights. A question includes the token of its caller. None is not an answer."""

    def __init__(self, ttl_seconds: float, clock: Callable[[], float], max_answers: int) -> None:
        """Starts empty.

        Args:
            ttl_seconds: how long an answer is valid; two seconds at most.
            clock: returns monotonic seconds.
            max_answers: how many answers are kept; the oldest is dropped first.

        Raises:
            ValueError: `ttl_seconds` is more than two seconds.
        """
        if not 0 <= ttl_seconds <= LONGEST_SECONDS:
            raise ValueError(f"answers are remembered {LONGEST_SECONDS} seconds at most")
        super().__init__(ttl_seconds, clock, max_answers)


class RememberedChecker:
    """An `AccessChecker` that asks another one, at most once for each question in `ttl_seconds`.

    Without it, each page of a list over REST would cost one more call, and a hundred requests with the same token at
    the same time would cause a hundred calls. A question includes the caller's own token, so that an answer never
    reaches another caller. Failures are not remembered.
    """

    def __init__(
        self,
        inner: AccessChecker,
        ttl_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        *,
        remembered_answers: int = 8192,
    ) -> None:
        """Wraps a checker.

        Args:
            inner: the checker that is asked.
            ttl_seconds: how long an answer is valid; two seconds at most.
            clock: returns monotonic seconds.
            remembered_answers: how many answers are kept; the oldest is dropped first.

        Raises:
            ValueError: `ttl_seconds` is more than two seconds.
        """
        self._inner = inner
        self._answers: RecentAnswers[Any] = RecentAnswers(ttl_seconds, clock, remembered_answers)
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """The wrapped checker's answer, from now or from up to `ttl_seconds` ago."""
        # The key has no repository, because an identity has its permissions by project.
        key = ("project", call.token, call.principal.subject, project.id, project.name, resource, action)
        return await self._answer(
            call, key, lambda shared: self._inner.check_project(shared, project, resource, action)
        )

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """The wrapped checker's answer, from now or from up to `ttl_seconds` ago."""
        key = ("system", call.token, call.principal.subject, resource, action)
        return await self._answer(call, key, lambda shared: self._inner.check_system(shared, resource, action))

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """The wrapped checker's answer, from now or from up to `ttl_seconds` ago. It is the same for every caller."""
        key = ("resolve", project.id, project.name)
        return await self._answer(call, key, lambda shared: self._inner.resolve_project(shared, project))

    async def _answer(self, call: Call, key: Hashable, ask: Callable[[Call], Awaitable[T]]) -> T:
        remembered: T | None = self._answers.find(key)
        if remembered is not None:
            return remembered
        asking: asyncio.Task[T] | None = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(call, key, ask))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._forget_task(key, task))
        # Shielded, because other callers may wait for this answer when the first one is cancelled.
        return await asyncio.shield(asking)

    async def _ask(self, call: Call, key: Hashable, ask: Callable[[Call], Awaitable[T]]) -> T:
        expire_time = self._answers.expire_time()
        # The question has no deadline: the deadline of the first caller must not end it for the others.
        with serving(call.without_deadline()) as shared:
            answer = await ask(shared)
        self._answers.keep(key, answer, expire_time)
        return answer

    def _forget_task(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._asking[key]
        if not task.cancelled():
            # Marks the exception as seen: if all callers were cancelled, asyncio would log it as never retrieved.
            task.exception()

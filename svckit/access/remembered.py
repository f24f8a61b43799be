"""What authsvc has answered, remembered for two seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from svckit.access.call import serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from svckit.access.call import AccessChecker, Call
    from svckit.access.decision import ProjectDecision, ProjectKey, ResolvedProject

T = TypeVar("T")

LONGEST_SECONDS = 2.0
"""A role that is taken away must be gone within five seconds; what is remembered longer would break that."""


class RecentAnswers(Generic[T]):
    """Answers of the last seconds by their questions, which hold the token of whoever asked. None is no answer."""

    def __init__(self, ttl_seconds: float, clock: Callable[[], float], most: int) -> None:
        """Has none.

        Args:
            ttl_seconds: how long an answer counts; two seconds at most.
            clock: monotonic, in seconds.
            most: how many are kept; the oldest goes first.

        Raises:
            ValueError: if answers would be remembered longer than two seconds.
        """
        if not 0 <= ttl_seconds <= LONGEST_SECONDS:
            raise ValueError(f"answers are remembered {LONGEST_SECONDS} seconds at most")
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._most = most
        self._answers: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def find(self, key: Hashable) -> T | None:
        """The answer, if there is one that still counts."""
        expire_time, answer = self._answers.get(key, (0.0, None))
        return answer if self._clock() < expire_time else None

    def expire_time(self) -> float:
        """Of the answer to a question that is asked now: the answer may be as old as the question."""
        return self._clock() + self._ttl_seconds

    def keep(self, key: Hashable, answer: T, expire_time: float) -> None:
        """Remembers an answer until then."""
        self._answers[key] = (expire_time, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)


class RememberedChecker:
    """An `AccessChecker` that asks another one, once for each question in `ttl_seconds`.

    Without it, a list over REST would cost one more call for each of its pages, and a hundred callers with one token
    who ask the same at once would be a hundred calls. Questions about a caller are told apart by its own token, so that
    no answer reaches anybody else; failures are not remembered.
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
            inner: is asked.
            ttl_seconds: how long an answer counts; two seconds at most.
            clock: monotonic, in seconds.
            remembered_answers: how many are kept; the oldest goes first.

        Raises:
            ValueError: if answers would be remembered longer than two seconds.
        """
        self._inner = inner
        self._answers: RecentAnswers[Any] = RecentAnswers(ttl_seconds, clock, remembered_answers)
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """As the wrapped checker answers, or answered up to `ttl_seconds` ago."""
        # Without the repository: an identity has its permissions by project.
        key = ("project", call.token, call.principal.subject, project.id, project.name, resource, action)
        return await self._answer(call, key, lambda alike: self._inner.check_project(alike, project, resource, action))

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """As the wrapped checker answers, or answered up to `ttl_seconds` ago."""
        key = ("system", call.token, call.principal.subject, resource, action)
        return await self._answer(call, key, lambda alike: self._inner.check_system(alike, resource, action))

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """As the wrapped checker answers, or answered up to `ttl_seconds` ago: the same for every service that asks."""
        key = ("resolve", project.id, project.name)
        return await self._answer(call, key, lambda alike: self._inner.resolve_project(alike, project))

    async def _answer(self, call: Call, key: Hashable, ask: Callable[[Call], Awaitable[T]]) -> T:
        remembered: T | None = self._answers.find(key)
        if remembered is not None:
            return remembered
        asking: asyncio.Task[T] | None = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(call, key, ask))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._forget_task(key, task))
        # Shielded: who asked first may go away, and the others still wait for this.
        return await asyncio.shield(asking)

    async def _ask(self, call: Call, key: Hashable, ask: Callable[[Call], Awaitable[T]]) -> T:
        expire_time = self._answers.expire_time()
        # Without the deadline of who happened to be first.
        with serving(call.without_deadline()) as alike:
            answer = await ask(alike)
        self._answers.keep(key, answer, expire_time)
        return answer

    def _forget_task(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._asking[key]
        if not task.cancelled():
            # Everybody who waited may have gone away, and then nobody has seen what it raised.
            task.exception()

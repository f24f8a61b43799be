"""Gathers reads: those that arrive while an RPC is under way wait together, and go in the next one.

No read is answered by a query that began before the read arrived, because nobody joins a batch that has been sent. So
the answers are as fresh as those of single calls, without a lease, a clock or an invalidation. A read that finds no
RPC under way is sent at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from gateway.clients.reads.deadlines import Deadlines
from svckit.errors import DomainError, error_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.clients.reads.metrics import BatchMetrics

K = TypeVar("K")
A = TypeVar("A")

MOST_MEMBERS = 64
"""The most reads in one batch. metasvc accepts no more."""
MOST_BYTES = 512 * 1024
"""The most bytes of one batch: most of them are tokens, which may have 16 KiB each."""
OVERTAKE_SECONDS = 0.05
"""How long a batch holds up the next one. A lost packet, or a replica that has died, takes much longer."""


class Clock(Protocol):
    """The part of an event loop that tells the time."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Calls back at that time."""


class _Waiter(Generic[K, A]):
    """A read that waits for its answer."""

    __slots__ = ("answer", "batch", "deadline", "key", "size_bytes")

    def __init__(self, key: K, size_bytes: int, deadline: float | None, answer: asyncio.Future[A]) -> None:
        self.key = key
        self.size_bytes = size_bytes
        self.deadline = deadline
        self.answer = answer
        self.batch: _Batch[K, A] | None = None


class _Batch(Generic[K, A]):
    """Reads that have been sent together."""

    __slots__ = ("began", "members", "task", "waiting")

    def __init__(self, members: Sequence[_Waiter[K, A]], began: float) -> None:
        self.members = members
        self.began = began
        self.waiting = len(members)
        self.task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether its answer has not come yet."""
        return self.task is not None and not self.task.done()

    def leave(self) -> None:
        """One member waits no longer. The RPC goes on for the others, and ends when nobody is left."""
        self.waiting -= 1
        if self.waiting == 0 and self.task is not None:
            self.task.cancel()


class Gatherer(Generic[K, A]):
    """Sends reads of one kind."""

    def __init__(
        self,
        send: Callable[[Sequence[K], float | None], Awaitable[Sequence[A]]],
        metrics: BatchMetrics,
        *,
        most_members: int = MOST_MEMBERS,
        most_bytes: int = MOST_BYTES,
        overtake_seconds: float = OVERTAKE_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        """Prepares for reads; sends nothing yet.

        Args:
            send: sends keys in one RPC, within so many seconds (None for no limit), and returns an answer to each, in
                their order.
            metrics: counts batches.
            most_members: the most keys of one batch.
            most_bytes: the most bytes of one batch. A larger key goes alone.
            overtake_seconds: how long a batch holds up the next one.
            clock: by default the running event loop.
        """
        self._send = send
        self._metrics = metrics
        self._most_members = most_members
        self._most_bytes = most_bytes
        self._overtake_seconds = overtake_seconds
        self._given_clock = clock
        self._deadlines = Deadlines()
        self._waiting: deque[_Waiter[K, A]] = deque()
        # The batch that newcomers wait for.
        self._under_way: _Batch[K, A] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # asyncio itself keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _clock(self) -> Clock:
        return self._given_clock or asyncio.get_running_loop()

    async def ask(self, key: K, size_bytes: int, deadline: float | None) -> A:
        """The answer to one read.

        Args:
            key: what is read.
            size_bytes: how large it is in a batch.
            deadline: how long to wait, in the time of `time.monotonic()`; None for no limit.

        Raises:
            DomainError: UNAVAILABLE at the deadline; and any error of the whole batch.
        """
        loop = asyncio.get_running_loop()
        waiter: _Waiter[K, A] = _Waiter(key, size_bytes, deadline, loop.create_future())
        self._waiting.append(waiter)
        under_way = self._under_way
        if under_way is None or self._clock.time() >= under_way.began + self._overtake_seconds:
            self._send_next()
        elif self._timer is None:
            self._timer = self._clock.call_at(under_way.began + self._overtake_seconds, self._overtake)
        if deadline is not None:
            self._deadlines.watch(waiter.answer, deadline)
        try:
            return await waiter.answer
        except TimeoutError:
            self._leave(waiter)
            raise error_for("UNAVAILABLE", "metasvc has not answered in time") from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        finally:
            if deadline is not None:
                self._deadlines.forget(waiter.answer)

    @staticmethod
    def _leave(waiter: _Waiter[K, A]) -> None:
        if not waiter.answer.cancel() and not waiter.answer.cancelled():
            # The answer has come at the same moment. Marks an error as seen, or asyncio would log it.
            waiter.answer.exception()
        if waiter.batch is not None:
            waiter.batch.leave()

    def _overtake(self) -> None:
        """The batch under way has become too old. Those who wait go without it."""
        self._timer = None
        self._send_next()

    def _send_next(self) -> None:
        """Sends those who wait, as many as fit into one batch."""
        if self._under_way is not None and self._under_way.is_open:
            self._metrics.overtaken.inc()
        self._under_way = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        members = self._take()
        if not members:
            return
        batch = _Batch(members, self._clock.time())
        for member in members:
            member.batch = batch
        self._under_way = batch
        # In an empty context: the batch is nobody's call, so nobody's token and request id go with it.
        batch.task = asyncio.get_running_loop().create_task(self._run(batch), context=Context())
        self._tasks.add(batch.task)
        # Not at the end of the task itself: a task that is cancelled before its first step runs nothing.
        batch.task.add_done_callback(lambda task: self._end(batch, task))
        if self._waiting:
            self._timer = self._clock.call_at(batch.began + self._overtake_seconds, self._overtake)

    def _take(self) -> list[_Waiter[K, A]]:
        members: list[_Waiter[K, A]] = []
        room_bytes = self._most_bytes
        while self._waiting and len(members) < self._most_members:
            waiter = self._waiting[0]
            if not waiter.answer.done():
                room_bytes -= waiter.size_bytes
                if members and room_bytes < 0:
                    break
                members.append(waiter)
            self._waiting.popleft()
        return members

    async def _run(self, batch: _Batch[K, A]) -> None:
        members = batch.members
        try:
            answers = await self._send([member.key for member in members], self._longest(batch))
            for member, answer in zip(members, answers, strict=True):
                if not member.answer.done():
                    member.answer.set_result(answer)
        except Exception as error:
            for member in members:
                if not member.answer.done():
                    # Each task adds its frames to the exception that it raises.
                    member.answer.set_exception(error.copy() if isinstance(error, DomainError) else error)

    def _end(self, batch: _Batch[K, A], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._metrics.observe(len(batch.members), self._clock.time() - batch.began)
        if self._under_way is batch:
            self._send_next()

    def _longest(self, batch: _Batch[K, A]) -> float | None:
        """How long the last of the members waits. Each ends its own waiting itself."""
        longest = 0.0
        for member in batch.members:
            if member.deadline is None:
                return None
            longest = max(longest, member.deadline)
        return max(longest - asyncio.get_running_loop().time(), 0.001)

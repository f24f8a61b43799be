"""Large messages that are held as a whole.

gRPC reads a request before its handler begins, and holds the answer until the client lets it be sent. A client may keep
it waiting, although the call is over for its handler by then. So callers could fill the memory with requests that take
long, with manifests that they send in pieces and never end, and with answers that they never read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from svckit.memory import BodyMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from svckit.places import Refusal

# Smaller messages are not counted: the other memory that a call needs is as large.
_COUNTED_BYTES = 16 * 1024


class HeldMessages:
    """The single messages of one server, in both directions.

    A message counts until its call ends: the answer has been sent, or the client has gone. There is no time limit: gRPC
    offers no way to end a call whose answer it already has. So a caller who reads nothing loses its own share.
    """

    def __init__(
        self,
        limit_bytes: int,
        limit_per_caller_bytes: int,
        on_refusal: Callable[[str, Refusal], None],
    ) -> None:
        """Starts without messages.

        Args:
            limit_bytes: for all together.
            limit_per_caller_bytes: for one subject, and for all callers without credentials.
            on_refusal: counts refusals.
        """
        self._memory = BodyMemory(limit_bytes, limit_per_caller_bytes, on_refusal)

    @property
    def held_bytes(self) -> int:
        """What is held at the moment."""
        return self._memory.held_bytes

    def hold(self, subject: str | None, size_bytes: int) -> None:
        """Counts a message, or a part of one, until the call of the current task ends. Call it in the handler's task.

        Args:
            subject: whose message it is; None for callers without credentials.
            size_bytes: its size.

        Raises:
            DomainError: OVERLOADED or TOOMANYREQUESTS: the message must not be kept.
        """
        if size_bytes <= _COUNTED_BYTES:
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        release = self.reserve(subject, size_bytes)
        # The task ends when gRPC has sent the answer. The context of the call could tell as well, but its callbacks
        # keep the call in memory until the next full garbage collection.
        task.add_done_callback(lambda _: release())

    def reserve(self, subject: str | None, size_bytes: int) -> Callable[[], None]:
        """Counts what may arrive, as `hold` does, and returns the function that counts it out."""
        return self._memory.hold(subject, size_bytes)

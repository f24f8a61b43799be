"""Answers that their callers do not read.

gRPC holds the answer of an RPC until the client lets it be sent, and a client may keep it waiting. The call is over for
its handler by then. So callers could fill the memory with answers that they never read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from svckit.memory import BodyMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from svckit.access.call import Call
    from svckit.places import Refusal

# Smaller answers are not counted: the other memory that a call needs is as large.
_COUNTED_BYTES = 16 * 1024


class Answers:
    """The answers of single messages that wait to be sent.

    An answer counts until it is sent or its client has gone. There is no time limit: gRPC offers no way to end a call
    whose answer it already has. So a caller who reads nothing loses its own share.
    """

    def __init__(
        self,
        limit_bytes: int,
        limit_per_caller_bytes: int,
        on_refusal: Callable[[str, Refusal], None],
    ) -> None:
        """Starts without answers.

        Args:
            limit_bytes: for all together.
            limit_per_caller_bytes: for one subject, and for all callers without credentials.
            on_refusal: counts refusals.
        """
        self._memory = BodyMemory(limit_bytes, limit_per_caller_bytes, on_refusal)

    @property
    def held_bytes(self) -> int:
        """What waits at the moment."""
        return self._memory.held_bytes

    def hold(self, call: Call, size_bytes: int, *, is_batch: bool = False) -> None:
        """Counts the answer of the current task's call until it is sent. Call it at the end of the handler.

        The answer to a batch counts for the service that has sent the batch, because it belongs to many callers.

        Raises:
            DomainError: OVERLOADED or TOOMANYREQUESTS: the answer must not be sent.
        """
        if size_bytes <= _COUNTED_BYTES:
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        caller = f"service:{call.caller_service}" if is_batch else call.principal.subject
        is_nobody = not is_batch and call.principal.kind == "anonymous"
        release = self._memory.hold(None if is_nobody else caller, size_bytes)
        # The task ends when gRPC has sent the answer. The context of the call could tell as well, but its callbacks
        # keep the call in memory until the next full garbage collection.
        task.add_done_callback(lambda _: release())

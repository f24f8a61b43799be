"""Batches that come one after the other over one call (rules of the kind `each`, for RPCs that stream).

A servicer's method answers each before it reads the next one. The batch that was read last is the current one:

    async for _ in request_iterator:
        answers = await current_batch().answer(self._wanted, self._resolve, self._answer)
        yield pb.ResolveManifestBatchesResponse(answers=answers)
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

from svckit.rpc.members import account_members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svckit.access.call import Call
    from svckit.places import Places
    from svckit.rpc.account import Account
    from svckit.rpc.members import Members

LONGEST_SECONDS: Final = 300.0
"""How long such a call goes on. Its service token was judged when it began, and is valid for so long."""


class BatchStream:
    """The requests of such a call. Each batch is admitted, takes a place among the calls, and is accounted for."""

    __slots__ = ("_account", "_began", "_call", "_ends_at", "_is_open", "_members", "_places", "_requests", "_subject")

    def __init__(
        self,
        call: Call,
        subject: str | None,
        requests: AsyncIterator[Any],
        members: Members,
        places: Places,
        account: Account,
    ) -> None:
        """Wraps the requests that arrive.

        Args:
            call: the call over which they come, already admitted.
            subject: whose places they take.
            requests: the messages, parsed and within their bounds.
            members: judges their members.
            places: the places of calls. So batches cannot use more database connections than calls can.
            account: counts and logs the members.
        """
        self._call = call
        self._subject = subject
        self._requests = requests
        self._members = members
        self._places = places
        self._account = account
        self._ends_at = time.monotonic() + LONGEST_SECONDS
        self._began = 0.0
        self._is_open = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next request, whose members are the current batch then. The answer to the one before has been sent.

        Raises:
            DomainError: OVERLOADED or TOOMANYREQUESTS, there is no place; REQUEST_TIMEOUT.
        """
        self.finish("OK")
        if time.monotonic() >= self._ends_at:
            raise StopAsyncIteration
        request = await anext(self._requests)
        self._places.take(self._subject, self._call.client_address)
        self._began = time.perf_counter()
        self._is_open = True
        await self._members.admit(self._call, request)
        return request

    def finish(self, code: str) -> None:
        """Gives back the place of the last batch, and counts and logs its members. A second call does nothing.

        Args:
            code: the gRPC code with which it ended. If it is not OK, it is the code of every member.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._places.give_back(self._subject, self._call.client_address)
        account_members(code, time.perf_counter() - self._began, self._account)

"""Reads revocations from authsvc, again and again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from roadstead.auth.v1 import revocation_service_pb2, revocation_service_pb2_grpc
from svckit.changes.convert import from_position, to_position
from svckit.errors import DomainError
from svckit.first_answer import AWAITED_SECONDS, FirstAnswer
from svckit.logging import get_logger
from svckit.revocation.convert import to_revocation

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc.aio

    from roadstead.auth.v1.revocation_service_pb2_grpc import RevocationServiceAsyncStub
    from svckit.tokens.revocation import Revocation, Revocations

REFRESH_SECONDS = 1.0
"""The pause between two reads. metasvc passes on what it reads to blobsvc, and everywhere it takes effect within five
seconds."""
_log = get_logger(__name__)


class RevocationReader:
    """Keeps the revocations of this process up to date. While authsvc is away, they stay as they are."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        revocations: Revocations,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Takes a channel to authsvc on which this service may read revocations, where to keep them, and the time."""
        self._stub: RevocationServiceAsyncStub = revocation_service_pb2_grpc.RevocationServiceStub(channel)
        self._revocations = revocations
        self._now = now
        self._first_answer = FirstAnswer("the revocations")

    async def refresh(self) -> None:
        """Reads what is new. `svckit.process.loops` repeats this every `REFRESH_SECONDS`.

        Raises:
            DomainError: UNAVAILABLE; the revocations stay as they are.
        """
        found: list[Revocation] = []
        after = self._revocations.position
        begins_anew = after is None
        while True:
            request = revocation_service_pb2.ListRevocationsRequest()
            if after is not None:
                request.position.CopyFrom(from_position(after))
            answer = await self._stub.ListRevocations(request, timeout=self._first_answer.timeout_seconds)
            if answer.begins_anew:
                begins_anew = True
                found.clear()
            found += map(to_revocation, answer.revocations)
            after = to_position(answer.position)
            if not answer.has_more:
                break
        # Only now: with a part of those that it begins with, a process would take tokens that are refused.
        if begins_anew:
            self._revocations.replace(after, found)
        else:
            self._revocations.extend(after, found)
        self._revocations.forget_outdated(self._now())
        if begins_anew:
            _log.info("revocations_read", count=len(self._revocations), epoch=after.epoch, revision=after.revision)
        self._first_answer.note()

    async def begin(self) -> None:
        """Reads for the first time, before the service serves. Waits a moment only: without authsvc, others go on."""
        try:
            async with asyncio.timeout(AWAITED_SECONDS):
                await self.refresh()
        except (TimeoutError, DomainError) as error:
            _log.warning("revocations_not_read", error=str(error))

    async def require_known(self) -> None:
        """Waits a moment for the first answer of authsvc: the check of a service that must not serve before (`Needs`).

        Raises:
            DomainError: UNAVAILABLE; it has not come.
        """
        await self._first_answer.require()

"""Tells blobsvc which registry tokens are revoked, because blobsvc calls nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.blob.v1.blob_service_pb2 import RevokeTokensRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from svckit.changes.convert import from_position, to_position
from svckit.log_position import LogPosition
from svckit.revocation.convert import from_revocation

if TYPE_CHECKING:
    import grpc.aio

    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from svckit.tokens.revocation import Revocations

_LONGEST_SECONDS = 3.0
_AT_ONCE = 1000
# Behind a load balancer, another blobsvc may answer each time. The next round goes on.
_MOST_CALLS = 100


class RevokedTokens:
    """Tells blobsvc what this process knows. It needs a channel with metasvc's own service token."""

    def __init__(self, channel: grpc.aio.Channel, revocations: Revocations) -> None:
        """Takes a channel to blobsvc, and the revocations."""
        self._blobs: BlobServiceAsyncStub = BlobServiceStub(channel)
        self._revocations = revocations
        # What blobsvc knew when it last answered. It is another one after a restart, or behind a load balancer.
        self._told: LogPosition | None = None

    async def tell(self) -> None:
        """Tells what is new, and everything to a blobsvc that knows nothing.

        Raises:
            DomainError: UNAVAILABLE.
        """
        for _ in range(_MOST_CALLS):
            if await self._tell_some():
                return

    async def _tell_some(self) -> bool:
        """Tells a thousand revocations at most. Returns whether blobsvc knows all of them now."""
        known = self._revocations.position
        if known is None:
            return True
        after = self._told if self._told is not None and self._told.epoch == known.epoch else None
        found = self._revocations.behind(0 if after is None else after.revision)
        position = known
        if len(found) > _AT_ONCE:
            del found[_AT_ONCE:]
            position = LogPosition(epoch=known.epoch, revision=found[-1].revision)
        request = RevokeTokensRequest(position=from_position(position), revocations=map(from_revocation, found))
        if after is not None:
            request.after.CopyFrom(from_position(after))
        answer = await self._blobs.RevokeTokens(request, timeout=_LONGEST_SECONDS)
        self._told = to_position(answer.position) if answer.HasField("position") else None
        return self._told is not None and self._told.epoch == known.epoch and self._told.revision >= known.revision

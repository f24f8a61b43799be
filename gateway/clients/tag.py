"""Client of metasvc's tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import tag_service_pb2 as pb
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceStub

if TYPE_CHECKING:
    from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceAsyncStub


class TagClient:
    """Lists tags."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to metasvc."""
        self._stub: TagServiceAsyncStub = TagServiceStub(channel)

    async def list_names(self, repository: str, limit: int | None, start_after: str) -> tuple[list[str], bool]:
        """The names of a repository's tags, sorted, and whether more follow.

        Args:
            repository: full name.
            limit: how many at most, perhaps fewer; None for all.
            start_after: only names after this one; empty for all.

        Raises:
            DomainError: NAME_UNKNOWN, INSUFFICIENT_SCOPE.
        """
        request = pb.ListTagNamesRequest(repository=repository, limit=limit, start_after=start_after)
        answer = await self._stub.ListTagNames(request)
        names = list(answer.names)
        # metasvc gives no more names at once than fit into a message.
        while limit is None and answer.has_more:
            request.start_after = names[-1]
            answer = await self._stub.ListTagNames(request)
            names += answer.names
        return names, answer.has_more

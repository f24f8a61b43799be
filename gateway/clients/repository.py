"""Client of metasvc's repositories, for Docker's catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import repository_service_pb2 as pb
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceStub

if TYPE_CHECKING:
    from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub


class RepositoryClient:
    """Lists repositories."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to metasvc."""
        self._stub: RepositoryServiceAsyncStub = RepositoryServiceStub(channel)

    async def list_catalog(self, page_size: int, start_after: str) -> tuple[list[str], bool]:
        """Full names, sorted, and whether more follow.

        Args:
            page_size: how many at most.
            start_after: only names after this one; empty for all.

        Raises:
            DomainError: INSUFFICIENT_SCOPE.
        """
        request = pb.ListCatalogRequest(page_size=page_size, start_after=start_after)
        answer = await self._stub.ListCatalog(request)
        return list(answer.repositories), answer.has_more

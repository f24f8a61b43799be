"""Repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.domain.repository import CATALOG_PAGE_SIZE, MAX_CATALOG_PAGE_SIZE, list_catalog
from roadstead.meta.v1 import repository_service_pb2 as pb
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceServicer
from svckit.errors import DomainError
from svckit.paging import clamp_page_size

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Store

    Context = grpc.aio.ServicerContext[Any, Any]


class RepositoryServicer(RepositoryServiceServicer):
    """Serves `roadstead.meta.v1.RepositoryService`."""

    def __init__(self, store: Store) -> None:
        """Takes the store."""
        self._store = store

    async def ListCatalog(self, request: pb.ListCatalogRequest, context: Context) -> pb.ListCatalogResponse:
        names, has_more = await list_catalog(
            self._store,
            start_after=request.start_after,
            page_size=clamp_page_size(request.page_size, CATALOG_PAGE_SIZE, MAX_CATALOG_PAGE_SIZE),
        )
        return pb.ListCatalogResponse(repositories=names, has_more=has_more)

    # Not served yet.

    async def GetRepository(self, request: pb.GetRepositoryRequest, context: Context) -> pb.GetRepositoryResponse:
        raise DomainError("UNSUPPORTED")

    async def ListRepositories(
        self, request: pb.ListRepositoriesRequest, context: Context
    ) -> pb.ListRepositoriesResponse:
        raise DomainError("UNSUPPORTED")

    async def ListAllRepositories(
        self, request: pb.ListAllRepositoriesRequest, context: Context
    ) -> pb.ListAllRepositoriesResponse:
        raise DomainError("UNSUPPORTED")

    async def UpdateRepository(
        self, request: pb.UpdateRepositoryRequest, context: Context
    ) -> pb.UpdateRepositoryResponse:
        raise DomainError("UNSUPPORTED")

    async def DeleteRepository(
        self, request: pb.DeleteRepositoryRequest, context: Context
    ) -> pb.DeleteRepositoryResponse:
        raise DomainError("UNSUPPORTED")

"""Repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_repository, to_repository_of
from metasvc.domain.repository import (
    CATALOG_PAGE_SIZE,
    MAX_CATALOG_PAGE_SIZE,
    delete_repository,
    get_repository,
    list_all_repositories,
    list_catalog,
    list_repositories,
    update_repository,
)
from roadstead.meta.v1 import repository_service_pb2 as pb
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_list_request
from svckit.paging import clamp_page_size

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class RepositoryServicer(RepositoryServiceServicer):
    """Serves `roadstead.meta.v1.RepositoryService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def ListCatalog(self, request: pb.ListCatalogRequest, context: Context) -> pb.ListCatalogResponse:
        names, has_more = await list_catalog(
            self._ports,
            start_after=request.start_after,
            page_size=clamp_page_size(request.page_size, CATALOG_PAGE_SIZE, MAX_CATALOG_PAGE_SIZE),
        )
        return pb.ListCatalogResponse(repositories=names, has_more=has_more)

    async def GetRepository(self, request: pb.GetRepositoryRequest, context: Context) -> pb.GetRepositoryResponse:
        project = authorized_project(current_call())
        name = to_repository_of(project, request.repository_name)
        listed = await get_repository(self._ports, project_id=project.id, name=name)
        return pb.GetRepositoryResponse(repository=from_repository(listed))

    async def ListRepositories(
        self, request: pb.ListRepositoriesRequest, context: Context
    ) -> pb.ListRepositoriesResponse:
        page = await list_repositories(
            self._ports,
            project_id=authorized_project(current_call()).id,
            request=to_list_request(request),
        )
        return pb.ListRepositoriesResponse(
            repositories=map(from_repository, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def ListAllRepositories(
        self, request: pb.ListAllRepositoriesRequest, context: Context
    ) -> pb.ListAllRepositoriesResponse:
        page = await list_all_repositories(
            self._ports,
            request=to_list_request(request),
        )
        return pb.ListAllRepositoriesResponse(
            repositories=map(from_repository, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def UpdateRepository(
        self, request: pb.UpdateRepositoryRequest, context: Context
    ) -> pb.UpdateRepositoryResponse:
        call = current_call()
        project = authorized_project(call)
        listed = await update_repository(
            self._ports,
            project_id=project.id,
            name=to_repository_of(project, request.repository_name),
            description=request.description if request.HasField("description") else None,
            etag=request.etag,
            origin=call.origin,
        )
        return pb.UpdateRepositoryResponse(repository=from_repository(listed))

    async def DeleteRepository(
        self, request: pb.DeleteRepositoryRequest, context: Context
    ) -> pb.DeleteRepositoryResponse:
        call = current_call()
        project = authorized_project(call)
        await delete_repository(
            self._ports,
            project_id=project.id,
            name=to_repository_of(project, request.repository_name),
            origin=call.origin,
        )
        return pb.DeleteRepositoryResponse()

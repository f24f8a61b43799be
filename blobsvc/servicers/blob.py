"""BlobService."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc.aio

from blobsvc import convert
from blobsvc.domain.blob import locate_blob, read_blob, stat_blob
from blobsvc.domain.damage import ReadPorts
from blobsvc.domain.listing import list_blobs, list_unlinked
from blobsvc.domain.ports import BlobAdmin
from blobsvc.domain.read_only import ReadOnlyMode
from blobsvc.domain.unlinked import UnlinkedBytes, settle
from roadstead.blob.v1 import blob_service_pb2_grpc
from roadstead.blob.v1.blob_service_pb2 import (
    DeleteBlobRequest,
    DeleteBlobResponse,
    GetCapacityRequest,
    GetCapacityResponse,
    ListBlobsRequest,
    ListBlobsResponse,
    ListUnlinkedRequest,
    ListUnlinkedResponse,
    LocateBlobRequest,
    LocateBlobResponse,
    ReadBlobRequest,
    ReadBlobResponse,
    RevokeTokensRequest,
    RevokeTokensResponse,
    SetReadOnlyRequest,
    SetReadOnlyResponse,
    SettleGenerationsRequest,
    SettleGenerationsResponse,
    StatBlobRequest,
    StatBlobResponse,
    StatBlobsRequest,
    StatBlobsResponse,
)
from svckit.access.call import current_call
from svckit.changes.convert import from_position, to_position
from svckit.convert import held, to_list_request
from svckit.revocation.convert import to_revocation
from svckit.tokens import Grant
from svckit.tokens.revocation import Revocations

Context = grpc.aio.ServicerContext[Any, Any]


class BlobServicer(blob_service_pb2_grpc.BlobServiceServicer):
    """Serves finished blobs from any store."""

    def __init__(
        self,
        ports: ReadPorts,
        admin: BlobAdmin,
        unlinked: UnlinkedBytes,
        read_only: ReadOnlyMode,
        revocations: Revocations,
    ) -> None:
        """Takes what it serves.

        Args:
            ports: the ports for reading.
            admin: the administration of the same store.
            unlinked: the count of its unlinked bytes.
            read_only: the mode in which uploads are refused.
            revocations: the registry tokens that are refused.
        """
        self._read_only = read_only
        self._revocations = revocations
        self._ports = ports
        self._admin = admin
        self._unlinked = unlinked

    async def ReadBlob(self, request: ReadBlobRequest, context: Context) -> AsyncIterator[ReadBlobResponse]:
        async with read_blob(self._ports, _grant(), request.offset, request.limit) as chunks:
            async for data in chunks:
                yield ReadBlobResponse(data=data)

    async def StatBlob(self, request: StatBlobRequest, context: Context) -> StatBlobResponse:
        return StatBlobResponse(blob=convert.from_blob(await stat_blob(self._ports, _grant())))

    async def LocateBlob(self, request: LocateBlobRequest, context: Context) -> LocateBlobResponse:
        return convert.from_located(await locate_blob(self._ports, _grant(), convert.to_placement_kinds(request)))

    async def StatBlobs(self, request: StatBlobsRequest, context: Context) -> StatBlobsResponse:
        sizes = await self._ports.blobs.sizes([convert.to_blob_key(blob) for blob in request.blobs])
        return convert.from_sizes(sizes, self._ports.store_id)

    async def ListBlobs(self, request: ListBlobsRequest, context: Context) -> ListBlobsResponse:
        page = await list_blobs(self._admin, to_list_request(request), convert.to_finished_before(request))
        return convert.from_page(page)

    async def DeleteBlob(self, request: DeleteBlobRequest, context: Context) -> DeleteBlobResponse:
        await self._admin.delete(convert.to_blob_key(request))
        return DeleteBlobResponse()

    async def ListUnlinked(self, request: ListUnlinkedRequest, context: Context) -> ListUnlinkedResponse:
        page = await list_unlinked(self._admin, to_list_request(request), convert.to_finished_before(request))
        return convert.from_unlinked_page(page)

    async def SettleGenerations(self, request: SettleGenerationsRequest, context: Context) -> SettleGenerationsResponse:
        keys = [convert.to_blob_key(generation) for generation in request.generations]
        await settle(self._admin, self._unlinked, keys)
        return SettleGenerationsResponse()

    async def GetCapacity(self, request: GetCapacityRequest, context: Context) -> GetCapacityResponse:
        capacity = await self._admin.capacity()
        return GetCapacityResponse(total_bytes=capacity.total_bytes, free_bytes=capacity.free_bytes)

    async def SetReadOnly(self, request: SetReadOnlyRequest, context: Context) -> SetReadOnlyResponse:
        self._read_only.tell(read_only=request.read_only)
        return SetReadOnlyResponse()

    async def RevokeTokens(self, request: RevokeTokensRequest, context: Context) -> RevokeTokensResponse:
        self._revocations.merge(
            to_position(request.after) if request.HasField("after") else None,
            to_position(request.position),
            map(to_revocation, request.revocations),
            datetime.now(UTC),
        )
        known = self._revocations.position
        return RevokeTokensResponse(position=None if known is None else from_position(known))


def _grant() -> Grant:
    return held(current_call().grant)

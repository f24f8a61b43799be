"""Tells blobsvc the mode of the installation, because blobsvc calls nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.blob.v1.blob_service_pb2 import SetReadOnlyRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub

if TYPE_CHECKING:
    import grpc.aio

    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub

_LONGEST_SECONDS = 3.0


class StoreMode:
    """Tells blobsvc whether uploads are refused. It needs a channel with metasvc's own service token."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to blobsvc."""
        self._blobs: BlobServiceAsyncStub = BlobServiceStub(channel)

    async def set_read_only(self, read_only: bool) -> None:
        """Says so.

        Raises:
            DomainError: UNAVAILABLE.
        """
        await self._blobs.SetReadOnly(SetReadOnlyRequest(read_only=read_only), timeout=_LONGEST_SECONDS)

"""The purge by way of blobsvc, which keeps the uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.upload_purge.domain import ExpiredPage, ExpiredUpload
from roadstead.blob.v1.upload_service_pb2 import PurgeUploadsRequest
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.convert import to_time

if TYPE_CHECKING:
    from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceAsyncStub
    from svckit.rpc import RpcChannel


class RemotePurger:
    """`ports.Purger` over gRPC."""

    def __init__(self, blobsvc: RpcChannel) -> None:
        """Takes a channel to blobsvc, on which the worker acts for itself."""
        self._stub: UploadServiceAsyncStub = UploadServiceStub(blobsvc)

    async def purge(self, *, dry_run: bool, page_token: str) -> ExpiredPage:
        """See the port."""
        answer = await self._stub.PurgeUploads(PurgeUploadsRequest(dry_run=dry_run, page_token=page_token))
        return ExpiredPage(
            [
                ExpiredUpload(
                    id=each.upload_id,
                    repository=each.repository,
                    subject=each.subject,
                    size_bytes=each.size_bytes,
                    start_time=to_time(each.start_time, "start_time") if each.HasField("start_time") else None,
                    write_time=to_time(each.write_time, "write_time"),
                )
                for each in answer.uploads
            ],
            answer.next_page_token,
        )

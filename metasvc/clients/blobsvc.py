"""Reads configs from blobsvc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.blob.v1.blob_service_pb2 import ReadBlobRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from svckit.errors import DomainError, Unavailable
from svckit.tokens import Grant

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.model import ServedBlob
    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from svckit.tokens.signer import TokenSigner

# A push waits for this read and counts as a call in flight meanwhile, so it must be short. It is longer than a restart
# of blobsvc.
LONGEST_SECONDS = 3.0


class ConfigBlobs:
    """See `domain.ports.ConfigReader`.

    It needs a channel with metasvc's own service token, because the grant is made for metasvc.
    """

    def __init__(
        self, channel: grpc.aio.Channel, signer: TokenSigner, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        """Takes a channel to blobsvc, the signer of grants, and the longest time of a read."""
        self._blobs: BlobServiceAsyncStub = BlobServiceStub(channel)
        self._signer = signer
        self._longest_seconds = longest_seconds

    async def read(self, blob: ServedBlob, *, project_id: int, repository: str) -> bytes | None:
        """See the port."""
        grant = self._signer.sign(
            Grant(
                subject=f"service:{self._signer.service}",
                repository=repository,
                project_id=project_id,
                digest=blob.digest,
                generation=blob.generation,
                size=blob.size,
            )
        )
        request = ReadBlobRequest(grant=grant.text, limit=blob.size)
        try:
            answers = self._blobs.ReadBlob(request, timeout=self._longest_seconds)
            content = b"".join([answer.data async for answer in answers])
        except DomainError as error:
            if error.reason == "BLOB_DAMAGED":
                return None
            # The error is about metasvc's own call and not about the push. A client that got it would, for example,
            # take a refused token for its own.
            raise _unreadable() from error
        if len(content) != blob.size:
            raise _unreadable()
        return content


def _unreadable() -> Unavailable:
    return Unavailable(message="the config cannot be read now; push the manifest again")

"""blobsvc's bytes, behind a port of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.blob.v1.blob_service_pb2 import ReadBlobRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from svckit import logging
from svckit.errors import DomainError, NotFound, Unavailable
from svckit.tokens import Grant

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.model import ServedBlob
    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from svckit.tokens.signer import TokenSigner

# A push waits for it, and holds a place among the calls in flight meanwhile. Longer than a restart takes.
LONGEST_SECONDS = 3.0

_log = logging.get_logger(__name__)


class ConfigBlobs:
    """See `domain.ports.ConfigReader`.

    Needs a channel that acts for metasvc: the grant is our own, and bound to us.
    """

    def __init__(
        self, channel: grpc.aio.Channel, signer: TokenSigner, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        """Takes a channel to blobsvc, what signs grants, and how long a read may take."""
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
        except NotFound:
            _log.warning("blob_bytes_missing", digest=blob.digest, generation=blob.generation)
            return None
        except DomainError as error:
            # Whatever it says is said to us, and no fault of who pushes: that token was refused, for one, which a
            # client would take for its own.
            raise _unreadable() from error
        if len(content) != blob.size:
            raise _unreadable()
        return content


def _unreadable() -> Unavailable:
    return Unavailable(message="the config cannot be read at the moment: put the manifest again")

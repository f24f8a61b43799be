"""Blobs: metasvc knows which repository has which blob, blobsvc has the bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import grpc.aio

from gateway.clients.blob_folder import BlobFolder
from gateway.clients.reads.placement_cache import KeptPlacement
from gateway.clients.reads.reads import Reads, ResolvedBlob
from gateway.clients.store_folder import PlacedFile
from gateway.wire.file_body import FileBody
from gateway.wire.measure import HttpMetrics
from roadstead.blob.v1 import blob_service_pb2, placement_pb2
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.meta.v1 import blob_link_service_pb2 as pb
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from svckit.access.call import current_call, serving
from svckit.errors import DomainError, error_for
from svckit.rpc import shielded

if TYPE_CHECKING:
    from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceAsyncStub

T = TypeVar("T")


class BlobClient:
    """Reads, links and unlinks blobs. `gateway.clients.reads` finds them."""

    def __init__(
        self,
        metasvc: grpc.aio.Channel,
        blobsvc: grpc.aio.Channel,
        reads: Reads,
        folder: BlobFolder | None,
        metrics: HttpMetrics,
    ) -> None:
        """Takes the channels to both services.

        Args:
            metasvc: the channel to metasvc.
            blobsvc: the channel to blobsvc.
            reads: finds blobs, and keeps the placements of their files.
            folder: the folder of blobsvc; None if this process cannot read it.
            metrics: counts bytes.
        """
        self._links: BlobLinkServiceAsyncStub = BlobLinkServiceStub(metasvc)
        self._bytes: BlobServiceAsyncStub = BlobServiceStub(blobsvc)
        self._reads = reads
        self._folder = folder
        self._sent_bytes = metrics.blob_sent_bytes.labels("stream")
        self._kept_placements = metrics.blob_placements.labels("kept")
        self._named_placements = metrics.blob_placements.labels("named")

    async def granted(self, blob: ResolvedBlob) -> ResolvedBlob:
        """The blob with a grant. metasvc is asked again for one that it has left out.

        Raises:
            DomainError: BLOB_UNKNOWN, NAME_UNKNOWN, INSUFFICIENT_SCOPE.
        """
        if blob.grant:
            return blob
        return await self._reads.blob(current_call(), blob.repository, blob.digest, needs_grant=True)

    async def check(self, blob: ResolvedBlob) -> None:
        """Checks that the file of a blob is there and has the right size.

        Raises:
            DomainError: GRANT_INVALID, UNAVAILABLE; BLOB_DAMAGED, and metasvc has been told; as `granted`.
        """
        if self._folder is None:
            await self._stat(blob)
        else:
            # blobsvc has looked at the file, too, if it has just named it.
            await self._with_file(blob, self._folder.has)

    async def file_body(self, blob: ResolvedBlob, parts: Sequence[bytes | range]) -> FileBody | None:
        """Opens the file of a blob, as a body of an answer; None if it cannot be read as a file. Then `read` reads it.

        Args:
            blob: the blob.
            parts: bytes that are sent as they are, and ranges of positions in the blob.

        Raises:
            DomainError: GRANT_INVALID, UNAVAILABLE; BLOB_DAMAGED, and metasvc has been told; as `granted`.
        """
        if self._folder is None:
            return None
        return await self._with_file(
            blob, partial(self._folder.body, parts=parts, on_short=partial(self._find_damage, blob))
        )

    async def _with_file(self, blob: ResolvedBlob, use: Callable[[PlacedFile], Awaitable[T]]) -> T | None:
        """What comes of using the file of a blob; a false value if it is not there, or blobsvc offers no file.

        A kept placement is used only if it is that of the generation which metasvc has just named for this caller. So
        it is as good as one that blobsvc would name now. If the file is not as it was, blobsvc finds out why.
        """
        kept = self._reads.placements.find(blob.digest)
        if kept is not None and (kept.generation, kept.place.size_bytes) == (blob.generation, blob.size_bytes):
            used = await use(kept.place)
            if used:
                self._kept_placements.inc()
                return used
            self._reads.placements.forget(blob.digest, kept)
        blob = await self.granted(blob)
        self._named_placements.inc()
        place = await self._locate(blob)
        if place is None:
            return None
        used = await use(place)
        if used:
            self._reads.placements.keep(blob.digest, KeptPlacement(blob.generation, place))
        return used

    async def _locate(self, blob: ResolvedBlob) -> PlacedFile | None:
        """The file of a blob, as blobsvc names it after it has looked at it; None if it offers none."""
        request = blob_service_pb2.LocateBlobRequest(grant=blob.grant, kinds=[placement_pb2.PLACEMENT_KIND_FILE])
        async with self._reporting():
            placements = (await self._bytes.LocateBlob(request)).placements
        if not placements:
            return None
        file = placements[0].file
        return PlacedFile(file.store_id, file.path, file.inode, file.size_bytes)

    async def _stat(self, blob: ResolvedBlob) -> None:
        async with self._reporting():
            await self._bytes.StatBlob(blob_service_pb2.StatBlobRequest(grant=blob.grant))

    async def _find_damage(self, blob: ResolvedBlob) -> None:
        """Has blobsvc look at a file that became shorter while it was sent."""
        # A download may take longer than the deadline of its request, or its grant.
        with serving(current_call().without_deadline()) as call:
            await self._stat(await self._reads.blob(call, blob.repository, blob.digest, needs_grant=True))

    async def read(self, blob: ResolvedBlob, offset: int, limit: int) -> AsyncGenerator[bytes, None]:
        """Reads `limit` bytes from `offset` on, about 1 MiB at once. The first are fetched before this returns.

        So a refusal is known while another status can still be answered. The iterator must be closed.

        Args:
            blob: the blob.
            offset: the first byte.
            limit: how many; more than 0.

        Raises:
            DomainError: GRANT_INVALID, UNAVAILABLE; BLOB_DAMAGED, and metasvc has been told; as `granted`. The iterator
                raises BLOB_DAMAGED instead of the last bytes of a whole blob that does not match its digest, and
                UNAVAILABLE where fewer bytes come.
        """
        pieces = self._pieces((await self.granted(blob)).grant, offset, limit)
        try:
            first = await anext(pieces)
        except BaseException:
            await pieces.aclose()
            raise
        return _joined(first, pieces)

    async def _pieces(self, grant: str, offset: int, limit: int) -> AsyncGenerator[bytes, None]:
        call = self._bytes.ReadBlob(blob_service_pb2.ReadBlobRequest(grant=grant, offset=offset, limit=limit))
        left = limit
        async with (
            self._reporting(),
            aclosing(cast("AsyncGenerator[blob_service_pb2.ReadBlobResponse, None]", aiter(call))) as answers,
        ):
            async for answer in answers:
                left -= len(answer.data)
                yield answer.data
                self._sent_bytes.inc(len(answer.data))
        if left != 0:
            raise error_for("UNAVAILABLE", "the blob ended early")

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        """Passes the finding of blobsvc on to metasvc, which then no longer serves the damaged blob."""
        try:
            yield
        except DomainError as error:
            finding = error.metadata.get("finding")
            if error.reason != "BLOB_DAMAGED" or finding is None:
                raise
            # A download may take longer than the deadline of its request.
            with serving(current_call().without_deadline()):
                await shielded(self._quarantine(finding))
            # Without the finding, which is of no use to HTTP clients.
            raise error_for("BLOB_DAMAGED") from error

    async def _quarantine(self, finding: str) -> None:
        await self._links.QuarantineBlob(pb.QuarantineBlobRequest(finding=finding))

    async def link(self, repository: str, receipt: str) -> str:
        """Links an uploaded blob to a repository, and returns its digest.

        Raises:
            DomainError: QUOTA_EXCEEDED, RECEIPT_INVALID, NOT_FOUND.
        """
        answer = await self._links.LinkBlob(pb.LinkBlobRequest(receipt=receipt, repository=repository))
        return answer.digest

    async def mount(self, repository: str, digest: str, from_repository: str) -> bool:
        """Links a blob of another repository. Returns whether that was possible.

        Args:
            repository: the repository to link to.
            digest: the digest of the blob.
            from_repository: the other repository; empty for any repository in the caller's token.

        Raises:
            DomainError: INSUFFICIENT_SCOPE.
        """
        request = pb.MountBlobRequest(repository=repository, digest=digest, from_repository=from_repository)
        return (await self._links.MountBlob(request)).mounted

    async def unlink(self, repository: str, digest: str) -> None:
        """Deletes a link.

        Raises:
            DomainError: BLOB_UNKNOWN, NAME_UNKNOWN, INSUFFICIENT_SCOPE; UNSUPPORTED if deletion is switched off.
        """
        await self._links.UnlinkBlob(pb.UnlinkBlobRequest(repository=repository, digest=digest))


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece

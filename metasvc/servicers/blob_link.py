"""Which repository serves which blob."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from metasvc.domain.blob_link import FinishedBlob, link_blob, mount_blob, unlink_blob
from metasvc.domain.blob_read import resolve_blob, resolve_blobs
from metasvc.domain.model import WantedBlob
from metasvc.domain.quarantine import quarantine_found
from metasvc.servicers.pull_rights import CallPullRights, require_asked
from roadstead.meta.v1 import blob_link_service_pb2 as pb
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, held, to_digest, to_repository_name
from svckit.errors import NotFound
from svckit.rpc.members import current_batch
from svckit.tokens import Grant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from metasvc.domain.model import ServedBlob
    from metasvc.domain.ports import Ports
    from svckit.access.call import Call
    from svckit.tokens.signer import TokenSigner

    Context = grpc.aio.ServicerContext[Any, Any]


class BlobLinkServicer(BlobLinkServiceServicer):
    """Serves `roadstead.meta.v1.BlobLinkService`."""

    def __init__(self, ports: Ports, signer: TokenSigner) -> None:
        """Takes the domain's ports, and the signer of grants."""
        self._ports = ports
        self._signer = signer

    async def LinkBlob(self, request: pb.LinkBlobRequest, context: Context) -> pb.LinkBlobResponse:
        receipt = held(current_call().receipt)
        if request.repository != receipt.repository:
            raise NotFound("NAME_UNKNOWN", "the receipt is for another repository")
        finished = FinishedBlob(
            project_id=receipt.project_id,
            repository=str(to_repository_name(receipt.repository)),
            digest=str(to_digest(receipt.digest)),
            generation=receipt.generation,
            size=receipt.size,
            subject=receipt.subject,
        )
        await link_blob(self._ports, finished)
        return pb.LinkBlobResponse(digest=finished.digest, size_bytes=finished.size)

    async def MountBlob(self, request: pb.MountBlobRequest, context: Context) -> pb.MountBlobResponse:
        call = current_call()
        if request.from_repository:
            require_asked(call, request.from_repository)
        size_bytes = await mount_blob(
            self._ports,
            CallPullRights(call),
            project_id=authorized_project(call).id,
            repository=str(to_repository_name(request.repository)),
            digest=str(to_digest(request.digest)),
            from_repository=request.from_repository or None,
        )
        return pb.MountBlobResponse(mounted=size_bytes is not None, size_bytes=size_bytes or 0)

    async def ResolveBlob(self, request: pb.ResolveBlobRequest, context: Context) -> pb.ResolveBlobResponse:
        call = current_call()
        wanted = _wanted(call, request)
        served = await resolve_blob(self._ports, wanted)
        return pb.ResolveBlobResponse(
            grant=self._grant(call, wanted, served),
            size_bytes=served.size,
            media_type=served.media_type,
            generation=served.generation,
        )

    async def ResolveBlobs(self, request: pb.ResolveBlobsRequest, context: Context) -> pb.ResolveBlobsResponse:
        return pb.ResolveBlobsResponse(answers=await self._answers())

    async def ResolveBlobBatches(
        self, request_iterator: AsyncIterator[pb.ResolveBlobBatchesRequest], context: Context
    ) -> AsyncIterator[pb.ResolveBlobBatchesResponse]:
        async for _ in request_iterator:
            yield pb.ResolveBlobBatchesResponse(answers=await self._answers())

    async def _answers(self) -> list[pb.ResolveBlobsResponse.Answer]:
        return await current_batch().answer(_wanted_member, partial(resolve_blobs, self._ports), self._answer)

    def _answer(self, call: Call, wanted: WantedBlob, served: ServedBlob) -> pb.ResolveBlobsResponse.Answer:
        # A signature takes much of the time of such a read.
        is_held = wanted.held_generation == served.generation
        blob = pb.ResolveBlobsResponse.Served(
            grant="" if is_held else self._grant(call, wanted, served),
            size_bytes=served.size,
            media_type=served.media_type,
            generation=served.generation,
        )
        return pb.ResolveBlobsResponse.Answer(blob=blob)

    def _grant(self, call: Call, wanted: WantedBlob, served: ServedBlob) -> str:
        grant = Grant(
            subject=call.actor.subject,
            repository=wanted.repository,
            project_id=wanted.project_id,
            digest=served.digest,
            generation=served.generation,
            size=served.size,
        )
        return self._signer.sign(grant).text

    async def QuarantineBlob(self, request: pb.QuarantineBlobRequest, context: Context) -> pb.QuarantineBlobResponse:
        quarantined = await quarantine_found(self._ports, held(current_call().finding))
        return pb.QuarantineBlobResponse(quarantined=quarantined)

    async def UnlinkBlob(self, request: pb.UnlinkBlobRequest, context: Context) -> pb.UnlinkBlobResponse:
        await unlink_blob(
            self._ports,
            project_id=authorized_project(current_call()).id,
            repository=str(to_repository_name(request.repository)),
            digest=str(to_digest(request.digest)),
        )
        return pb.UnlinkBlobResponse()


def _wanted(
    call: Call, request: pb.ResolveBlobRequest | pb.ResolveBlobsRequest.Member, held_generation: int = 0
) -> WantedBlob:
    return WantedBlob(
        project_id=authorized_project(call).id,
        repository=str(to_repository_name(request.repository)),
        digest=str(to_digest(request.digest)),
        held_generation=held_generation,
    )


def _wanted_member(call: Call, member: pb.ResolveBlobsRequest.Member) -> WantedBlob:
    return _wanted(call, member, member.held_generation)

"""Reads of manifests and blobs from metasvc."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import grpc.aio
from google.protobuf.message import Message

from gateway.clients.reads.batch_streams import BatchStreams
from gateway.clients.reads.gatherer import Gatherer
from gateway.clients.reads.manifest_cache import ManifestCache
from gateway.clients.reads.metrics import FAILED, ReadMetrics
from gateway.clients.reads.placement_cache import PlacementCache
from roadstead.access.v1.member_pb2 import ComeAlone, MemberCall
from roadstead.meta.v1 import blob_link_service_pb2 as blob_pb
from roadstead.meta.v1 import manifest_service_pb2 as manifest_pb
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from svckit.access.call import serving
from svckit.errors import DomainError
from svckit.errors.status import from_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.clients.reads.manifest_cache import HeldManifest
    from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceAsyncStub
    from roadstead.meta.v1.manifest_pb2 import Manifest
    from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceAsyncStub
    from svckit.access.call import Call

K = TypeVar("K", bound=Message)
A = TypeVar("A")

_MANIFESTS: Final = "manifests"
_BLOBS: Final = "blobs"
# If a batch fails for one of these reasons, each of its members would have failed alone, too. Any other failure may be
# the fault of one member, or of a metasvc that does not know the RPC yet.
_OF_EVERYBODY: Final = frozenset({"UNAVAILABLE", "OVERLOADED"})


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it was pushed.

    Attributes:
        digest: of the content.
        media_type: as it was pushed.
        size_bytes: of the content.
        content: the exact bytes; empty if they were not requested.
    """

    digest: str
    media_type: str
    size_bytes: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResolvedBlob:
    """A blob that a repository serves.

    Attributes:
        repository: the full name of the repository.
        digest: the digest of the blob.
        generation: the one that is served.
        grant: the right to read it; empty if the placement of this generation was kept. `repr` hides it.
        size_bytes: the size of the blob.
        media_type: its type in a manifest; empty if no manifest refers to it.
    """

    repository: str
    digest: str
    generation: int
    grant: str = field(repr=False)
    size_bytes: int
    media_type: str


class Reads:
    """Asks metasvc what references name, and whether repositories serve blobs. Reads at the same time share RPCs.

    Each read has its own `Call`: its token, request id, client address and deadline go with it, and metasvc judges,
    answers, logs and counts each for itself. Nothing about a right is remembered here.

    Attributes:
        placements: where the files of blobs are. Who reads the files keeps and forgets placements.
    """

    def __init__(self, metasvc: grpc.aio.Channel, cache: ManifestCache, metrics: ReadMetrics) -> None:
        """Takes the channel to metasvc, the bytes that are held, and the metrics."""
        self.placements = PlacementCache()
        self._manifests: ManifestServiceAsyncStub = ManifestServiceStub(metasvc)
        self._blobs: BlobLinkServiceAsyncStub = BlobLinkServiceStub(metasvc)
        self._cache = cache
        self._metrics = metrics
        metrics.watch_cache(lambda: cache.held_bytes)
        self._manifest_streams: BatchStreams[
            manifest_pb.ResolveManifestBatchesRequest, manifest_pb.ResolveManifestBatchesResponse
        ] = BatchStreams(self._manifests.ResolveManifestBatches)
        self._blob_streams: BatchStreams[blob_pb.ResolveBlobBatchesRequest, blob_pb.ResolveBlobBatchesResponse] = (
            BatchStreams(self._blobs.ResolveBlobBatches)
        )
        self._gathered_manifests = Gatherer(self._send_manifests, metrics.batches[_MANIFESTS])
        self._gathered_blobs = Gatherer(self._send_blobs, metrics.batches[_BLOBS])

    async def manifest(self, call: Call, repository: str, reference: str, *, omit_content: bool) -> StoredManifest:
        """The manifest that a tag or digest names.

        Args:
            call: whose read it is.
            repository: the full name of the repository.
            reference: a tag or digest.
            omit_content: whether the bytes are left out, as for HEAD.

        Raises:
            DomainError: MANIFEST_UNKNOWN, NAME_UNKNOWN, INSUFFICIENT_SCOPE.
        """
        held = None if omit_content else self._cache.find(repository, reference)
        member = manifest_pb.ResolveManifestsRequest.Member(
            call=_member_call(call),
            repository=repository,
            reference=reference,
            omit_content=omit_content,
            held_digest="" if held is None else held.digest,
        )
        answer = await _unless_failed(self._gathered_manifests, member, call.deadline)
        outcome = None if answer is None else answer.WhichOneof("outcome")
        if answer is None or outcome == "come_alone":
            self._metrics.sent_alone(_MANIFESTS, FAILED if answer is None else _reason(answer.come_alone))
            request = manifest_pb.ResolveManifestRequest(
                repository=repository, reference=reference, omit_content=omit_content
            )
            with serving(call):
                found = (await self._manifests.ResolveManifest(request)).manifest
        elif outcome == "error":
            raise from_status(answer.error)
        else:
            found = answer.manifest
        content = b"" if omit_content else self._content(repository, reference, found, held)
        return StoredManifest(found.digest, found.media_type, found.size_bytes, content)

    def _content(self, repository: str, reference: str, found: Manifest, held: HeldManifest | None) -> bytes:
        if held is not None and held.digest == found.digest:
            self._metrics.cache_hits.inc()
            return held.content
        self._metrics.cache_misses.inc()
        content = found.content
        self._cache.keep(repository, reference, found.digest, content)
        return content

    async def blob(self, call: Call, repository: str, digest: str, *, needs_grant: bool = False) -> ResolvedBlob:
        """Finds a blob in a repository.

        Args:
            call: whose read it is.
            repository: the full name of the repository.
            digest: the digest of the blob.
            needs_grant: whether there must be a grant even if the placement of the blob is kept.

        Raises:
            DomainError: BLOB_UNKNOWN, NAME_UNKNOWN, INSUFFICIENT_SCOPE.
        """
        kept = None if needs_grant else self.placements.find(digest)
        member = blob_pb.ResolveBlobsRequest.Member(
            call=_member_call(call),
            repository=repository,
            digest=digest,
            held_generation=0 if kept is None else kept.generation,
        )
        answer = await _unless_failed(self._gathered_blobs, member, call.deadline)
        outcome = None if answer is None else answer.WhichOneof("outcome")
        found: blob_pb.ResolveBlobResponse | blob_pb.ResolveBlobsResponse.Served
        if answer is None or outcome == "come_alone":
            self._metrics.sent_alone(_BLOBS, FAILED if answer is None else _reason(answer.come_alone))
            with serving(call):
                found = await self._blobs.ResolveBlob(blob_pb.ResolveBlobRequest(repository=repository, digest=digest))
        elif outcome == "error":
            raise from_status(answer.error)
        else:
            found = answer.blob
        return ResolvedBlob(repository, digest, found.generation, found.grant, found.size_bytes, found.media_type)

    async def _send_manifests(
        self, members: Sequence[manifest_pb.ResolveManifestsRequest.Member], seconds: float | None
    ) -> Sequence[manifest_pb.ResolveManifestsResponse.Answer]:
        batch = manifest_pb.ResolveManifestBatchesRequest(members=members)
        if (streamed := await self._manifest_streams.ask(batch, seconds)) is not None:
            return streamed.answers
        request = manifest_pb.ResolveManifestsRequest(members=members)
        return (await self._manifests.ResolveManifests(request, timeout=seconds)).answers

    async def _send_blobs(
        self, members: Sequence[blob_pb.ResolveBlobsRequest.Member], seconds: float | None
    ) -> Sequence[blob_pb.ResolveBlobsResponse.Answer]:
        batch = blob_pb.ResolveBlobBatchesRequest(members=members)
        if (streamed := await self._blob_streams.ask(batch, seconds)) is not None:
            return streamed.answers
        request = blob_pb.ResolveBlobsRequest(members=members)
        return (await self._blobs.ResolveBlobs(request, timeout=seconds)).answers


def _member_call(call: Call) -> MemberCall:
    remaining = 0 if call.deadline is None else max(1, int((call.deadline - time.monotonic()) * 1000))
    return MemberCall(
        token=call.token or "",
        request_id=call.request_id,
        traceparent=call.traceparent or "",
        client_address=call.client_address,
        timeout_milliseconds=remaining,
    )


async def _unless_failed(gatherer: Gatherer[K, A], member: K, deadline: float | None) -> A | None:
    """The answer to a member; None if its batch has failed for a reason that may not be the member's own."""
    try:
        return await gatherer.ask(member, member.ByteSize(), deadline)
    except DomainError as error:
        if error.reason in _OF_EVERYBODY:
            raise
        return None


def _reason(come_alone: ComeAlone.ValueType) -> str:
    return ComeAlone.Name(come_alone).removeprefix("COME_ALONE_").lower()

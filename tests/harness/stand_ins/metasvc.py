"""The RPCs of metasvc that the gateway calls for /v2."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from blobsvc.domain.model import BlobKey
from roadstead.meta.v1 import blob_link_service_pb2 as link_pb
from roadstead.meta.v1 import manifest_pb2
from roadstead.meta.v1 import manifest_service_pb2 as manifest_pb
from roadstead.meta.v1 import quota_service_pb2 as quota_pb
from roadstead.meta.v1 import referrer_service_pb2 as referrer_pb
from roadstead.meta.v1 import repository_service_pb2 as repository_pb
from roadstead.meta.v1 import tag_service_pb2 as tag_pb
from svckit.access.call import Call, current_call
from svckit.errors import DomainError, NotFound, error_for
from svckit.rpc.members import current_batch
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.authsvc import PROJECT_ID
from tests.harness.stand_ins.serving import StandIn

T = TypeVar("T")
F = TypeVar("F")


async def _at_once() -> None:
    """Does nothing."""


@dataclass
class Metasvc(StandIn):
    """Keeps manifests, tags and links in dictionaries.

    Attributes:
        findings: the digests of blobs that were said to be damaged. After that there are no links.
        after_finding: done before a finding is answered.
        batches: the members of each batch of reads, as they came.
        single_reads: how many reads came by an RPC of their own.
        batch_failure: fails batches as a whole.
        generation: the generation of all blobs that is served.
        allowed_size_bytes: what CheckUploadSize says is allowed.
        streams: how many streams for batches were opened.
        streamed_batches: how many batches came over them.
        before_streamed_answer: done before a batch of manifests that came over a stream is answered.
    """

    keyring: Keyring
    manifests: dict[tuple[str, str], manifest_pb2.Manifest] = field(default_factory=dict)
    links: dict[tuple[str, str], int] = field(default_factory=dict)
    media_types: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    referrers: list[manifest_pb2.Descriptor] = field(default_factory=list)
    puts: list[manifest_pb.PutManifestRequest] = field(default_factory=list)
    deletes: list[manifest_pb.DeleteManifestRequest] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    after_finding: Callable[[], None] = lambda: None
    failure: DomainError | None = None
    request_ids: list[str] = field(default_factory=list)
    quota_bytes: int | None = None
    checked_sizes: list[tuple[int, int]] = field(default_factory=list)
    batches: list[list[Any]] = field(default_factory=list)
    single_reads: int = 0
    batch_failure: DomainError | None = None
    generation: int = 1
    allowed_size_bytes: int = 0
    streams: int = 0
    streamed_batches: int = 0
    before_streamed_answer: Callable[[], Awaitable[None]] = _at_once

    async def ResolveManifest(
        self, request: manifest_pb.ResolveManifestRequest, context: object
    ) -> manifest_pb.ResolveManifestResponse:
        self._enter()
        self.single_reads += 1
        found = self.manifests.get((request.repository, request.reference))
        if found is None:
            raise NotFound("MANIFEST_UNKNOWN")
        answer = manifest_pb.ResolveManifestResponse(manifest=found)
        if request.omit_content:
            answer.manifest.content = b""
        return answer

    async def ResolveManifests(
        self, request: manifest_pb.ResolveManifestsRequest, context: object
    ) -> manifest_pb.ResolveManifestsResponse:
        self._enter_batch(request)
        return manifest_pb.ResolveManifestsResponse(answers=await self._manifest_answers())

    async def ResolveManifestBatches(
        self, requests: AsyncIterator[manifest_pb.ResolveManifestBatchesRequest], context: object
    ) -> AsyncIterator[manifest_pb.ResolveManifestBatchesResponse]:
        self.streams += 1
        async for request in requests:
            self.streamed_batches += 1
            self._enter_batch(request)
            answers = await self._manifest_answers()
            await self.before_streamed_answer()
            yield manifest_pb.ResolveManifestBatchesResponse(answers=answers)

    async def _manifest_answers(self) -> list[manifest_pb.ResolveManifestsResponse.Answer]:
        return await current_batch().answer(_as_it_came, _each(self._find_manifest), _written_manifest)

    def _find_manifest(self, member: manifest_pb.ResolveManifestsRequest.Member) -> manifest_pb2.Manifest | DomainError:
        found = self.manifests.get((member.repository, member.reference))
        if found is None:
            return NotFound("MANIFEST_UNKNOWN")
        answer = manifest_pb2.Manifest()
        answer.CopyFrom(found)
        if member.omit_content or member.held_digest == found.digest:
            answer.content = b""
        return answer

    async def PutManifest(
        self, request: manifest_pb.PutManifestRequest, context: object
    ) -> manifest_pb.PutManifestResponse:
        self._enter()
        self.puts.append(request)
        digest = f"sha256:{hashlib.sha256(request.content).hexdigest()}"
        stored = manifest_pb2.Manifest(
            digest=digest, media_type=request.media_type, size_bytes=len(request.content), content=request.content
        )
        for reference in {digest, request.reference, *request.tags}:
            self.manifests[request.repository, reference] = stored
        subject = "sha256:" + "5" * 64 if b"subject" in request.content else ""
        return manifest_pb.PutManifestResponse(digest=digest, tags=request.tags, subject_digest=subject)

    async def DeleteManifest(
        self, request: manifest_pb.DeleteManifestRequest, context: object
    ) -> manifest_pb.DeleteManifestResponse:
        self._enter()
        self.deletes.append(request)
        if self.manifests.pop((request.repository, request.reference), None) is None:
            raise NotFound("MANIFEST_UNKNOWN")
        return manifest_pb.DeleteManifestResponse()

    async def ResolveBlob(self, request: link_pb.ResolveBlobRequest, context: object) -> link_pb.ResolveBlobResponse:
        self._enter()
        self.single_reads += 1
        served = self._serve(current_call(), request)
        return link_pb.ResolveBlobResponse(
            grant=served.grant,
            size_bytes=served.size_bytes,
            media_type=served.media_type,
            generation=served.generation,
        )

    async def ResolveBlobs(self, request: link_pb.ResolveBlobsRequest, context: object) -> link_pb.ResolveBlobsResponse:
        self._enter_batch(request)
        return link_pb.ResolveBlobsResponse(answers=await self._blob_answers())

    async def ResolveBlobBatches(
        self, requests: AsyncIterator[link_pb.ResolveBlobBatchesRequest], context: object
    ) -> AsyncIterator[link_pb.ResolveBlobBatchesResponse]:
        self.streams += 1
        async for request in requests:
            self.streamed_batches += 1
            self._enter_batch(request)
            yield link_pb.ResolveBlobBatchesResponse(answers=await self._blob_answers())

    async def _blob_answers(self) -> list[link_pb.ResolveBlobsResponse.Answer]:
        def written(
            call: Call, member: link_pb.ResolveBlobsRequest.Member, _: object
        ) -> link_pb.ResolveBlobsResponse.Answer:
            return link_pb.ResolveBlobsResponse.Answer(blob=self._serve(call, member))

        return await current_batch().answer(_as_it_came, _each(lambda member: member), written)

    def _serve(
        self, call: Call, request: link_pb.ResolveBlobRequest | link_pb.ResolveBlobsRequest.Member
    ) -> link_pb.ResolveBlobsResponse.Served:
        size = self.links.get((request.repository, request.digest))
        if size is None:
            raise NotFound("BLOB_UNKNOWN")
        held = request.held_generation if isinstance(request, link_pb.ResolveBlobsRequest.Member) else 0
        grant = self.keyring.grant(
            BlobKey.of(request.digest, self.generation),
            size,
            repository=request.repository,
            project_id=PROJECT_ID,
            subject=call.principal.subject,
        )
        media_type = self.media_types.get(request.digest, "")
        return link_pb.ResolveBlobsResponse.Served(
            grant="" if held == self.generation else grant,
            size_bytes=size,
            media_type=media_type,
            generation=self.generation,
        )

    async def QuarantineBlob(
        self, request: link_pb.QuarantineBlobRequest, context: object
    ) -> link_pb.QuarantineBlobResponse:
        self._enter()
        finding = current_call().finding
        assert finding is not None
        self.findings.append(finding.digest)
        self.links.clear()
        self.after_finding()
        return link_pb.QuarantineBlobResponse(quarantined=True)

    async def MountBlob(self, request: link_pb.MountBlobRequest, context: object) -> link_pb.MountBlobResponse:
        self._enter()
        token = current_call().principal.registry
        source = request.from_repository
        size = self.links.get((source, request.digest))
        if size is None or token is None or token.allowed("repository", source, "pull") is None:
            return link_pb.MountBlobResponse()
        self.links[request.repository, request.digest] = size
        return link_pb.MountBlobResponse(mounted=True, size_bytes=size)

    async def LinkBlob(self, request: link_pb.LinkBlobRequest, context: object) -> link_pb.LinkBlobResponse:
        self._enter()
        receipt = current_call().receipt
        assert receipt is not None
        self.links[request.repository, receipt.digest] = receipt.size
        return link_pb.LinkBlobResponse(digest=receipt.digest, size_bytes=receipt.size)

    async def CheckUploadSize(
        self, request: quota_pb.CheckUploadSizeRequest, context: object
    ) -> quota_pb.CheckUploadSizeResponse:
        self._enter()
        self.checked_sizes.append((request.project_id, request.size_bytes))
        if self.quota_bytes is not None and request.size_bytes > self.quota_bytes:
            raise error_for("QUOTA_EXCEEDED")
        return quota_pb.CheckUploadSizeResponse(allowed_size_bytes=self.allowed_size_bytes)

    async def UnlinkBlob(self, request: link_pb.UnlinkBlobRequest, context: object) -> link_pb.UnlinkBlobResponse:
        self._enter()
        if self.links.pop((request.repository, request.digest), None) is None:
            raise NotFound("BLOB_UNKNOWN")
        return link_pb.UnlinkBlobResponse()

    async def ListTagNames(self, request: tag_pb.ListTagNamesRequest, context: object) -> tag_pb.ListTagNamesResponse:
        self._enter()
        names = [name for name in sorted(self.tags) if name > request.start_after]
        limit = request.limit if request.HasField("limit") else len(names)
        return tag_pb.ListTagNamesResponse(names=names[:limit], has_more=len(names) > limit)

    async def ListCatalog(
        self, request: repository_pb.ListCatalogRequest, context: object
    ) -> repository_pb.ListCatalogResponse:
        self._enter()
        names = [name for name in sorted(self.repositories) if name > request.start_after]
        size = request.page_size
        return repository_pb.ListCatalogResponse(repositories=names[:size], has_more=len(names) > size)

    async def ListReferrers(
        self, request: referrer_pb.ListReferrersRequest, context: object
    ) -> referrer_pb.ListReferrersResponse:
        self._enter()
        found = [each for each in self.referrers if request.artifact_type in {"", each.artifact_type}]
        start = int(request.page_token or 0)
        end = start + request.page_size
        following = str(end) if end < len(found) else ""
        return referrer_pb.ListReferrersResponse(referrers=found[start:end], next_page_token=following)

    def _enter(self) -> None:
        self.request_ids.append(current_call().request_id)
        self._fail()

    def _enter_batch(
        self,
        request: manifest_pb.ResolveManifestsRequest
        | manifest_pb.ResolveManifestBatchesRequest
        | link_pb.ResolveBlobsRequest
        | link_pb.ResolveBlobBatchesRequest,
    ) -> None:
        self.request_ids += [member.call.request_id for member in current_batch().members]
        self.batches.append(list(request.members))
        if self.batch_failure is not None:
            raise self.batch_failure
        self._fail()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _as_it_came(_call: Call, member: T) -> T:
    return member


def _each(find: Callable[[T], F]) -> Callable[[Sequence[T]], Awaitable[list[F]]]:
    """Finds what each member wants."""

    async def find_all(members: Sequence[T]) -> list[F]:
        return [find(member) for member in members]

    return find_all


def _written_manifest(
    _call: Call, _member: object, found: manifest_pb2.Manifest
) -> manifest_pb.ResolveManifestsResponse.Answer:
    return manifest_pb.ResolveManifestsResponse.Answer(manifest=found)

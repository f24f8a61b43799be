"""Stand-ins for the three services, at the gRPC boundary: real servers and real rules, dictionaries behind them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from blobsvc.domain.model import BlobKey
from roadstead.auth.v1 import token_service_pb2 as token_pb
from roadstead.blob.v1 import blob_service_pb2 as blob_pb
from roadstead.blob.v1 import upload_service_pb2 as upload_pb
from roadstead.meta.v1 import blob_link_service_pb2 as link_pb
from roadstead.meta.v1 import manifest_pb2
from roadstead.meta.v1 import manifest_service_pb2 as manifest_pb
from roadstead.meta.v1 import referrer_service_pb2 as referrer_pb
from roadstead.meta.v1 import repository_service_pb2 as repository_pb
from roadstead.meta.v1 import tag_service_pb2 as tag_pb
from svckit.access.call import Call, current_call
from svckit.errors import DomainError, NotFound, Unauthenticated, error_for
from svckit.rpc import RpcServer
from svckit.tokens import Access, RegistryToken, UploadTicket
from tests.harness.keyring import Keyring

PROJECT_ID = 7
_MAKE: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
}


def add(server: RpcServer, service: str, servicer: object) -> None:
    """Registers those methods of a contract that the stand-in has."""
    described = descriptor_pool.Default().FindServiceByName(service)
    handlers = {
        method.name: _MAKE[method.client_streaming, method.server_streaming](
            getattr(servicer, method.name),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in described.methods
        if hasattr(servicer, method.name)
    }

    def register(_: object, registrar: Any) -> None:
        registrar.add_registered_method_handlers(service, handlers)

    server.add(register, servicer)


@dataclass
class Authsvc:
    """Knows alice, and what she may do.

    Attributes:
        keyring: signs registry tokens.
        allowed: by repository, what alice may do there.
        public: what anybody may pull.
        asked: the requests that came; `calls` how they came.
    """

    keyring: Keyring
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    asked: list[token_pb.CreateRegistryTokenRequest] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    failure: DomainError | None = None

    async def CreateRegistryToken(
        self, request: token_pb.CreateRegistryTokenRequest, context: object
    ) -> token_pb.CreateRegistryTokenResponse:
        self.asked.append(request)
        self.calls.append(current_call())
        if self.failure is not None:
            raise self.failure
        subject = "anonymous"
        if request.HasField("credentials"):
            password = request.credentials.password
            if (password.username, password.secret) != ("alice", "open sesame"):
                raise Unauthenticated("UNAUTHORIZED", "wrong name or password")
            subject = "user:7"
        access = tuple(self._granted(subject, request.scopes))
        token = self.keyring.sign("authsvc", RegistryToken(subject=subject, access=access))
        answer = token_pb.CreateRegistryTokenResponse(token=token, expires_in_seconds=1800)
        answer.issue_time.FromSeconds(1_700_000_000)
        for each in access:
            answer.access.add(type=each.type, name=each.name, actions=sorted(each.actions))
        return answer

    def _granted(self, subject: str, scopes: Any) -> Iterator[Access]:
        for scope in scopes:
            kind, name, actions = scope.split(":")
            may = self.allowed.get(name, frozenset()) if subject != "anonymous" else frozenset()
            if name in self.public:
                may |= {"pull"}
            given = may & frozenset(actions.split(","))
            if kind == "registry" and subject != "anonymous":
                yield Access("registry", name, frozenset({"*"}))
            elif given:
                yield Access("repository", name, given, PROJECT_ID)


@dataclass
class Metasvc:
    """Keeps manifests, tags and links in dictionaries."""

    keyring: Keyring
    manifests: dict[tuple[str, str], manifest_pb2.Manifest] = field(default_factory=dict)
    links: dict[tuple[str, str], int] = field(default_factory=dict)
    media_types: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    referrers: list[manifest_pb2.Descriptor] = field(default_factory=list)
    puts: list[manifest_pb.PutManifestRequest] = field(default_factory=list)
    failure: DomainError | None = None
    request_ids: list[str] = field(default_factory=list)

    async def ResolveManifest(
        self, request: manifest_pb.ResolveManifestRequest, context: object
    ) -> manifest_pb.ResolveManifestResponse:
        self._enter()
        found = self.manifests.get((request.repository, request.reference))
        if found is None:
            raise NotFound("MANIFEST_UNKNOWN")
        answer = manifest_pb.ResolveManifestResponse(manifest=found)
        if request.omit_content:
            answer.manifest.content = b""
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
        if self.manifests.pop((request.repository, request.reference), None) is None:
            raise NotFound("MANIFEST_UNKNOWN")
        return manifest_pb.DeleteManifestResponse()

    async def ResolveBlob(self, request: link_pb.ResolveBlobRequest, context: object) -> link_pb.ResolveBlobResponse:
        self._enter()
        size = self.links.get((request.repository, request.digest))
        if size is None:
            raise NotFound("BLOB_UNKNOWN")
        grant = self.keyring.grant(
            BlobKey.of(request.digest, 1),
            size,
            repository=request.repository,
            project_id=PROJECT_ID,
            subject=current_call().principal.subject,
        )
        return link_pb.ResolveBlobResponse(
            grant=grant,
            size_bytes=size,
            media_type=self.media_types.get(request.digest, ""),
        )

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
        if self.failure is not None:
            raise self.failure


@dataclass
class Blobsvc:
    """Keeps bytes in dictionaries.

    Attributes:
        keyring: signs tickets and receipts.
        blobs: by digest.
        uploads: by upload id.
        breaks_after: bytes of a read after which the stream fails.
        waits_for: what a write waits for before it takes any bytes.
        finished: digest by upload id.
    """

    keyring: Keyring
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    breaks_after: int | None = None
    waits_for: asyncio.Event | None = None
    finished: dict[str, str] = field(default_factory=dict)
    algorithms: list[str] = field(default_factory=list)
    offsets: list[int | None] = field(default_factory=list)

    async def StartUpload(
        self, request: upload_pb.StartUploadRequest, context: object
    ) -> upload_pb.StartUploadResponse:
        self.algorithms.append(request.digest_algorithm)
        upload_id = f"upload-{len(self.uploads) + len(self.finished) + 1}"
        self.uploads[upload_id] = bytearray()
        ticket = self.keyring.ticket(
            upload_id, request.repository, project_id=PROJECT_ID, subject=current_call().principal.subject
        )
        answer = upload_pb.StartUploadResponse()
        answer.upload.id = upload_id
        answer.upload.ticket = ticket
        return answer

    async def WriteUpload(
        self, requests: AsyncIterator[upload_pb.WriteUploadRequest], context: object
    ) -> upload_pb.WriteUploadResponse:
        header = (await anext(requests)).header
        ticket = current_call().present(header.ticket)
        assert isinstance(ticket, UploadTicket)
        upload = self._upload(ticket.upload_id)
        self.offsets.append(header.offset if header.HasField("offset") else None)
        if header.HasField("offset") and header.offset != len(upload):
            raise error_for("RANGE_INVALID", metadata={"committed_size": str(len(upload))})
        async for request in requests:
            if self.waits_for is not None:
                await self.waits_for.wait()
            upload += request.data
        return upload_pb.WriteUploadResponse(committed_size_bytes=len(upload))

    async def GetUploadStatus(
        self, request: upload_pb.GetUploadStatusRequest, context: object
    ) -> upload_pb.GetUploadStatusResponse:
        ticket = current_call().ticket
        assert ticket is not None
        return upload_pb.GetUploadStatusResponse(committed_size_bytes=len(self._upload(ticket.upload_id)))

    async def FinishUpload(
        self, request: upload_pb.FinishUploadRequest, context: object
    ) -> upload_pb.FinishUploadResponse:
        ticket = current_call().ticket
        assert ticket is not None
        if self.finished.get(ticket.upload_id) != request.digest:
            content = bytes(self._upload(ticket.upload_id))
            algorithm = request.digest.partition(":")[0]
            if f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" != request.digest:
                raise error_for("DIGEST_INVALID")
            if request.HasField("expected_size_bytes") and request.expected_size_bytes != len(content):
                raise error_for("SIZE_INVALID")
            del self.uploads[ticket.upload_id]
            self.finished[ticket.upload_id] = request.digest
            self.blobs[request.digest] = content
        size = len(self.blobs[request.digest])
        receipt = self.keyring.receipt(
            ticket.repository, request.digest, size=size, project_id=ticket.project_id, subject=ticket.subject
        )
        return upload_pb.FinishUploadResponse(receipt=receipt, size_bytes=size)

    async def CancelUpload(
        self, request: upload_pb.CancelUploadRequest, context: object
    ) -> upload_pb.CancelUploadResponse:
        ticket = current_call().ticket
        assert ticket is not None
        self._upload(ticket.upload_id)
        del self.uploads[ticket.upload_id]
        return upload_pb.CancelUploadResponse()

    async def ReadBlob(
        self, request: blob_pb.ReadBlobRequest, context: object
    ) -> AsyncIterator[blob_pb.ReadBlobResponse]:
        grant = current_call().grant
        assert grant is not None
        content = self.blobs.get(grant.digest)
        if content is None:
            raise NotFound("BLOB_UNKNOWN")
        end = request.offset + request.limit if request.limit else len(content)
        sent = 0
        for start in range(request.offset, end, 1024 * 1024):
            if self.breaks_after is not None and sent >= self.breaks_after:
                raise RuntimeError("the disk is gone")
            piece = content[start : min(start + 1024 * 1024, end)]
            sent += len(piece)
            yield blob_pb.ReadBlobResponse(data=piece)

    def _upload(self, upload_id: str) -> bytearray:
        upload = self.uploads.get(upload_id)
        if upload is None:
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        return upload


METHODS_OF = {
    "authsvc": ("roadstead.auth.v1.TokenService",),
    "metasvc": (
        "roadstead.meta.v1.ManifestService",
        "roadstead.meta.v1.BlobLinkService",
        "roadstead.meta.v1.TagService",
        "roadstead.meta.v1.RepositoryService",
        "roadstead.meta.v1.ReferrerService",
    ),
    "blobsvc": ("roadstead.blob.v1.UploadService", "roadstead.blob.v1.BlobService"),
}

"""The ports of blobsvc over gRPC: the same roles, played by a client of the service."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry

from blobsvc.domain.damage import DamagedBlobError
from blobsvc.domain.generation import Generation
from blobsvc.domain.listing import BLOBS, UNLINKED, position_of, token_after
from blobsvc.domain.model import (
    BlobKey,
    BlobPage,
    ExpiredPage,
    StoredBlob,
    UnfinishedUpload,
    UnlinkedBlob,
    Upload,
    UploadId,
    UploadOwner,
)
from blobsvc.domain.placement import (
    HttpHeader,
    PlacementKind,
    ReadFilePlacement,
    ReadPlacement,
    ReadUrlPlacement,
    StreamPlacement,
    UrlPart,
    WriteFilePlacement,
    WritePlacement,
    WriteUrlPlacement,
)
from blobsvc.domain.ports import BlobAdmin, Capacity, LocatedBlob, OpenedBlob, UploadFollower
from gateway.clients.blob_folder import BlobFolder
from gateway.clients.recent_configs import RecentConfigs
from gateway.clients.upload import UploadClient
from gateway.clients.upload_file import FileUpload
from gateway.wire.measure import HttpMetrics
from roadstead.blob.v1 import placement_pb2
from roadstead.blob.v1.blob_pb2 import Blob, BlobGeneration
from roadstead.blob.v1.blob_service_pb2 import (
    DeleteBlobRequest,
    GetCapacityRequest,
    ListBlobsRequest,
    ListUnlinkedRequest,
    LocateBlobRequest,
    ReadBlobRequest,
    SettleGenerationsRequest,
    StatBlobRequest,
    StatBlobsRequest,
)
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.blob.v1.upload_service_pb2 import (
    AppendUploadRequest,
    CancelUploadRequest,
    FinishUploadRequest,
    GetUploadStatusRequest,
    StartUploadRequest,
    WriteUploadRequest,
    WriteUploadResponse,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.access.call import Call, serving
from svckit.errors import DomainError, NotFound
from svckit.oci.digest import Digest
from svckit.rpc import RpcChannel
from svckit.tokens import Finding, Receipt
from tests.harness.keyring import REPOSITORY, SUBJECT, Keyring, Metadata, bearer


class RemoteBlobs:
    """`domain.ports.BlobReader`: makes the grants that metasvc would."""

    def __init__(self, channel: RpcChannel, keyring: Keyring) -> None:
        self._stub = BlobServiceStub(channel)
        self._keyring = keyring
        self.known_sizes: dict[BlobKey, int] = {}

    async def stat(self, key: BlobKey) -> StoredBlob:
        request = StatBlobRequest(grant=self._grant(key))
        with self._findings():
            return _stored((await self._stub.StatBlob(request, metadata=self._metadata())).blob)

    async def sizes(self, keys: Sequence[BlobKey]) -> list[int | None]:
        names = [BlobGeneration(digest=str(key.digest), generation=key.generation.number) for key in keys]
        metadata = (("x-roadstead-service", self._keyring.service_token("metasvc")),)
        answer = await self._stub.StatBlobs(StatBlobsRequest(blobs=names), metadata=metadata)
        return [stat.size_bytes if stat.exists else None for stat in answer.stats]

    @contextmanager
    def _findings(self) -> Iterator[None]:
        """Turns a signed finding into the error that a store raises."""
        try:
            yield
        except DomainError as error:
            if error.reason != "BLOB_DAMAGED":
                raise
            finding = self._keyring.verifier().verify(error.metadata["finding"], Finding)
            if finding.damage == "missing":
                raise NotFound("BLOB_UNKNOWN") from error
            raise DamagedBlobError(finding.damage) from error

    async def locate(self, key: BlobKey, kinds: Collection[PlacementKind] | None = None) -> LocatedBlob:
        wanted = (
            []
            if kinds is None
            else [placement_pb2.PlacementKind.Value(f"PLACEMENT_KIND_{kind.name}") for kind in kinds]
        )
        request = LocateBlobRequest(grant=self._grant(key), kinds=wanted)
        with self._findings():
            response = await self._stub.LocateBlob(request, metadata=self._metadata())
        blob = await self.stat(key)
        assert response.size_bytes == blob.size_bytes
        return LocatedBlob(blob, tuple(_read_placement(placement) for placement in response.placements))

    @asynccontextmanager
    async def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AsyncIterator[OpenedBlob]:
        blob = await self.stat(key)
        request = ReadBlobRequest(grant=self._grant(key), offset=offset, limit=limit)
        call = self._stub.ReadBlob(request, metadata=self._metadata())
        # What is refused is refused before the first byte.
        messages = aiter(call)
        with self._findings():
            first = await anext(messages, None)

        async def chunks() -> AsyncIterator[bytes]:
            if first is not None:
                yield first.data
                with self._findings():
                    async for message in messages:
                        yield message.data

        try:
            yield OpenedBlob(blob, chunks())
        finally:
            call.cancel()

    def _grant(self, key: BlobKey) -> str:
        return self._keyring.grant(key, self.known_sizes.get(key, 0), subject=SUBJECT)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return bearer(self._keyring.registry_token(("library/app", "pull", 1), subject=SUBJECT))


WriteCall = grpc.aio.StreamUnaryCall[WriteUploadRequest, WriteUploadResponse]


class RemoteAppender:
    """`domain.ports.UploadAppender`: one stream of WriteUpload."""

    def __init__(self, call: WriteCall) -> None:
        self._call = call

    async def append(self, data: bytes) -> None:
        await self._call.write(WriteUploadRequest(data=data))

    async def commit(self) -> int:
        await self._call.done_writing()
        return (await self._call).committed_size_bytes


class RemoteUploads:
    """`domain.ports.UploadWriter`: makes the registry tokens that authsvc would."""

    def __init__(self, channel: RpcChannel, keyring: Keyring, blobs: RemoteBlobs) -> None:
        self._stub = UploadServiceStub(channel)
        self._keyring = keyring
        self._blobs = blobs
        self._tickets: dict[UploadId, str] = {}
        self._owners: dict[UploadId, UploadOwner] = {}
        self._finished: dict[BlobKey, StoredBlob] = {}
        self._placements: dict[UploadId, tuple[WritePlacement, ...]] = {}

    async def start(self, owner: UploadOwner, algorithm: str) -> Upload:
        request = StartUploadRequest(repository=owner.repository, digest_algorithm=algorithm)
        response = await self._stub.StartUpload(request, metadata=self._metadata_of(owner))
        upload_id = UploadId(response.upload.id)
        self._owners[upload_id] = owner
        self._tickets[upload_id] = response.upload.ticket
        self._placements[upload_id] = tuple(_write_placement(placement) for placement in response.placements)
        # The generation stays the service's own until a receipt names it.
        return Upload(upload_id, owner, algorithm, Generation(1), datetime.now(UTC))

    @asynccontextmanager
    async def open(self, upload_id: UploadId, offset: int | None = None) -> AsyncIterator[RemoteAppender]:
        call = self._stub.WriteUpload(metadata=self._metadata(upload_id))
        header = WriteUploadRequest.Header(ticket=self._ticket(upload_id), offset=offset)
        try:
            await call.write(WriteUploadRequest(header=header))
            yield RemoteAppender(call)
        finally:
            call.cancel()

    async def append(self, upload_id: UploadId, data: bytes, offset: int | None = None) -> int:
        request = AppendUploadRequest(ticket=self._ticket(upload_id), data=data, offset=offset)
        return (await self._stub.AppendUpload(request, metadata=self._metadata(upload_id))).committed_size_bytes

    def follow(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadFollower]:
        """Not a role of clients: `RemoteFileUploads` calls the RPC."""
        raise NotImplementedError

    async def placements(self, upload: Upload) -> tuple[WritePlacement, ...]:
        return self._placements[upload.id]

    async def status(self, upload_id: UploadId) -> int:
        request = GetUploadStatusRequest(ticket=self._ticket(upload_id))
        return (await self._stub.GetUploadStatus(request, metadata=self._metadata(upload_id))).committed_size_bytes

    async def finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None = None) -> StoredBlob:
        request = FinishUploadRequest(
            ticket=self._ticket(upload_id), digest=str(digest), expected_size_bytes=expected_size_bytes
        )
        response = await self._stub.FinishUpload(request, metadata=self._metadata(upload_id))
        receipt = self._keyring.verifier().verify(response.receipt, Receipt)
        assert receipt.size == response.size_bytes
        key = BlobKey.of(receipt.digest, receipt.generation)
        self._blobs.known_sizes[key] = receipt.size
        if key not in self._finished:
            # A repeat answers from a record, so the blob may be gone by then.
            self._finished[key] = await self._blobs.stat(key)
        return self._finished[key]

    async def cancel(self, upload_id: UploadId) -> None:
        request = CancelUploadRequest(ticket=self._ticket(upload_id))
        await self._stub.CancelUpload(request, metadata=self._metadata(upload_id))

    def _owner(self, upload_id: UploadId) -> UploadOwner:
        return self._owners.get(upload_id, UploadOwner(REPOSITORY, 1, SUBJECT))

    def _metadata(self, upload_id: UploadId) -> Metadata:
        return self._metadata_of(self._owner(upload_id))

    def _metadata_of(self, owner: UploadOwner) -> Metadata:
        return bearer(self._token(owner))

    def _token(self, owner: UploadOwner) -> str:
        return self._keyring.registry_token((owner.repository, "push", owner.project_id), subject=owner.subject)

    def _ticket(self, upload_id: UploadId) -> str:
        return self._tickets.get(upload_id) or self._keyring.ticket(str(upload_id))


class RemoteFileUploads(RemoteUploads):
    """The same, but bytes are written into the staging file, by the code of the gateway."""

    def __init__(self, channel: RpcChannel, keyring: Keyring, blobs: RemoteBlobs, folder: Path) -> None:
        super().__init__(channel, keyring, blobs)
        metrics = HttpMetrics(CollectorRegistry())
        self.folder = BlobFolder(folder, metrics)
        self._client = UploadClient(channel, self.folder, metrics, RecentConfigs(), 0)

    @asynccontextmanager
    async def open(self, upload_id: UploadId, offset: int | None = None) -> AsyncIterator[FileUpload]:  # type: ignore[override]
        with serving(Call("PATCH", token=self._token(self._owner(upload_id)))):
            opening = self._client._file_upload(self.folder, self._ticket(upload_id), "", offset, None)
            async with opening as upload:
                assert upload is not None
                yield upload


class RemoteAdmin:
    """`domain.ports.BlobAdmin`, as jobsvc and metasvc call it. Only the service lists and expires sessions."""

    def __init__(self, jobsvc: RpcChannel, metasvc: RpcChannel, store: BlobAdmin) -> None:
        self._stub = BlobServiceStub(jobsvc)
        self._metasvc = BlobServiceStub(metasvc)
        self._store = store

    async def list(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[StoredBlob]:
        request = ListBlobsRequest(page_size=limit)
        if finished_before is not None:
            request.finished_before.FromDatetime(finished_before)
        if after is not None:
            request.page_token = token_after(after, BLOBS, finished_before)
        response = await self._stub.ListBlobs(request)
        token = response.next_page_token
        return BlobPage(
            tuple(_stored(blob) for blob in response.blobs),
            position_of(token, BLOBS, finished_before) if token else None,
        )

    async def capacity(self) -> Capacity:
        answer = await self._metasvc.GetCapacity(GetCapacityRequest())
        return Capacity(answer.total_bytes, answer.free_bytes)

    async def delete(self, key: BlobKey) -> None:
        await self._stub.DeleteBlob(DeleteBlobRequest(digest=str(key.digest), generation=key.generation.number))

    async def list_unfinished(self) -> Sequence[UnfinishedUpload]:
        return await self._store.list_unfinished()

    async def list_unlinked(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[UnlinkedBlob]:
        request = ListUnlinkedRequest(page_size=limit)
        if finished_before is not None:
            request.finished_before.FromDatetime(finished_before)
        if after is not None:
            request.page_token = token_after(after, UNLINKED, finished_before)
        response = await self._metasvc.ListUnlinked(request)
        token = response.next_page_token
        return BlobPage(
            tuple(
                UnlinkedBlob(_stored(each.blob), UploadOwner(each.repository, each.project_id, each.subject))
                for each in response.blobs
            ),
            position_of(token, UNLINKED, finished_before) if token else None,
        )

    async def settle(self, keys: Iterable[BlobKey]) -> None:
        generations = [BlobGeneration(digest=str(key.digest), generation=key.generation.number) for key in keys]
        await self._metasvc.SettleGenerations(SettleGenerationsRequest(generations=generations))

    async def expire_uploads(
        self,
        *,
        started_before: datetime,
        idle_since: datetime,
        finished_before: datetime,
        after: UploadId | None = None,
        limit: int = 1000,
        dry_run: bool = False,
    ) -> ExpiredPage:
        # The service takes these times from its settings.
        return await self._store.expire_uploads(
            started_before=started_before,
            idle_since=idle_since,
            finished_before=finished_before,
            after=after,
            limit=limit,
            dry_run=dry_run,
        )


def _stored(blob: Blob) -> StoredBlob:
    return StoredBlob(BlobKey.of(blob.digest, blob.generation), blob.size_bytes, _time(blob.create_time))


def _read_placement(message: placement_pb2.ReadPlacement) -> ReadPlacement:
    match message.WhichOneof("way"):
        case "stream":
            return StreamPlacement()
        case "file":
            file = message.file
            return ReadFilePlacement(file.path, file.store_id, file.inode, file.size_bytes)
        case "url":
            url = message.url
            return ReadUrlPlacement(url.url, _time(url.expire_time), _headers(url.headers), url.accepts_ranges)
        case _:
            raise AssertionError(message)


def _write_placement(message: placement_pb2.WritePlacement) -> WritePlacement:
    match message.WhichOneof("way"):
        case "stream":
            return StreamPlacement()
        case "file":
            file = message.file
            assert file.lock == placement_pb2.WritePlacement.LOCK_FLOCK
            return WriteFilePlacement(file.path, file.store_id, file.inode, file.committed_size_bytes)
        case "url":
            url = message.url
            return WriteUrlPlacement(
                tuple(UrlPart(part.number, part.url, _headers(part.headers)) for part in url.parts),
                url.minimum_part_size_bytes,
                url.maximum_part_size_bytes,
                _time(url.expire_time),
            )
        case _:
            raise AssertionError(message)


def _headers(messages: Iterable[placement_pb2.PlacementHeader]) -> tuple[HttpHeader, ...]:
    return tuple(HttpHeader(message.name, message.value) for message in messages)


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)

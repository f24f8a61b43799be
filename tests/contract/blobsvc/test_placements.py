"""Placements: which ways a store offers, and who is told of them, on every store and over gRPC."""

import fcntl
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey
from blobsvc.domain.placement import (
    STREAM_ONLY,
    PlacementKind,
    ReadFilePlacement,
    WriteFilePlacement,
)
from blobsvc.domain.ports import LocatedBlob
from roadstead.blob.v1 import placement_pb2
from roadstead.blob.v1.blob_service_pb2 import LocateBlobRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from svckit.oci.digest import SHA256, Digest
from svckit.rpc import RpcChannel, open_channel
from svckit.store_id import read_store_id
from tests.contract.blobsvc.conftest import Service, Store, file_store, serving
from tests.contract.blobsvc.placing import WRITE_URL, PlacingBlobs, PlacingUploads
from tests.contract.blobsvc.remote import RemoteBlobs, RemoteUploads
from tests.contract.blobsvc.steps import OWNER, append, push, read, refused
from tests.harness.keyring import bearer

DATA = b"placed bytes"


async def test_a_blob_is_offered_by_the_stream_with_its_size(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    located = await store.blobs.locate(blob.key)
    assert located.blob == blob
    assert located.placements[-1:] == STREAM_ONLY


async def test_a_store_of_files_offers_the_file_before_the_stream(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    async with file_store(folder) as files:
        blob = await push(files.uploads, DATA)
        file, *others = (await files.blobs.locate(blob.key)).placements
    assert isinstance(file, ReadFilePlacement)
    assert tuple(others) == STREAM_ONLY
    path = folder / file.path
    assert path.read_bytes() == DATA
    assert (path.stat().st_ino, path.stat().st_size) == (file.inode, file.size_bytes)
    assert file.store_id == read_store_id(folder)


async def test_a_blob_that_is_not_there_has_no_place(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    for key in (BlobKey(blob.digest, Generation(1)), BlobKey(Digest.of(b"never"), blob.generation)):
        with refused("BLOB_UNKNOWN"):
            await store.blobs.locate(key)
    await store.admin.delete(blob.key)
    with refused("BLOB_UNKNOWN"):
        await store.blobs.locate(blob.key)


async def test_an_upload_is_offered_the_stream(store: Store) -> None:
    upload = await store.uploads.start(OWNER, SHA256)
    assert (await store.uploads.placements(upload))[-1:] == STREAM_ONLY


@dataclass(frozen=True)
class Placing:
    """A store that offers all kinds, behind a service."""

    store: Store
    folder: Path
    service: Service

    def uploads(self, channel: RpcChannel) -> RemoteUploads:
        return RemoteUploads(channel, self.service.keyring, self.blobs(channel))

    def blobs(self, channel: RpcChannel) -> RemoteBlobs:
        return RemoteBlobs(channel, self.service.keyring)


@pytest.fixture
async def placing(tmp_path: Path, socket_folder: Path) -> AsyncIterator[Placing]:
    folder = tmp_path / "store"
    async with file_store(folder) as files:
        store = Store(PlacingUploads(files), PlacingBlobs(files), files.admin)
        async with serving(store, socket_folder) as service:
            yield Placing(store, folder, service)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        pytest.param(None, ["FILE", "URL", "STREAM"], id="all"),
        pytest.param({PlacementKind.STREAM}, ["STREAM"], id="the stream"),
        pytest.param({PlacementKind.STREAM, PlacementKind.FILE}, ["FILE", "STREAM"], id="two"),
    ],
)
async def test_a_caller_is_told_of_the_kinds_it_can_use_best_first(
    placing: Placing, kinds: set[PlacementKind] | None, expected: list[str]
) -> None:
    blob = await push(placing.store.uploads, DATA)
    async with open_channel(placing.service.target) as channel:
        remote = placing.blobs(channel)
        remote.known_sizes[blob.key] = blob.size_bytes
        located = await remote.locate(blob.key, kinds)
    offered = {placement.kind.name: placement for placement in (await placing.store.blobs.locate(blob.key)).placements}
    assert located == LocatedBlob(blob, tuple(offered[kind] for kind in expected))


async def test_a_kind_that_the_service_does_not_know_brings_nothing(placing: Placing) -> None:
    blob = await push(placing.store.uploads, DATA)
    keyring = placing.service.keyring
    metadata = bearer(keyring.registry_token((OWNER.repository, "pull", 1)))
    async with open_channel(placing.service.target) as channel:
        blobs = BlobServiceStub(channel)
        grant = keyring.grant(blob.key, blob.size_bytes)
        for kinds, expected in (((99, 0), []), ((99, 3), ["url"])):
            request = LocateBlobRequest(grant=grant)
            request.kinds.extend(placement_pb2.PlacementKind.ValueType(kind) for kind in kinds)
            response = await blobs.LocateBlob(request, metadata=metadata)
            assert [placement.WhichOneof("way") for placement in response.placements] == expected
            assert response.size_bytes == len(DATA)


async def test_a_file_that_is_offered_holds_the_bytes(placing: Placing) -> None:
    blob = await push(placing.store.uploads, DATA)
    async with open_channel(placing.service.target) as channel:
        remote = placing.blobs(channel)
        remote.known_sizes[blob.key] = blob.size_bytes
        [file] = (await remote.locate(blob.key, {PlacementKind.FILE})).placements
    assert isinstance(file, ReadFilePlacement)
    assert (placing.folder / "store-id").read_text().strip() == file.store_id
    with (placing.folder / file.path).open("rb") as opened:
        status = os.fstat(opened.fileno())
        assert (status.st_ino, status.st_size) == (file.inode, file.size_bytes)
        assert opened.read() == DATA


async def test_the_gateway_is_offered_every_way_to_write(placing: Placing) -> None:
    tokens = placing.service.keyring.service_tokens("gateway")
    async with open_channel(placing.service.target, service_tokens=tokens) as channel:
        uploads = placing.uploads(channel)
        upload = await uploads.start(OWNER, SHA256)
        offered = await uploads.placements(upload)
    assert offered == await placing.store.uploads.placements(upload)
    assert [placement.kind.name for placement in offered] == ["FILE", "URL", "STREAM"]
    assert offered[1] == WRITE_URL


@pytest.mark.parametrize("caller", [None, "authsvc", "metasvc", "blobsvc", "jobsvc"])
async def test_nobody_but_the_gateway_is_offered_more_than_the_stream_to_write(
    placing: Placing, caller: str | None
) -> None:
    tokens = None if caller is None else placing.service.keyring.service_tokens(caller)
    async with open_channel(placing.service.target, service_tokens=tokens) as channel:
        uploads = placing.uploads(channel)
        assert await uploads.placements(await uploads.start(OWNER, SHA256)) == STREAM_ONLY


async def test_who_writes_the_file_under_its_lock_keeps_others_out_and_is_finished_as_any_other(
    placing: Placing,
) -> None:
    tokens = placing.service.keyring.service_tokens("gateway")
    async with open_channel(placing.service.target, service_tokens=tokens) as channel:
        uploads = placing.uploads(channel)
        upload = await uploads.start(OWNER, SHA256)
        assert await append(uploads, upload.id, DATA) == len(DATA)
        [file] = [placement for placement in await uploads.placements(upload) if placement.kind is PlacementKind.FILE]
        assert isinstance(file, WriteFilePlacement)
        path = placing.folder / file.path
        with path.open("ab") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            assert path.stat().st_ino == file.inode
            with refused("UPLOAD_CONFLICT"):
                await append(uploads, upload.id, b"by the stream")
            opened.write(b" by the file")
        blob = await uploads.finish(upload.id, Digest.of(DATA + b" by the file"))
        assert await read(placing.store.blobs, blob.key) == DATA + b" by the file"


async def test_addresses_show_in_no_repr(placing: Placing) -> None:
    blob = await push(placing.store.uploads, DATA)
    upload = await placing.store.uploads.start(OWNER, SHA256)
    shown = f"{await placing.store.blobs.locate(blob.key)} {await placing.store.uploads.placements(upload)}"
    assert "store.example" not in shown
    assert "a=" not in shown

"""The stores that the suite runs on, and a service on a socket."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from blobsvc.config import BlobSettings
from blobsvc.domain import ports
from blobsvc.domain.ports import BlobAdmin, BlobReader, UploadWriter
from blobsvc.domain.upload import UploadLifetimes
from blobsvc.server import build_server, build_unlinked
from blobsvc.store.filesystem import FileStore
from blobsvc.store.memory import MemoryStore
from svckit.metrics import Metrics
from svckit.rpc import RpcServerSettings, open_channel
from tests.contract.blobsvc.remote import RemoteAdmin, RemoteBlobs, RemoteFileUploads, RemoteUploads
from tests.harness.keyring import Keyring

LIFETIMES = UploadLifetimes(total_seconds=86400, idle_seconds=3600)


@dataclass(frozen=True)
class Store:
    """The three roles of one store."""

    uploads: UploadWriter
    blobs: BlobReader
    admin: BlobAdmin
    id: str = "store"


@dataclass(frozen=True)
class Service:
    """A running blobsvc, in this process."""

    target: str
    keyring: Keyring
    metrics: Metrics

    @property
    def calls_in_flight(self) -> float | None:
        return self.metrics.registry.get_sample_value("rpc_server_in_flight", {"service": "blobsvc"})


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    # A socket's path is limited to 107 characters; pytest's own folders may be longer.
    with tempfile.TemporaryDirectory(prefix="rs-blob-", dir="/tmp") as folder:
        yield Path(folder)


@asynccontextmanager
async def file_store(folder: Path) -> AsyncIterator[FileStore]:
    store = await FileStore.open(folder, CollectorRegistry())
    try:
        yield store
    finally:
        store.close()


@asynccontextmanager
async def serving(
    store: ports.Store,
    folder: Path,
    *,
    stream_idle_seconds: float = 60,
    keyring: Keyring | None = None,
    **more: Any,
) -> AsyncIterator[Service]:
    """Runs blobsvc on a store; `more` are settings of it."""
    keyring = keyring or Keyring(folder / "trust")
    settings = BlobSettings(
        rpc=RpcServerSettings(
            listen=(f"unix:{folder}/blob.sock",), drain_seconds=1, stream_idle_seconds=stream_idle_seconds
        ),
        **more,
    )
    metrics = Metrics("blobsvc")
    server = build_server(
        settings,
        metrics=metrics,
        verifier=keyring.verifier(),
        signer=keyring.signer("blobsvc"),
        store=store,
        lifetimes=LIFETIMES,
        unlinked=build_unlinked(settings, metrics),
    )
    await server.start()
    server.set_serving()
    try:
        yield Service(str(server.addresses[0]), keyring, metrics)
    finally:
        await server.drain(0)


@pytest.fixture(params=["filesystem", "memory", "grpc", "files"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, socket_folder: Path) -> AsyncIterator[Store]:
    """Each of the stores.

    "grpc" is a client of a service on the file-system store. "files" is another one, which writes the staging files of
    its uploads itself, as the gateway does.
    """
    if request.param == "memory":
        memory = MemoryStore()
        yield Store(memory.uploads, memory.blobs, memory.admin)
        return
    async with file_store(tmp_path / "store") as files:
        if request.param == "filesystem":
            yield Store(files.uploads, files.blobs, files.admin)
            return
        async with serving(files, socket_folder) as service:
            keyring = service.keyring
            async with (
                open_channel(service.target) as caller,
                open_channel(service.target, service_tokens=keyring.service_tokens("gateway")) as gateway,
                open_channel(service.target, service_tokens=keyring.service_tokens("jobsvc")) as jobsvc,
                open_channel(service.target, service_tokens=keyring.service_tokens("metasvc")) as metasvc,
            ):
                blobs = RemoteBlobs(caller, keyring)
                uploads = RemoteUploads(caller, keyring, blobs)
                if request.param == "files":
                    uploads = RemoteFileUploads(gateway, keyring, blobs, tmp_path / "store")
                yield Store(uploads, blobs, RemoteAdmin(jobsvc, metasvc, files.admin))


@pytest.fixture
async def service(tmp_path: Path, socket_folder: Path) -> AsyncIterator[Service]:
    """A service on a file-system store."""
    async with file_store(tmp_path / "store") as files, serving(files, socket_folder) as running:
        yield running

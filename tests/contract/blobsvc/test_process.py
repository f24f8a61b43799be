"""The real process: killed at every step of a push, started again, and the step repeated."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from roadstead.blob.v1.blob_service_pb2 import ListBlobsRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from svckit.errors import DomainError
from svckit.oci.digest import SHA256, Digest, Hasher
from svckit.rpc import open_channel
from tests.contract.blobsvc.remote import RemoteBlobs, RemoteUploads
from tests.contract.blobsvc.steps import OWNER, append, read, refused, until_stored
from tests.harness.keyring import Keyring
from tests.harness.waiting import wait_until_async

ROOT = Path(__file__).parents[3]
DATA = bytes(range(256)) * 8_000
DIGEST = Digest.of(DATA)
START_SECONDS = 60


class Installed:
    """A data directory, and the processes that serve it one after the other."""

    def __init__(self, folder: Path, socket_folder: Path) -> None:
        self.keyring = Keyring(folder / "trust")
        self.target = f"unix:{socket_folder}/blob.sock"
        self.data_dir = folder / "data"
        self.config = folder / "roadstead.toml"
        key_file = folder / "blobsvc.pem"
        key_file.write_bytes(self.keyring.keypairs["blobsvc"].to_pem())
        key_file.chmod(0o600)
        self.config.write_text(
            f"""
            [common]
            trust_dir = "{folder}/trust"
            log_format = "json"
            [blobsvc]
            rpc = {{ listen = ["{self.target}"] }}
            key_file = "{key_file}"
            data_dir = "{self.data_dir}"
            """
        )

    @asynccontextmanager
    async def running(self, step: str = "none") -> AsyncIterator["Running"]:
        """A process that dies at a step."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.contract.blobsvc.dying", step, str(self.config)),
            cwd=ROOT,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await wait_until_async(self._serves, "blobsvc to serve")
            async with open_channel(self.target) as channel:
                blobs = RemoteBlobs(channel, self.keyring)
                yield Running(process, RemoteUploads(channel, self.keyring, blobs), blobs)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _serves(self) -> bool:
        # A channel of its own each time: one that knew the process before would first have to find out about its end.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self.target, options=options) as channel:
            try:
                health: Any = health_pb2_grpc.HealthStub(channel)
                answer = await health.Check(health_pb2.HealthCheckRequest())
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def stored(self) -> list[tuple[str, int]]:
        """Digest and size of every generation."""
        tokens = self.keyring.service_tokens("jobsvc")
        async with open_channel(self.target, service_tokens=tokens) as channel:
            page = await BlobServiceStub(channel).ListBlobs(ListBlobsRequest())
            return [(blob.digest, blob.size_bytes) for blob in page.blobs]


class Running:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, uploads: RemoteUploads, blobs: RemoteBlobs) -> None:
        self.process = process
        self.uploads = uploads
        self.blobs = blobs

    def memory_bytes(self, name: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")

    async def was_killed(self) -> bool:
        async with asyncio.timeout(30):
            return await self.process.wait() == -signal.SIGKILL

    async def killed_in(self, step: Coroutine[Any, Any, object]) -> bool:
        """Whether the process was killed in a step, and has not answered it."""
        call = asyncio.create_task(step)
        killed = await self.was_killed()
        # A channel repeats what may be repeated until its time is over: nobody is going to answer here.
        call.cancel()
        await asyncio.wait([call])
        return killed and (call.cancelled() or isinstance(call.exception(), DomainError))


@pytest.fixture
def installed(tmp_path: Path, socket_folder: Path) -> Installed:
    return Installed(tmp_path, socket_folder)


@pytest.mark.parametrize("step", ["start-half-made", "start-made"])
async def test_a_start_that_was_cut_off_is_simply_begun_again(installed: Installed, step: str) -> None:
    async with installed.running(step) as running:
        assert await running.killed_in(running.uploads.start(OWNER, SHA256))
    async with installed.running() as running:
        upload = await running.uploads.start(OWNER, SHA256)
        await append(running.uploads, upload.id, DATA)
        blob = await running.uploads.finish(upload.id, DIGEST)
        assert await read(running.blobs, blob.key) == DATA
        assert await installed.stored() == [(str(DIGEST), len(DATA))]


@pytest.mark.parametrize("step", ["bytes-written", "bytes-synced"])
async def test_bytes_that_came_before_a_kill_are_there_and_the_rest_follows(installed: Installed, step: str) -> None:
    async with installed.running() as running:
        upload = await running.uploads.start(OWNER, SHA256)
        await append(running.uploads, upload.id, DATA[:1000])
        running.process.kill()
        assert await running.was_killed()
    async with installed.running(step) as running:
        assert await running.uploads.status(upload.id) == 1000
        with pytest.raises(DomainError):
            await append(running.uploads, upload.id, DATA[1000:1500], offset=1000)
        assert await running.was_killed()
    async with installed.running() as running:
        assert await running.uploads.status(upload.id) == 1500
        with refused("RANGE_INVALID"):
            await append(running.uploads, upload.id, DATA[1000:], offset=1000)
        await append(running.uploads, upload.id, DATA[1500:], offset=1500)
        blob = await running.uploads.finish(upload.id, DIGEST, len(DATA))
        assert await read(running.blobs, blob.key) == DATA


@pytest.mark.parametrize("step", ["hashed", "stamped", "recorded", "renamed", "stored", "receipt-signed"])
async def test_a_finish_that_was_cut_off_is_repeated_to_the_same_end(installed: Installed, step: str) -> None:
    async with installed.running(step) as running:
        upload = await running.uploads.start(OWNER, SHA256)
        await append(running.uploads, upload.id, DATA)
        assert await running.killed_in(running.uploads.finish(upload.id, DIGEST, len(DATA)))
    async with installed.running() as running:
        blob = await running.uploads.finish(upload.id, DIGEST, len(DATA))
        assert await running.uploads.finish(upload.id, DIGEST, len(DATA)) == blob
        assert await read(running.blobs, blob.key) == DATA
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await running.uploads.status(upload.id)
        assert await installed.stored() == [(str(DIGEST), len(DATA))]


async def test_a_cancel_that_was_cut_off_has_ended_the_session(installed: Installed) -> None:
    async with installed.running() as running:
        upload = await running.uploads.start(OWNER, SHA256)
        await append(running.uploads, upload.id, DATA)
    async with installed.running("cancel-begun") as running:
        assert await running.killed_in(running.uploads.cancel(upload.id))
    async with installed.running() as running:
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await running.uploads.finish(upload.id, DIGEST)
        assert await installed.stored() == []


async def test_two_processes_share_a_folder_and_keep_each_other_out_of_an_upload(
    installed: Installed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with installed.running() as first:
        upload = await first.uploads.start(OWNER, SHA256)
        other = Path(installed.config.with_name("second.toml"))
        second_target = installed.target.replace("blob.sock", "two.sock")
        other.write_text(installed.config.read_text().replace(installed.target, second_target))
        installed.config, installed.target = other, second_target
        async with installed.running() as second:
            async with first.uploads.open(upload.id) as appender:
                await appender.append(DATA[:10])
                await until_stored(second.uploads, upload.id, 10)
                with refused("UPLOAD_CONFLICT"):
                    await append(second.uploads, upload.id, b"x")
                assert await appender.commit() == 10
            await append(second.uploads, upload.id, DATA[10:], offset=10)
            blob = await first.uploads.finish(upload.id, DIGEST)
            second.blobs.known_sizes[blob.key] = len(DATA)
            assert await read(second.blobs, blob.key) == DATA


async def test_it_stops_when_it_is_told_and_leaves_nothing_undone(installed: Installed) -> None:
    async with installed.running() as running:
        upload = await running.uploads.start(OWNER, SHA256)
        await append(running.uploads, upload.id, DATA)
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await running.process.wait() == 0
    async with installed.running() as running:
        assert (await running.uploads.finish(upload.id, DIGEST)).size_bytes == len(DATA)


async def test_a_large_blob_costs_little_memory(installed: Installed) -> None:
    chunk, count = bytes(range(256)) * 4096, 256
    hasher = Hasher()
    for _ in range(count):
        hasher.update(chunk)
    async with installed.running() as running:
        at_rest = running.memory_bytes("VmRSS")
        upload = await running.uploads.start(OWNER, SHA256)
        async with running.uploads.open(upload.id) as appender:
            for _ in range(count):
                await appender.append(chunk)
            assert await appender.commit() == count * len(chunk)
        blob = await running.uploads.finish(upload.id, hasher.digest())
        size = 0
        async with running.blobs.open(blob.key) as opened:
            async for data in opened.chunks:
                size += len(data)
        assert size == blob.size_bytes == count * len(chunk)
        assert running.memory_bytes("VmHWM") < at_rest + 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("upload_idle_seconds = 1", "upload_idle_seconds"),
        ("reading_threads = 0", "reading_threads"),
        ("data_directory = '/tmp'", "data_dir"),
    ],
)
async def test_a_wrong_setting_is_refused_by_its_name(installed: Installed, setting: str, said: str) -> None:
    installed.config.write_text(installed.config.read_text() + setting + "\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "blobsvc", "--config", str(installed.config)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(START_SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 78
    assert said in errors.decode()
    assert "Traceback" not in errors.decode()

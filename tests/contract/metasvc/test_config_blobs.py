"""metasvc reads configs from a real blobsvc, with a grant that it signs for itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from blobsvc.domain.model import BlobKey, StoredBlob
from blobsvc.domain.ports import BlobReader, LocatedBlob, OpenedBlob
from blobsvc.store.memory import MemoryStore
from metasvc.clients.blobsvc import ConfigBlobs
from metasvc.domain.model import ServedBlob
from metasvc.domain.ports import DamagedConfigError
from svckit.access.call import Call, serving
from svckit.errors import Unavailable
from svckit.oci.digest import Digest
from svckit.rpc import open_channel
from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from tests.contract.blobsvc.conftest import Store, socket_folder
from tests.contract.blobsvc.conftest import serving as serving_blobsvc
from tests.contract.blobsvc.steps import push
from tests.harness.keyring import Keyring

__all__ = ["socket_folder"]

CONFIG = b'{"os": "linux"}'
APP = "library/app"


@asynccontextmanager
async def reading(
    target: str, signer: TokenSigner, verifier: TokenVerifier, *, seconds: float = 5
) -> AsyncIterator[ConfigBlobs]:
    acting = ActingTokenSource(signer, "blobsvc")
    async with open_channel(target, acting_tokens=acting) as channel:
        yield ConfigBlobs(channel, signer, verifier, seconds)


def served(stored: StoredBlob) -> ServedBlob:
    return ServedBlob(str(stored.digest), stored.generation.number, stored.size_bytes, "")


async def read(configs: ConfigBlobs, blob: ServedBlob) -> bytes:
    return await configs.read(blob, project_id=1, repository=APP)


async def test_it_reads_what_it_grants_itself_whoever_calls(socket_folder: Path) -> None:
    store = MemoryStore()
    small, large, empty = [await push(store.uploads, content) for content in (CONFIG, b"x" * 3_000_000, b"")]
    async with serving_blobsvc(store, socket_folder) as service:
        signer = service.keyring.signer("metasvc")
        async with reading(service.target, signer, service.keyring.verifier()) as configs:
            # A token that ends in the middle of a push breaks nothing.
            with serving(Call("/PutManifest", token="expired")):
                assert await read(configs, served(small)) == CONFIG
            assert await read(configs, served(large)) == b"x" * 3_000_000
            assert await read(configs, served(empty)) == b""


async def test_the_grant_is_no_use_to_another_service_nor_to_a_call_that_is_passed_on(socket_folder: Path) -> None:
    store = MemoryStore()
    stored = await push(store.uploads, CONFIG)
    async with serving_blobsvc(store, socket_folder) as service:
        signer = service.keyring.signer("metasvc")
        for channel in (
            open_channel(service.target, acting_tokens=ActingTokenSource(service.keyring.signer("jobsvc"), "blobsvc")),
            open_channel(service.target, acting_tokens=ActingTokenSource(signer, "authsvc")),
            open_channel(service.target, service_tokens=ServiceTokenSource(signer)),
        ):
            async with channel:
                with pytest.raises(Unavailable):
                    await read(ConfigBlobs(channel, signer, service.keyring.verifier()), served(stored))


async def test_bytes_that_are_gone_or_of_another_size_or_changed_are_damaged(socket_folder: Path) -> None:
    store = MemoryStore()
    stored = served(await push(store.uploads, CONFIG))
    async with (
        serving_blobsvc(store, socket_folder) as service,
        reading(service.target, service.keyring.signer("metasvc"), service.keyring.verifier()) as configs,
    ):
        other = Digest.of(b"other")
        [(key, (blob, content))] = store.stored.items()
        store.stored[BlobKey(other, key.generation)] = (
            StoredBlob(BlobKey(other, key.generation), blob.size_bytes, blob.create_time),
            content,
        )
        for damaged, damage in (
            (ServedBlob(stored.digest, stored.generation + 1, stored.size, ""), "missing"),
            (ServedBlob(stored.digest, stored.generation, stored.size + 1, ""), "size"),
            (ServedBlob(str(other), stored.generation, stored.size, ""), "digest"),
        ):
            with pytest.raises(DamagedConfigError) as caught:
                await read(configs, damaged)
            assert caught.value.damage == damage


async def test_a_key_that_blobsvc_does_not_trust_is_no_fault_of_the_caller(socket_folder: Path) -> None:
    store = MemoryStore()
    stored = await push(store.uploads, CONFIG)
    async with (
        serving_blobsvc(store, socket_folder) as service,
        reading(service.target, service.keyring.stranger("metasvc"), service.keyring.verifier()) as configs,
    ):
        with pytest.raises(Unavailable):
            await read(configs, served(stored))


async def test_a_blobsvc_that_restarts_is_waited_for(socket_folder: Path) -> None:
    store = MemoryStore()
    stored = served(await push(store.uploads, CONFIG))
    keyring = Keyring(socket_folder / "trust")
    async with reading(
        f"unix:{socket_folder}/blob.sock", keyring.signer("metasvc"), keyring.verifier(), seconds=20
    ) as configs:
        answer = asyncio.create_task(read(configs, stored))
        async with serving_blobsvc(store, socket_folder, keyring=keyring):
            assert await answer == CONFIG


async def test_a_blobsvc_that_stays_away_is_not_waited_for_long(socket_folder: Path) -> None:
    keyring = Keyring(socket_folder / "trust")
    blob = ServedBlob(f"sha256:{'0' * 64}", 1, 10, "")
    async with reading(
        f"unix:{socket_folder}/blob.sock", keyring.signer("metasvc"), keyring.verifier(), seconds=0.3
    ) as configs:
        begun = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await read(configs, blob)
        assert 0.3 <= time.monotonic() - begun < 5
        assert caught.value.retry_after_seconds is not None

        with serving(Call("/PutManifest", deadline=time.monotonic())), pytest.raises(Unavailable):
            await read(configs, blob)


class SilentBlobs:
    """A store on a disk that does not answer; see `blobsvc.domain.ports.BlobReader`."""

    def __init__(self, blobs: BlobReader) -> None:
        self._blobs = blobs
        self.asked = asyncio.Event()

    async def stat(self, key: BlobKey) -> StoredBlob:
        return await self._blobs.stat(key)

    async def locate(self, key: BlobKey) -> LocatedBlob:
        return await self._blobs.locate(key)

    async def sizes(self, keys: Sequence[BlobKey]) -> list[int | None]:
        return await self._blobs.sizes(keys)

    @asynccontextmanager
    async def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AsyncIterator[OpenedBlob]:
        self.asked.set()
        await asyncio.Event().wait()
        async with self._blobs.open(key, offset, limit) as opened:
            yield opened


async def test_a_blobsvc_that_does_not_answer_is_not_waited_for_long(socket_folder: Path) -> None:
    memory = MemoryStore()
    silent = SilentBlobs(memory.blobs)
    stored = served(await push(memory.uploads, CONFIG))
    async with (
        serving_blobsvc(Store(memory.uploads, silent, memory.admin), socket_folder) as service,
        reading(service.target, service.keyring.signer("metasvc"), service.keyring.verifier(), seconds=0.3) as configs,
    ):
        with pytest.raises(Unavailable):
            await read(configs, stored)
    assert silent.asked.is_set()

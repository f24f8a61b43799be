"""metasvc reads layers from a real blobsvc, piece by piece, a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from blobsvc.store.memory import MemoryStore
from metasvc.clients.blobsvc import LayerBlobs
from metasvc.domain.model import ServedBlob
from metasvc.domain.ports import DamagedConfigError
from svckit.errors import Unavailable
from svckit.rpc import open_channel
from svckit.tokens.signer import ActingTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from tests.contract.blobsvc.conftest import Store, socket_folder
from tests.contract.blobsvc.conftest import serving as serving_blobsvc
from tests.contract.blobsvc.steps import push
from tests.contract.metasvc.test_config_blobs import APP, SilentBlobs, served

__all__ = ["socket_folder"]

LAYER = bytes(range(256)) * 4 * 4096


@asynccontextmanager
async def reading(
    target: str, signer: TokenSigner, verifier: TokenVerifier, *, seconds: float = 20
) -> AsyncIterator[LayerBlobs]:
    async with open_channel(target, acting_tokens=ActingTokenSource(signer, "blobsvc")) as channel:
        yield LayerBlobs(channel, signer, verifier, seconds)


async def read(layers: LayerBlobs, blob: ServedBlob) -> bytes:
    async with layers.open(blob, project_id=1, repository=APP) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_a_layer_comes_in_pieces_and_may_be_left_early(socket_folder: Path) -> None:
    store = MemoryStore()
    blob = served(await push(store.uploads, LAYER))
    async with (
        serving_blobsvc(store, socket_folder) as service,
        reading(service.target, service.keyring.signer("metasvc"), service.keyring.verifier()) as layers,
    ):
        assert await read(layers, blob) == LAYER
        # More often than there are places: each gives its own back.
        for _ in range(8):
            async with layers.open(blob, project_id=1, repository=APP) as pieces:
                assert LAYER.startswith(await anext(pieces))
        assert await asyncio.gather(*(read(layers, blob) for _ in range(8))) == [LAYER] * 8


async def test_a_layer_that_is_gone_is_damaged_and_gives_its_place_back(socket_folder: Path) -> None:
    store = MemoryStore()
    blob = served(await push(store.uploads, LAYER))
    gone = ServedBlob(blob.digest, blob.generation + 1, blob.size, "")
    async with (
        serving_blobsvc(store, socket_folder) as service,
        reading(service.target, service.keyring.signer("metasvc"), service.keyring.verifier()) as layers,
    ):
        for _ in range(8):
            with pytest.raises(DamagedConfigError) as caught:
                await read(layers, gone)
            assert caught.value.damage == "missing"
        assert await read(layers, blob) == LAYER


async def test_nobody_waits_long_for_bytes_or_for_a_place(socket_folder: Path) -> None:
    memory = MemoryStore()
    silent = SilentBlobs(memory.blobs)
    blob = served(await push(memory.uploads, LAYER))
    async with (
        serving_blobsvc(Store(memory.uploads, silent, memory.admin), socket_folder) as service,
        reading(service.target, service.keyring.signer("metasvc"), service.keyring.verifier(), seconds=0.5) as layers,
    ):
        answers = await asyncio.gather(*(read(layers, blob) for _ in range(12)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}

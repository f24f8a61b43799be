"""metasvc reads layers from a real blobsvc, piece by piece, a few at a time, and no caller alone all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from blobsvc.store.memory import MemoryStore
from metasvc.clients.blobsvc import LayerBlobs
from metasvc.domain.model import ServedBlob
from metasvc.domain.ports import DamagedConfigError
from svckit.access.call import Call, serving
from svckit.access.principal import ANONYMOUS, Principal
from svckit.errors import Unavailable
from svckit.metrics import Metrics
from svckit.rpc import open_channel
from svckit.tokens.signer import ActingTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from tests.contract.blobsvc.conftest import Store, socket_folder
from tests.contract.blobsvc.conftest import serving as serving_blobsvc
from tests.contract.blobsvc.steps import push, refused
from tests.contract.metasvc.test_config_blobs import APP, SilentBlobs, served
from tests.harness.waiting import WAIT_SECONDS

__all__ = ["socket_folder"]

LAYER = bytes(range(256)) * 4 * 4096
AT_ONCE = 4


def call_of(user: int | None, address: str = "") -> Call:
    """A call of a user, or of nobody, from an address."""
    principal = ANONYMOUS if user is None else Principal("user", f"user:{user}", user)
    return Call("/GetAddition", principal=principal, client_address=address)


@asynccontextmanager
async def reading(
    target: str,
    signer: TokenSigner,
    verifier: TokenVerifier,
    *,
    metrics: Metrics | None = None,
    seconds: float = WAIT_SECONDS,
) -> AsyncIterator[LayerBlobs]:
    on_refusal = None if metrics is None else metrics.refused_place
    async with open_channel(target, acting_tokens=ActingTokenSource(signer, "blobsvc")) as channel:
        yield LayerBlobs(channel, signer, verifier, on_refusal, seconds)


@asynccontextmanager
async def opened(layers: LayerBlobs, blob: ServedBlob, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
    with serving(call):
        async with layers.open(blob, project_id=1, repository=APP) as pieces:
            yield pieces


async def read(layers: LayerBlobs, blob: ServedBlob, user: int = 7) -> bytes:
    async with opened(layers, blob, call_of(user)) as pieces:
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
            async with opened(layers, blob, call_of(7)) as pieces:
                assert LAYER.startswith(await anext(pieces))
        assert await asyncio.gather(*(read(layers, blob, user) for user in range(8))) == [LAYER] * 8


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
        answers = await asyncio.gather(*(read(layers, blob, user) for user in range(12)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}


@pytest.mark.parametrize(
    ("greedy", "other", "reason"),
    [
        ([call_of(1, "10.0.0.1")] * 2, call_of(2, "10.0.0.1"), "subject"),
        ([call_of(1), call_of(1)], call_of(2), "subject"),
        ([call_of(user, "10.0.0.1") for user in range(3)], call_of(3, "10.0.0.2"), "address"),
        ([call_of(None, "10.0.0.1")] * 2, call_of(None, "10.0.0.2"), "address"),
        ([call_of(None, f"10.0.0.{number}") for number in range(3)], call_of(1, "10.0.0.1"), "without_credentials"),
    ],
    ids=["one user", "one user without address", "one address", "one stranger", "all strangers"],
)
async def test_whoever_reads_as_much_as_they_may_leaves_a_place_to_others(
    socket_folder: Path, greedy: list[Call], other: Call, reason: str
) -> None:
    store, metrics = MemoryStore(), Metrics("metasvc")
    blob = served(await push(store.uploads, LAYER))
    async with (
        serving_blobsvc(store, socket_folder) as service,
        reading(
            service.target, service.keyring.signer("metasvc"), service.keyring.verifier(), metrics=metrics
        ) as layers,
        AsyncExitStack() as held,
    ):
        assert len(greedy) < AT_ONCE
        for call in greedy:
            await held.enter_async_context(opened(layers, blob, call))
        with refused("TOOMANYREQUESTS"):
            async with opened(layers, blob, greedy[-1]):
                pass
        async with opened(layers, blob, other) as pieces:
            assert b"".join([piece async for piece in pieces]) == LAYER
        shown = metrics.render().decode()
        assert f'rpc_server_places_refused_total{{kind="layers",reason="{reason}",service="metasvc"}} 1.0' in shown
        await held.aclose()
        # What was given back can be taken again.
        async with opened(layers, blob, greedy[-1]):
            pass

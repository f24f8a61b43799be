"""Gathered reads are as fresh as single ones, and the checker finds a gatherer whose reads are not."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.clients.reads.gatherer import Gatherer
from gateway.clients.reads.manifest_cache import ManifestCache
from gateway.clients.reads.metrics import ReadMetrics
from gateway.clients.reads.reads import Reads
from svckit.access.call import Call
from svckit.errors import NotFound
from svckit.rpc import open_channel
from tests.contract.metasvc.remote import Remote, serving
from tests.contract.metasvc.world import World, image
from tests.harness.linearizability.checker import check
from tests.harness.linearizability.history import History

APP = "alpha/app"
TAGS = ("v1", "v2", "v3")
WRITES = 60
READERS = 12


class JoiningGatherer(Gatherer[Any, Any]):
    """Wrong: a read joins a batch under way that has its key already. The query of that batch may be over."""

    async def ask(self, key: Any, size_bytes: int, deadline: float | None) -> Any:
        for waiter in () if self._under_way is None else self._under_way.members:
            if waiter.key.reference == key.reference and waiter.key.omit_content == key.omit_content:
                return await asyncio.shield(waiter.answer)
        return await super().ask(key, size_bytes, deadline)


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    async with serving(world) as served:
        yield served


async def observe(world: World, remote: Remote, gatherer: Callable[..., Gatherer[Any, Any]]) -> History:
    """Reads of tags through two gateways while the tags move, with answers that take a while on their way."""
    history = History()
    chance = random.Random(11)
    token = remote.keyring.registry_token((APP, "pull", 1))
    base = image("one")
    for digest, size in base.blobs.items():
        await world.link(APP, digest, size=size)
    moving = True

    async def write(tag: str) -> None:
        for number in range(WRITES):
            pushed = image("one", annotations={"tag": tag, "number": str(number)})
            called = time.monotonic()
            await world.put(APP, pushed, tag)
            history.wrote(tag, pushed.digest, called)

    async def read(reads: Reads) -> None:
        while moving:
            tag, is_head = chance.choice(TAGS), chance.random() < 0.3
            called = time.monotonic()
            digest = None
            with suppress(NotFound):
                digest = (await reads.manifest(Call("read", token=token), APP, tag, omit_content=is_head)).digest
            history.read(tag, digest, called)

    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(2):
            tokens = remote.keyring.service_tokens("gateway")
            channel = await stack.enter_async_context(open_channel(remote.address, service_tokens=tokens))
            metrics = ReadMetrics(CollectorRegistry())
            reads = Reads(channel, ManifestCache(1024 * 1024), metrics)

            async def send(members: Sequence[Any], seconds: float | None, reads: Reads = reads) -> Sequence[Any]:
                answers = await reads._send_manifests(members, seconds)
                await asyncio.sleep(0.01 * chance.random())
                return answers

            reads._gathered_manifests = gatherer(send, metrics.batches["manifests"])
            readers += [asyncio.create_task(read(reads)) for _ in range(READERS // 2)]
        await asyncio.gather(*(write(tag) for tag in TAGS))
        moving = False
        await asyncio.gather(*readers)
    return history


async def test_reads_that_gather_see_every_write_that_came_before_them(world: World, remote: Remote) -> None:
    history = await observe(world, remote, Gatherer)

    kinds = [operation.kind for operation in history.operations]
    assert kinds.count("write") == WRITES * len(TAGS)
    assert kinds.count("read") > 200
    assert check(history.operations) == []


async def test_a_gatherer_that_joins_a_batch_under_way_is_caught(world: World, remote: Remote) -> None:
    history = await observe(world, remote, JoiningGatherer)

    violations = check(history.operations)

    assert violations
    assert {violation.stuck.kind for violation in violations} == {"read"}

"""ReadManifest and WriteManifest: large manifests on channels with gRPC's default limits."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator

import grpc.aio
import pytest

import metasvc.servicers.manifest
from roadstead.meta.v1.manifest_service_pb2 import (
    PutManifestRequest,
    ReadManifestRequest,
    ResolveManifestRequest,
    WriteManifestRequest,
    WriteManifestResponse,
)
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from svckit.errors import DomainError
from svckit.oci import media_types
from tests.contract.metasvc.remote import Remote, serving
from tests.contract.metasvc.world import World, digest_of, image
from tests.harness.keyring import Metadata, bearer

APP = "alpha/app"
PIECE = 1024 * 1024


def large(size: int) -> bytes:
    """A manifest of about this size."""
    return json.dumps({**json.loads(image("one").content), "annotations": {"a": "x" * size}}).encode()


def parts(content: bytes, *, piece: int = PIECE, **header: str) -> Iterator[WriteManifestRequest]:
    named = {"repository": APP, "reference": "v1", "media_type": media_types.OCI_MANIFEST, **header}
    yield WriteManifestRequest(header=WriteManifestRequest.Header(**named))
    for start in range(0, len(content), piece):
        yield WriteManifestRequest(data=content[start : start + piece])


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    for digest, size in image("one").blobs.items():
        await world.link(APP, digest, size=size)
    async with serving(world) as served:
        yield served


@pytest.fixture
def pusher(remote: Remote) -> Metadata:
    return bearer(remote.keyring.registry_token((APP, "pull,push", 1)))


async def write(remote: Remote, caller: Metadata, requests: Iterable[WriteManifestRequest]) -> WriteManifestResponse:
    answer: WriteManifestResponse = await ManifestServiceStub(remote.channel).WriteManifest(
        iter(requests), metadata=caller
    )
    return answer


async def reason_of_write(remote: Remote, caller: Metadata, requests: Iterable[WriteManifestRequest]) -> str:
    with pytest.raises(DomainError) as caught:
        await write(remote, caller, requests)
    return caught.value.reason


async def test_four_mebibytes_go_both_ways_on_a_default_channel(remote: Remote, pusher: Metadata) -> None:
    content = large(4 * PIECE - 2_000)
    async with grpc.aio.insecure_channel(remote.address) as default:
        stub = ManifestServiceStub(default)
        written = await stub.WriteManifest(parts(content), metadata=pusher)
        assert (written.digest, written.existed) == (digest_of(content), False)
        assert (await stub.WriteManifest(parts(content), metadata=pusher)).existed
        for reference in ("v1", written.digest):
            answers = [
                answer
                async for answer in stub.ReadManifest(
                    ReadManifestRequest(repository=APP, reference=reference), metadata=pusher
                )
            ]
            manifest = answers[0].manifest
            assert (manifest.digest, manifest.size_bytes) == (written.digest, len(content))
            assert (manifest.media_type, manifest.content) == (media_types.OCI_MANIFEST, b"")
            assert b"".join(answer.data for answer in answers[1:]) == content
            assert max(answer.ByteSize() for answer in answers) < PIECE + 100


async def test_a_manifest_is_the_same_whichever_way_it_came(remote: Remote, pusher: Metadata) -> None:
    stub = ManifestServiceStub(remote.channel)
    content = large(2 * PIECE)
    written = await write(remote, pusher, parts(content, piece=300_000))
    put = await stub.PutManifest(
        PutManifestRequest(repository=APP, reference="v2", media_type=media_types.OCI_MANIFEST, content=content),
        metadata=pusher,
    )
    assert (put.digest, put.existed) == (written.digest, True)
    found = await stub.ResolveManifest(ResolveManifestRequest(repository=APP, reference="v1"), metadata=pusher)
    assert found.manifest.content == content


async def test_what_is_refused_is_refused_before_its_content_is_read(remote: Remote) -> None:
    puller = bearer(remote.keyring.registry_token((APP, "pull", 1)))
    sent = 0

    async def endless() -> AsyncIterator[WriteManifestRequest]:
        nonlocal sent
        yield next(parts(b""))
        while True:
            sent += 1
            yield WriteManifestRequest(data=b"x" * 1000)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        for caller in (puller, ()):
            with pytest.raises(DomainError) as caught:
                await ManifestServiceStub(remote.channel).WriteManifest(endless(), metadata=caller)
            assert caught.value.reason in {"INSUFFICIENT_SCOPE", "UNAUTHORIZED"}


async def test_a_stream_out_of_order_or_too_large_is_refused(remote: Remote, pusher: Metadata) -> None:
    header, data = parts(b"x")
    assert await reason_of_write(remote, pusher, []) == "BAD_REQUEST"
    assert await reason_of_write(remote, pusher, [data]) == "BAD_REQUEST"
    assert await reason_of_write(remote, pusher, [header, header]) == "BAD_REQUEST"
    assert await reason_of_write(remote, pusher, parts(b"x" * (5 * PIECE))) == "MANIFEST_TOO_LARGE"
    assert await reason_of_write(remote, pusher, parts(b"x" * (2 * PIECE), piece=PIECE + 1)) == "BAD_REQUEST"
    assert await reason_of_write(remote, pusher, parts(b"", reference="!")) == "TAG_INVALID"
    assert await reason_of_write(remote, pusher, parts(b"{}")) == "MANIFEST_INVALID"


async def test_a_stream_that_does_not_end_is_given_up(
    remote: Remote, pusher: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metasvc.servicers.manifest, "_RECEIVING_SECONDS", 0.2)
    stop = asyncio.Event()

    async def halting() -> AsyncIterator[WriteManifestRequest]:
        yield next(parts(b""))
        await stop.wait()

    async with asyncio.timeout(10):
        with pytest.raises(DomainError) as caught:
            await ManifestServiceStub(remote.channel).WriteManifest(halting(), metadata=pusher)
    assert caught.value.reason == "REQUEST_TIMEOUT"
    stop.set()


async def test_one_pusher_holds_a_bounded_memory_with_manifests_that_do_not_end(world: World) -> None:
    stop = asyncio.Event()

    async def unfinished() -> AsyncIterator[WriteManifestRequest]:
        for message in parts(b" " * (PIECE - 1)):
            yield message
        await stop.wait()

    async def reason_of(call: Awaitable[WriteManifestResponse]) -> str:
        try:
            await call
        except DomainError as error:
            return error.reason
        except asyncio.CancelledError:
            return "cancelled"
        return "OK"

    async with serving(world, message_memory_per_caller_bytes=3 * PIECE) as remote:
        caller = bearer(remote.keyring.registry_token((APP, "pull,push", 1)))
        stub = ManifestServiceStub(remote.channel)
        calls = [stub.WriteManifest(unfinished(), metadata=caller) for _ in range(4)]
        refused, pending = await asyncio.wait(
            [asyncio.ensure_future(reason_of(call)) for call in calls], timeout=20, return_when=asyncio.FIRST_COMPLETED
        )
        assert [await each for each in refused] == ["TOOMANYREQUESTS"]
        assert len(pending) == 3
        for call in calls:
            call.cancel()
        stop.set()
        assert set(await asyncio.gather(*pending)) == {"cancelled"}

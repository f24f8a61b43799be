"""Streams for batches: one batch at a time on each, and whatever a stream cannot do is left to a call of its own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.clients.reads import batch_streams
from gateway.clients.reads.batch_streams import BatchStreams
from roadstead.access.v1.member_pb2 import MemberCall
from roadstead.meta.v1 import manifest_service_pb2 as pb
from roadstead.meta.v1.manifest_pb2 import Manifest
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from svckit.errors import DomainError, error_for
from svckit.rpc import RpcServer, open_channel
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.authsvc import PROJECT_ID
from tests.harness.stand_ins.metasvc import Metasvc
from tests.harness.stand_ins.serving import address_in, serve
from tests.harness.waiting import wait_until_async

REPOSITORY = "team/app"
PATIENCE_SECONDS = 20.0


class Place:
    """A real server of metasvc's contract, and streams to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.keyring = Keyring(folder / "trust")
        self.metasvc = Metasvc(self.keyring)
        self.metasvc.manifests[REPOSITORY, "v1"] = Manifest(digest="sha256:1", content=b"content")
        token = self.keyring.registry_token((REPOSITORY, "pull", PROJECT_ID))
        self._member = pb.ResolveManifestsRequest.Member(
            call=MemberCall(token=token), repository=REPOSITORY, reference="v1"
        )
        self._channel = open_channel(
            address_in(folder, "metasvc"), service_tokens=self.keyring.service_tokens("gateway")
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RpcServer]:
        async with AsyncExitStack() as stack:
            servers = await serve(stack, self._folder, {"metasvc": self.metasvc}, self.keyring)
            yield servers["metasvc"]

    def streams(self, **settings: Any) -> BatchStreams[Any, Any]:
        return BatchStreams(ManifestServiceStub(self._channel).ResolveManifestBatches, **settings)

    async def ask(self, streams: BatchStreams[Any, Any], seconds: float | None = PATIENCE_SECONDS) -> bytes | None:
        """The content that is answered; None if the batch must take the other way."""
        answer = await streams.ask(pb.ResolveManifestBatchesRequest(members=[self._member]), seconds)
        return None if answer is None else bytes(answer.answers[0].manifest.content)

    async def until_ended(self, server: RpcServer) -> None:
        """Returns when the server has no stream any more."""
        places = server._places
        await wait_until_async(lambda: places.long_streams.taken, "the streams to end", wanted=lambda count: count == 0)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    # Not pytest's own folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="bs-") as folder:
        made = Place(Path(folder))
        yield made
        await made._channel.close()


@pytest.fixture
def hanging(place: Place) -> Callable[[], None]:
    """Makes batches wait. The function that it returns lets them go on."""
    released = asyncio.Event()

    async def wait() -> None:
        await released.wait()

    place.metasvc.before_streamed_answer = wait
    return released.set


async def test_batches_go_one_after_the_other_on_one_stream(place: Place) -> None:
    async with place.serving():
        streams = place.streams()
        for _ in range(20):
            assert await place.ask(streams) == b"content"
    assert (place.metasvc.streams, place.metasvc.streamed_batches) == (1, 20)


async def test_no_batch_waits_for_another_and_there_are_few_streams(place: Place, hanging: Callable[[], None]) -> None:
    async with place.serving():
        streams = place.streams()
        waiting = [asyncio.ensure_future(place.ask(streams)) for _ in range(2)]
        await wait_until_async(lambda: place.metasvc.streamed_batches, "both batches", wanted=lambda count: count == 2)
        assert await place.ask(streams) is None
        hanging()
        assert await asyncio.gather(*waiting) == [b"content"] * 2
        assert await asyncio.gather(*(place.ask(streams) for _ in range(2))) == [b"content"] * 2
    assert place.metasvc.streams == 2


async def test_a_batch_that_nobody_waits_for_ends_its_stream_and_the_next_one_opens_another(
    place: Place, hanging: Callable[[], None]
) -> None:
    async with place.serving() as server:
        streams = place.streams()
        asked = asyncio.ensure_future(place.ask(streams))
        await wait_until_async(lambda: place.metasvc.streamed_batches, "the batch", wanted=lambda count: count == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await place.until_ended(server)
        hanging()
        assert await place.ask(streams) == b"content"
    assert place.metasvc.streams == 2


async def test_a_batch_that_is_not_answered_in_time_ends_its_stream(place: Place, hanging: Callable[[], None]) -> None:
    async with place.serving() as server:
        streams = place.streams()
        for _ in range(3):
            with pytest.raises(DomainError) as caught:
                await place.ask(streams, seconds=0.1)
            assert caught.value.reason == "UNAVAILABLE"
        await place.until_ended(server)
        hanging()
        assert await place.ask(streams) == b"content"


async def test_after_a_failure_batches_take_the_other_way_for_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.serving() as server:
        streams = place.streams()
        assert await place.ask(streams) == b"content"
        place.metasvc.batch_failure = error_for("UNAVAILABLE")
        assert await place.ask(streams) is None
        place.metasvc.batch_failure = None
        await place.until_ended(server)
        for _ in range(3):
            assert await place.ask(streams) is None
        assert place.metasvc.streams == 1

        monkeypatch.setattr(batch_streams, "_PAUSE_SECONDS", 0.0)
        streams = place.streams()
        place.metasvc.batch_failure = error_for("UNAVAILABLE")
        assert await place.ask(streams) is None
        place.metasvc.batch_failure = None
        assert await place.ask(streams) == b"content"


async def test_a_batch_that_hits_a_bug_is_not_tried_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with place.serving():
        streams = place.streams()
        assert await place.ask(streams) == b"content"
        place.metasvc.batch_failure = error_for("INTERNAL")
        with pytest.raises(DomainError) as caught:
            await place.ask(streams)
        assert caught.value.reason == "INTERNAL"
        assert len([record for record in caplog.records if "rpc_failed" in record.getMessage()]) == 1
        place.metasvc.batch_failure = None
        assert await place.ask(streams) == b"content"


async def test_a_server_that_does_not_know_the_rpc_is_asked_the_other_way(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Metasvc, "ResolveManifestBatches", None)
    async with place.serving():
        assert await place.ask(place.streams()) is None


async def test_a_server_that_is_away_is_asked_the_other_way_and_a_new_stream_goes_to_the_next_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_streams, "_PAUSE_SECONDS", 0.0)
    streams = place.streams()
    async with place.serving():
        assert await place.ask(streams) == b"content"
    assert await place.ask(streams) is None
    async with place.serving():
        await wait_until_async(lambda: place.ask(streams), "a new stream", wanted=lambda answer: answer == b"content")


async def test_a_stream_that_has_ended_while_nobody_used_it_costs_no_batch(place: Place) -> None:
    streams = place.streams()
    async with place.serving() as server:
        assert await place.ask(streams) == b"content"
        server._long_streams.end()
        await place.until_ended(server)
        server._long_streams.is_ending = False
        await wait_until_async(streams._idle[0].call.done, "the end of the call")
        assert await place.ask(streams) == b"content"
    assert place.metasvc.streams == 2


async def test_a_stream_is_ended_after_its_time_whether_it_is_used_or_not(
    place: Place, hanging: Callable[[], None]
) -> None:
    async with place.serving() as server:
        streams = place.streams(longest_seconds=0.3)
        asked = asyncio.ensure_future(place.ask(streams))
        await asyncio.sleep(0.5)
        # It has become old while the batch was under way, which gets its answer all the same.
        hanging()
        assert await asked == b"content"
        await place.until_ended(server)
        assert await place.ask(streams) == b"content"
        await place.until_ended(server)
    assert place.metasvc.streams == 2
    counted = server._shared.metrics.registry.get_sample_value(
        "rpc_server_handled_total",
        {"service": "metasvc", "method": "/roadstead.meta.v1.ManifestService/ResolveManifestBatches", "code": "OK"},
    )
    # Two members, and two calls that have ended well.
    assert counted == 4

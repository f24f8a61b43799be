"""Calls in flight have shares: by subject, by address, and for all callers without credentials together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.metrics import Metrics
from svckit.rpc.server import RpcServer
from svckit.rpc.server_places import ServerPlaces
from svckit.rpc.settings import RpcServerSettings
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of

_REQUEST = guarded_pb2.Request()
MOST = 8
OF_CALLER = 6
OF_ADDRESS = 6
OF_ADDRESS_WITHOUT = 4
WITHOUT = 6

Metadata = tuple[tuple[str, str], ...]


class Calls:
    """Clients whose calls stay in flight until the test ends."""

    def __init__(self, server: RpcServer, servicer: GuardedServicer, installation: Installation) -> None:
        self._server = server
        self._installation = installation
        self._stack = AsyncExitStack()
        self.end = asyncio.Event()
        for method in ("Public", "Authenticated", "Filtered"):
            servicer.instead[method] = self._wait

    async def _wait(self, request: Any, context: Any) -> Any:
        await self.end.wait()
        return guarded_pb2.Response()

    async def open(self) -> None:
        channel = grpc.aio.insecure_channel(str(self._server.addresses[0]))
        self._stub = guarded_pb2_grpc.GuardedStub(await self._stack.enter_async_context(channel))

    @staticmethod
    def known(token: str) -> Metadata:
        return (("authorization", f"Bearer {token}"),)

    def user(self, number: int) -> Metadata:
        return self.known(self._installation.user(number))

    def through_gateway(self, address: str, caller: Metadata = ()) -> Metadata:
        token = self._installation.service("gateway")
        return (("x-roadstead-service", token), ("x-roadstead-client-address", address), *caller)

    def call(self, caller: Metadata = (), method: str = "Public") -> Any:
        return getattr(self._stub, method)(_REQUEST, metadata=caller)

    async def begin(self, count: int, caller: Metadata = (), method: str = "Public") -> list[Any]:
        wanted = self._taken() + count
        calls = [self.call(caller, method) for _ in range(count)]
        await self.until_taken(wanted)
        return calls

    async def refusal(self, caller: Metadata = (), method: str = "Public") -> str:
        before = self._taken()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.call(caller, method)
        # The client has the status of a call before the server has given its place back.
        await self.until_taken(before)
        return reason_of(error.value)

    def _taken(self) -> int:
        return self._server._places.calls.taken

    async def until_taken(self, wanted: int) -> None:
        await wait_until_async(self._taken, "the calls", wanted=lambda now: now == wanted, seconds=20)

    async def close(self) -> None:
        self.end.set()
        await self._stack.aclose()


@pytest.fixture
async def calls(start_server: Any, servicer: GuardedServicer, installation: Installation) -> AsyncIterator[Calls]:
    calls = Calls(await start_server(listen=("127.0.0.1:0",), max_in_flight=MOST), servicer, installation)
    await calls.open()
    yield calls
    await calls.close()


async def test_one_stranger_leaves_places_to_callers_with_credentials(calls: Calls, metrics: Metrics) -> None:
    await calls.begin(OF_ADDRESS_WITHOUT)
    assert await calls.refusal() == "TOOMANYREQUESTS"
    await calls.begin(MOST - OF_ADDRESS_WITHOUT, calls.user(7))
    assert await calls.refusal(calls.user(8)) == "OVERLOADED"
    shown = metrics.render().decode()
    for reason in ("address", "all"):
        assert f'rpc_server_places_refused_total{{kind="calls",reason="{reason}",service="metasvc"}} 1.0' in shown


async def test_a_stranger_cannot_become_another_by_stating_an_address(calls: Calls) -> None:
    await calls.begin(OF_ADDRESS_WITHOUT)
    assert await calls.refusal((("x-roadstead-client-address", "203.0.113.1"),)) == "TOOMANYREQUESTS"


@pytest.mark.parametrize("header", ["authorization", "x-roadstead-service", "x-roadstead-acting"])
async def test_a_caller_with_a_forged_token_is_a_stranger_of_its_address(calls: Calls, header: str) -> None:
    forged = ((header, "Bearer x.y.z" if header == "authorization" else "x.y.z"),)
    assert await calls.refusal(forged, "Authenticated") == "UNAUTHORIZED"
    await calls.begin(OF_ADDRESS_WITHOUT)
    assert await calls.refusal(forged, "Authenticated") == "TOOMANYREQUESTS"


async def test_one_subject_leaves_places_to_the_others(calls: Calls) -> None:
    await calls.begin(OF_CALLER, calls.through_gateway("203.0.113.1", calls.user(7)))
    assert await calls.refusal(calls.user(7)) == "TOOMANYREQUESTS"
    await calls.begin(1, calls.user(8))
    await calls.begin(1)


async def test_callers_with_credentials_at_one_address_have_a_share_together(calls: Calls) -> None:
    for number in range(OF_ADDRESS):
        await calls.begin(1, calls.user(number + 1))
    assert await calls.refusal(calls.user(99)) == "TOOMANYREQUESTS"
    await calls.begin(1, calls.through_gateway("203.0.113.1", calls.user(99)))


async def test_the_clients_of_the_gateway_count_by_their_own_addresses(calls: Calls) -> None:
    await calls.begin(OF_ADDRESS_WITHOUT, calls.through_gateway("203.0.113.1"))
    assert await calls.refusal(calls.through_gateway("203.0.113.1")) == "TOOMANYREQUESTS"
    await calls.begin(WITHOUT - OF_ADDRESS_WITHOUT, calls.through_gateway("203.0.113.2"))
    # All without credentials have their share now.
    assert await calls.refusal(calls.through_gateway("203.0.113.3")) == "TOOMANYREQUESTS"
    await calls.begin(1, calls.through_gateway("203.0.113.1", calls.user(7)))


async def test_a_service_that_acts_for_itself_has_no_share(calls: Calls, installation: Installation) -> None:
    acting = (("x-roadstead-acting", installation.acting("jobsvc")),)
    await calls.begin(MOST, acting, "Filtered")
    assert await calls.refusal(acting, "Filtered") == "OVERLOADED"


async def test_a_full_server_verifies_no_signature(calls: Calls, installation: Installation) -> None:
    await calls.begin(OF_CALLER, calls.user(7))
    await calls.begin(MOST - OF_CALLER)
    before = installation.verifier.verified_signatures
    assert await calls.refusal(calls.user(8)) == "OVERLOADED"
    assert installation.verifier.verified_signatures == before


async def test_calls_that_have_ended_give_their_places_back(calls: Calls) -> None:
    pending = await calls.begin(OF_ADDRESS_WITHOUT) + await calls.begin(MOST - OF_ADDRESS_WITHOUT, calls.user(7))
    calls.end.set()
    await asyncio.gather(*pending)
    await calls.until_taken(0)
    calls.end.clear()
    await calls.begin(OF_ADDRESS_WITHOUT)
    assert await calls.refusal() == "TOOMANYREQUESTS"


def test_every_share_has_a_place_however_few_there_are(metrics: Metrics) -> None:
    settings = RpcServerSettings(listen=("127.0.0.1:0",), max_in_flight=1)
    places = ServerPlaces(settings, metrics.refused_place).calls
    for subject in (None, "user:7", "service:jobsvc"):
        places.take(subject, "192.0.2.1")
        places.give_back(subject, "192.0.2.1")

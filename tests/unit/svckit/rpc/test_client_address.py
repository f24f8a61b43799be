"""Where a call comes from: as a service says that may say it, else as the connection does."""

from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from svckit.access.call import Call, serving
from svckit.rpc import open_channel
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

_REQUEST = guarded_pb2.Request()
_STATED = "203.0.113.9"


async def _seen(stub: Any, service_token: str | None, stated: str | None) -> str:
    metadata = []
    if service_token is not None:
        metadata.append(("x-roadstead-service", service_token))
    if stated is not None:
        metadata.append(("x-roadstead-client-address", stated))
    return str((await stub.Public(_REQUEST, metadata=metadata)).client_address)


@pytest.mark.parametrize("service", ["gateway", "jobsvc", "metasvc"])
async def test_services_that_pass_on_calls_are_believed(stub: Any, installation: Installation, service: str) -> None:
    assert await _seen(stub, installation.service(service), _STATED) == _STATED
    assert await _seen(stub, installation.service(service), "2001:db8::1") == "2001:db8::1"
    assert await _seen(stub, installation.service(service), None) == ""


@pytest.mark.parametrize("service", ["authsvc", "blobsvc", "worker"])
async def test_services_that_call_for_nobody_are_not(stub: Any, installation: Installation, service: str) -> None:
    assert await _seen(stub, installation.service(service), _STATED) == ""


async def test_a_client_without_a_services_token_is_not(stub: Any, installation: Installation) -> None:
    assert await _seen(stub, None, _STATED) == ""
    # Bad tokens are ignored by a public method, and so is what comes with them.
    for token in ("x.y.z", installation.user(), installation.expired(lambda: installation.service("gateway"))):
        assert await _seen(stub, token, _STATED) == ""


@pytest.mark.parametrize("stated", ["", "9" * 65, "a b"])
async def test_what_cannot_be_an_address_is_none(stub: Any, installation: Installation, stated: str) -> None:
    assert await _seen(stub, installation.service("gateway"), stated) == ""


@pytest.mark.parametrize(("listen", "address"), [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")])
async def test_a_client_that_calls_directly_has_the_address_of_its_connection(
    start_server: Any, installation: Installation, listen: str, address: str
) -> None:
    server = await start_server(listen=(listen,))
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        assert await _seen(stub, None, _STATED) == address
        assert await _seen(stub, "x.y.z", _STATED) == address
        # A service is not where the client is.
        assert await _seen(stub, installation.service("gateway"), None) == ""


async def test_the_address_goes_along_through_two_services(
    start_server: Any, socket_dir: Path, servicer: GuardedServicer, installation: Installation
) -> None:
    first, second = await start_server(), await start_server(listen=(f"unix:{socket_dir}/second",))
    gateway = installation.keyring.service_tokens("gateway")
    metasvc = installation.keyring.service_tokens("metasvc")
    async with (
        open_channel(str(first.addresses[0]), service_tokens=gateway) as edge,
        open_channel(str(second.addresses[0]), service_tokens=metasvc) as onward,
    ):

        async def passes_on(request: Any, context: Any) -> Any:
            return await guarded_pb2_grpc.GuardedStub(onward).Authenticated(request)

        servicer.instead["Public"] = passes_on
        with serving(Call("GET /v2/", token=installation.user(), client_address=_STATED)):
            seen = await guarded_pb2_grpc.GuardedStub(edge).Public(_REQUEST)
    assert (seen.client_address, seen.caller_service) == (_STATED, "metasvc")


async def test_a_client_outside_states_nothing(start_server: Any, servicer: GuardedServicer) -> None:
    metadata: list[str] = []

    async def looks(request: Any, context: Any) -> Any:
        metadata.extend(key for key, _ in context.invocation_metadata())
        return guarded_pb2.Response()

    servicer.instead["Public"] = looks
    server = await start_server()
    async with open_channel(str(server.addresses[0])) as channel:
        with serving(Call("m", client_address=_STATED, request_id="r-1")):
            await guarded_pb2_grpc.GuardedStub(channel).Public(_REQUEST)
    assert "x-request-id" in metadata
    assert "x-roadstead-client-address" not in metadata

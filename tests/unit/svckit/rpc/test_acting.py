"""A service acts for itself by a signed marker on a channel of its own, and in no other way."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.access.acting import acting_for
from svckit.access.call import Call, current_call, serving
from svckit.access.principal import Principal
from svckit.actor import Actor
from svckit.errors import Denied, Invalid
from svckit.rpc import open_channel
from svckit.tokens import ActingToken, IdentityToken
from svckit.tokens.signer import ActingTokenSource, TokenSigner
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of
from tests.unit.svckit.tokens import forge

_REQUEST = guarded_pb2.Request(repository="hidden/alpine")
_GATEWAYS_CALL = "GET /v2/"


def _alice() -> Principal:
    return Principal.of_identity(IdentityToken(subject="user:7", kind="user", id=7, name="alice"))


def _source(installation: Installation, service: str = "jobsvc", audience: str = "metasvc") -> ActingTokenSource:
    return installation.keyring.acting_tokens(service, audience)


@pytest.fixture
async def acting(start_server: Any, installation: Installation) -> AsyncIterator[Any]:
    """A stub by which jobsvc acts for itself at metasvc."""
    server = await start_server()
    async with open_channel(str(server.addresses[0]), acting_tokens=_source(installation)) as channel:
        yield guarded_pb2_grpc.GuardedStub(channel)


async def test_an_acting_channel_sends_its_token_and_never_the_callers(
    acting: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    seen: dict[str, str] = {}

    async def looks(request: Any, context: Any) -> Any:
        seen.update(context.invocation_metadata())
        return guarded_pb2.Response()

    servicer.instead["Pull"] = looks
    with serving(Call(_GATEWAYS_CALL, token=installation.user(), request_id="r-1", client_address="203.0.113.9")):
        await acting.Pull(_REQUEST)
    assert set(seen) - {"user-agent"} == {"x-roadstead-acting", "x-request-id", "x-roadstead-client-address"}


async def test_in_every_kind_of_call_it_acts(acting: Any) -> None:
    assert (await acting.Pull(_REQUEST)).actor == "service:jobsvc"
    assert [answer.actor async for answer in acting.PullStream(_REQUEST)] == ["service:jobsvc"] * 2
    # A service has no identity, so what asks about the caller's own has no answer for it.
    for call in (acting.Authenticated(_REQUEST), acting.Converse(iter([_REQUEST]))):
        with pytest.raises(Denied):
            await _finished(call)


async def test_inside_a_call_it_acts_on_behalf_of_whoever_called(acting: Any) -> None:
    cause = Principal.of_acting(ActingToken(subject="service:worker", on_behalf_of=Actor("execution", 12)))
    for principal, actor in (
        (_alice(), "service:jobsvc for user:7"),
        (cause, "service:jobsvc for service:worker for execution:12"),
        (Call("m").principal, "service:jobsvc"),
    ):
        with serving(Call("m", principal=principal)):
            assert (await acting.Pull(_REQUEST)).actor == actor


async def test_elsewhere_it_acts_on_behalf_of_whom_the_block_names(acting: Any) -> None:
    with serving(Call("m", principal=_alice())), acting_for(Actor("policy", 3)):
        assert (await acting.Pull(_REQUEST)).actor == "service:jobsvc for policy:3"
        with acting_for(Actor("execution", 12)):
            assert (await acting.Pull(_REQUEST)).actor == "service:jobsvc for execution:12"
        assert (await acting.Pull(_REQUEST)).actor == "service:jobsvc for policy:3"
    assert (await acting.Pull(_REQUEST)).actor == "service:jobsvc"


async def test_the_name_of_whom_it_acts_for_arrives(acting: Any, servicer: GuardedServicer) -> None:
    seen: list[Actor] = []

    async def looks(request: Any, context: Any) -> Any:
        seen.append(current_call().origin.actor)
        return guarded_pb2.Response()

    servicer.instead["Pull"] = looks
    with serving(Call("m", principal=_alice())):
        await acting.Pull(_REQUEST)
    assert seen == [Actor("service", name="jobsvc", on_behalf_of=Actor("user", 7, "alice"))]


async def test_nobodys_right_is_added_by_acting_on_their_behalf(start_server: Any, installation: Installation) -> None:
    server = await start_server()
    administrator = Principal.of_identity(
        IdentityToken(subject="user:1", kind="user", id=1, name="admin", is_admin=True)
    )
    async with open_channel(str(server.addresses[0]), acting_tokens=_source(installation, "worker")) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        with serving(Call("m", principal=administrator)), pytest.raises(Denied):
            await stub.Pull(_REQUEST)


async def test_what_it_calls_in_turn_is_not_told_that_it_acts(
    start_server: Any, socket_dir: Path, servicer: GuardedServicer, installation: Installation, acting: Any
) -> None:
    """metasvc passes on a call of jobsvc's: the token was for metasvc, so the call is nobody's now."""
    second = await start_server(listen=(f"unix:{socket_dir}/second",))
    tokens = installation.keyring.service_tokens("metasvc")
    async with open_channel(str(second.addresses[0]), service_tokens=tokens) as onward:

        async def passes_on(request: Any, context: Any) -> Any:
            return await guarded_pb2_grpc.GuardedStub(onward).Public(request)

        servicer.instead["Pull"] = passes_on
        seen = await acting.Pull(_REQUEST)
    assert (seen.kind, seen.caller_service) == ("anonymous", "metasvc")


async def test_a_callers_token_beside_the_marker_is_refused_from_a_channel_too(
    acting: Any, installation: Installation
) -> None:
    for key, value in (
        ("authorization", f"Bearer {installation.user()}"),
        ("authorization", "Bearer x"),
        ("x-roadstead-service", installation.service("jobsvc")),
    ):
        for call in (acting.Pull, acting.Public, acting.FinishUpload):
            with pytest.raises(Invalid):
                await call(_REQUEST, metadata=[(key, value)])


async def test_a_channel_does_not_both_pass_on_and_act(installation: Installation) -> None:
    tokens = installation.keyring.service_tokens("jobsvc")
    with pytest.raises(ValueError, match="either passes on calls or acts"):
        open_channel("unix:/nowhere", service_tokens=tokens, acting_tokens=_source(installation))


def _changed(token: str) -> str:
    """The same token, with an administrator as the cause, under the signature of before."""
    head, body, signature = token.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    payload["on_behalf_of"]["id"] = 1
    changed = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


@pytest.mark.parametrize(
    "forgery",
    [
        "a service token",
        "an identity token",
        "a key of nobody's",
        "another service's key",
        "the gateway's key",
        "another audience",
        "no audience",
        "expired",
        "another cause",
        "nonsense",
    ],
)
async def test_a_forged_marker_acts_for_nobody(stub: Any, installation: Installation, forgery: str) -> None:
    user = Actor("user", 7, "alice")
    claims = ActingToken(subject="service:jobsvc", on_behalf_of=user)
    gateway = installation.keyring.keypairs["gateway"]
    gateways = forge.payload(iss="gateway", sub="service:gateway", aud="metasvc", access=None)
    forgeries: dict[str, Callable[[], str]] = {
        "a service token": lambda: installation.service("jobsvc"),
        "an identity token": installation.user,
        "a key of nobody's": lambda: _signed(installation.keyring.stranger("jobsvc"), claims),
        "another service's key": lambda: _signed(installation.keyring.signer("worker"), claims),
        "the gateway's key": lambda: forge.signed(gateway, forge.header(gateway, typ="acting+jwt"), gateways),
        "another audience": lambda: installation.acting("jobsvc", "authsvc", user),
        "no audience": lambda: installation.acting("jobsvc", "roadstead", user),
        "expired": lambda: installation.expired(lambda: installation.acting("jobsvc", "metasvc", user)),
        "another cause": lambda: _changed(installation.acting("jobsvc", "metasvc", user)),
        "nonsense": lambda: "x.y.z",
    }
    token = forgeries[forgery]()
    metadata = [("x-roadstead-acting", token)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Pull(guarded_pb2.Request(repository="library/alpine"), metadata=metadata)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHORIZED")
    seen = await stub.Public(_REQUEST, metadata=metadata)
    assert (seen.kind, seen.caller_service, seen.actor) == ("anonymous", "", "anonymous")


async def test_an_acting_token_passes_on_no_call_and_is_no_callers(stub: Any, installation: Installation) -> None:
    token = installation.acting("metasvc")
    for metadata in ([("x-roadstead-service", token)], [("authorization", f"Bearer {token}")]):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Service(_REQUEST, metadata=metadata)
        assert reason_of(refused.value) == "UNAUTHORIZED"


def _signed(signer: TokenSigner, claims: ActingToken) -> str:
    return signer.sign(claims, audience="metasvc").text


async def _finished(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pass
    else:
        await call

"""A small installation: keys of all services, a clock, tokens of every kind, and a checker that knows a few people."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from blobsvc.domain.model import BlobKey
from svckit.access.call import Call, current_call
from svckit.actor import Actor
from svckit.errors import Invalid
from svckit.rpc.members import current_batch
from tests.harness.keyring import Keyring, identity
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc

NOW = 1_800_000_000.0
DIGEST = "sha256:" + "a" * 64
REPOSITORY = "library/alpine"


class Installation:
    """Signs whatever a test wants signed, at a time that stands still until a test moves it."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.keyring = Keyring(folder, lambda: self.now)
        self.verifier = self.keyring.verifier()

    def user(self, id_: int = 7, *, is_admin: bool = False) -> str:
        return self.keyring.identity_token(id_, is_admin=is_admin)

    def robot(self, id_: int = 12) -> str:
        return self.keyring.robot_token(id_)

    def registry(self, subject: str = "user:7", repository: str = REPOSITORY, *actions: str) -> str:
        return self.keyring.registry_token((repository, ",".join(actions or ("pull",)), 1), subject=subject)

    def pusher(self, subject: str = "user:7", repository: str = REPOSITORY, project_id: int = 1) -> str:
        return self.keyring.registry_token((repository, "pull,push", project_id), subject=subject)

    def catalog(self) -> str:
        return self.keyring.catalog_token()

    def service(self, name: str) -> str:
        return self.keyring.service_token(name)

    def acting(self, name: str, audience: str = "metasvc", on_behalf_of: Actor | None = None) -> str:
        return self.keyring.acting_token(name, audience, on_behalf_of)

    def ticket(self, lifetime_seconds: int = 3600) -> str:
        return self.keyring.ticket("u1", REPOSITORY, lifetime_seconds=lifetime_seconds)

    def receipt(self, upload_time: int | None = None) -> str:
        return self.keyring.receipt(REPOSITORY, DIGEST, size=3, upload_time=upload_time)

    def grant(self, subject: str = "user:7") -> str:
        return self.keyring.grant(BlobKey.of(DIGEST, 1), 3, repository=REPOSITORY, subject=subject)

    def expired(self, token: Callable[[], str]) -> str:
        self.now -= 10_000
        try:
            return token()
        finally:
            self.now += 10_000

    def forged_user(self) -> str:
        return self.keyring.stranger("authsvc").sign(identity()).text


Unary = Callable[[Any], Any]


def what_was_seen(request: Any, call: Call | None = None) -> Any:
    """The answer that tells what the servicer saw of its call, or of the call of a member."""
    call = call or current_call()
    seen = guarded_pb2.Response(
        kind=call.principal.kind,
        subject=call.principal.subject,
        caller_service=call.caller_service or "",
        request_id=call.request_id,
        text=request.text,
        data=request.data,
        client_address=call.client_address,
        actor=str(call.actor),
        token_id=call.origin.token_id,
    )
    if call.project is not None:
        seen.project_id, seen.project_name = call.project.id, call.project.name
    return seen


class GuardedServicer(guarded_pb2_grpc.GuardedServicer):  # type: ignore[misc]  # generated when the tests run
    """Answers with what it saw, unless `instead` says something else for a method."""

    def __init__(self) -> None:
        self.instead: dict[str, Callable[..., Any]] = {}

    async def _answer(self, method: str, request: Any, context: Any) -> Any:
        if method in self.instead:
            return await self.instead[method](request, context)
        return what_was_seen(request)

    async def _stream(self, method: str, request: Any, context: Any) -> AsyncIterator[Any]:
        if method in self.instead:
            async for message in self.instead[method](request, context):
                yield message
        else:
            yield what_was_seen(request)
            yield what_was_seen(request)

    async def WriteUpload(self, requests: Any, context: Any) -> Any:
        if "WriteUpload" in self.instead:
            return await self.instead["WriteUpload"](requests, context)
        written = 0
        async for request in requests:
            if request.document:
                current_call().present(request.document)
            written += len(request.data)
        return guarded_pb2.Response(text=str(written))

    async def PullAll(self, request: Any, context: Any) -> Any:
        """Answers each member with what was seen of it. `instead` may work on all of them."""
        return guarded_pb2.PullAllResponse(answers=await self._pull_all())

    async def PullInTurn(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in requests:
            yield guarded_pb2.PullAllResponse(answers=await self._pull_all())

    async def _pull_all(self) -> list[Any]:
        async def found(members: Any) -> Any:
            return members

        def written(call: Call, _: Any, outcome: Any) -> Any:
            return guarded_pb2.PullAllResponse.Answer(seen=what_was_seen(outcome, call))

        work = self.instead.get("PullAll", found)
        return await current_batch().answer(self.parse_member, work, written)

    @staticmethod
    def parse_member(_: Call, member: Any) -> Any:
        if member.text == "unreadable":
            raise Invalid("DIGEST_INVALID")
        return guarded_pb2.Request(text=member.text)

    async def Collect(self, requests: Any, context: Any) -> Any:
        return await self.instead["Collect"](requests, context)

    async def Converse(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        if "Converse" in self.instead:
            async for message in self.instead["Converse"](requests, context):
                yield message
            return
        async for request in requests:
            yield what_was_seen(request)


def _single(method: str) -> Any:
    async def serve(self: GuardedServicer, request: Any, context: Any) -> Any:
        return await self._answer(method, request, context)

    return serve


def _streaming(method: str) -> Any:
    async def serve(self: GuardedServicer, request: Any, context: Any) -> AsyncIterator[Any]:
        async for message in self._stream(method, request, context):
            yield message

    return serve


for _method in guarded_pb2.DESCRIPTOR.services_by_name["Guarded"].methods:
    if not _method.client_streaming and _method.name not in GuardedServicer.__dict__:
        setattr(
            GuardedServicer,
            _method.name,
            _streaming(_method.name) if _method.server_streaming else _single(_method.name),
        )


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason in the details of what a plain gRPC client caught."""
    from svckit.errors.status import from_rpc_error

    return from_rpc_error(error).reason

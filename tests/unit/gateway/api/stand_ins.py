"""Stand-ins of authsvc and metasvc that serve every RPC of their contracts, behind the real access gate."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from roadstead.auth.v1 import token_service_pb2 as token_pb
from svckit.access.call import Call, current_call
from svckit.access.decision import ProjectDecision, ProjectKey, ResolvedProject
from svckit.errors import DomainError, Unauthenticated
from svckit.rpc import RpcServer
from tests.harness.keyring import Keyring

Reply = Message | DomainError | Callable[[Any], Message]


@dataclass(frozen=True)
class Received:
    """A call that came."""

    request: Any
    call: Call
    metadata: dict[str, str]
    seconds_left: float | None


@dataclass
class StandIn:
    """Answers what the test says, and an empty message otherwise.

    Attributes:
        replies: by the RPC's name, "ProjectService.GetProject".
        received: what came, likewise.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    received: dict[str, list[Received]] = field(default_factory=dict)

    def last(self, name: str) -> Received:
        return self.received[name][-1]

    def register(self, server: RpcServer, package: ModuleType) -> None:
        for method in methods_of(package):
            if method.client_streaming or method.server_streaming:
                continue
            handler = grpc.unary_unary_rpc_method_handler(
                self._answering(method),
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
            service = method.containing_service.full_name

            def add(
                _: object, registrar: Any, service: str = service, name: str = method.name, handler: Any = handler
            ) -> None:
                registrar.add_registered_method_handlers(service, {name: handler})

            server.add(add, self)

    def _answering(self, method: MethodDescriptor) -> Any:
        name = f"{method.containing_service.name}.{method.name}"
        answer_type = GetMessageClass(method.output_type)

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            call = current_call()
            metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
            self.received.setdefault(name, []).append(Received(request, call, metadata, context.time_remaining()))
            # A row rule is satisfied by whatever the domain checks.
            call.checked = True
            reply = self.replies.get(name, answer_type())
            if isinstance(reply, DomainError):
                raise reply
            return reply if isinstance(reply, Message) else reply(request)

        return answer


class Allowing:
    """An AccessChecker that lets everybody do everything: what is refused is not the gateway's matter."""

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        return ProjectDecision(allowed=True, visible=True, project_id=project.id or 1, project_name=project.name or "p")

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        return True

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        return ResolvedProject(project.id or 1, project.name or "p")


def methods_of(package: ModuleType) -> Iterator[MethodDescriptor]:
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_service_pb2"):
            contract = importlib.import_module(f"{package.__name__}.{module.name}")
            for service in contract.DESCRIPTOR.services_by_name.values():
                yield from service.methods


def tokens_for_alice(keyring: Keyring) -> Callable[[token_pb.CreateIdentityTokenRequest], Message]:
    """Knows alice and her password."""

    def create(request: token_pb.CreateIdentityTokenRequest) -> Message:
        password = request.credentials.password
        if (password.username, password.secret) != ("alice", "open sesame"):
            raise Unauthenticated("UNAUTHORIZED", "wrong name or password")
        return token_pb.CreateIdentityTokenResponse(token=keyring.identity_token(name="alice"), expires_in_seconds=300)

    return create


M = TypeVar("M", bound=Message)


def message(kind: type[M], **fields: Any) -> M:
    """A message whose own messages may be given as dictionaries, which protobuf takes and its types do not say."""
    return kind(**fields)

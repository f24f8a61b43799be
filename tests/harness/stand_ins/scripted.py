"""A stand-in whose answers the test sets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from svckit.access.call import Call, current_call
from svckit.errors import DomainError
from tests.harness.stand_ins.serving import StandIn

Reply = Message | DomainError | Callable[[Any], Message]


@dataclass(frozen=True)
class Received:
    """A call that came."""

    request: Any
    call: Call
    metadata: dict[str, str]
    seconds_left: float | None


@dataclass
class Scripted(StandIn):
    """Serves every RPC without streams of its contracts: it answers what the test says, and an empty message otherwise.

    Attributes:
        replies: by the RPC's name, "ProjectService.GetProject".
        received: what came, likewise.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    received: dict[str, list[Received]] = field(default_factory=dict)

    def last(self, name: str) -> Received:
        """The call of an RPC that came last."""
        return self.received[name][-1]

    def answering(self, method: MethodDescriptor) -> Callable[..., Any] | None:
        """Every RPC without streams is answered."""
        if method.client_streaming or method.server_streaming:
            return None
        name = f"{method.containing_service.name}.{method.name}"
        answer_type = GetMessageClass(method.output_type)

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            call = current_call()
            metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
            self.received.setdefault(name, []).append(Received(request, call, metadata, context.time_remaining()))
            # For a row rule, the domain checks access; this counts as done here.
            call.checked = True
            reply = self.replies.get(name, answer_type())
            if isinstance(reply, DomainError):
                raise reply
            return reply if isinstance(reply, Message) else reply(request)

        return answer

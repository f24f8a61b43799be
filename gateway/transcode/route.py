"""One route: a binding, compiled for serving."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway.transcode.answering import ResponseWriter
from gateway.transcode.binding import Headers, RequestBinder
from gateway.transcode.contracts import Binding
from gateway.transcode.decoding import Decoders
from gateway.transcode.encoding import Encoders
from gateway.transcode.fields import ContractError
from gateway.transcode.paging import apply_page_defaults
from gateway.wire.answer import Answer


class RpcRoute:
    """An RPC at one path.

    Attributes:
        binding: the binding in the contract.
        binder: builds the RPC's requests.
        writer: writes the HTTP answers.
        path: the template as documentation shows it: "/api/v2.0/projects/{project_name_or_id}".
        response_type: the type of the RPC's response.
    """

    def __init__(self, binding: Binding, decoders: Decoders, encoders: Encoders) -> None:
        """Compiles a binding.

        Raises:
            ContractError: the binding cannot be served; the text names the RPC.
        """
        try:
            self.binder = RequestBinder(binding, decoders)
            self.writer = ResponseWriter(binding, encoders)
        except ContractError as error:
            raise ContractError(f"{binding.rpc.full_name}: {error}") from None
        self.binding = binding
        self.path = binding.template.render(self.binder.path_names)
        self.response_type: type[Message] = message_factory.GetMessageClass(binding.rpc.output_type)

    def request(self, variables: list[str], query: bytes, headers: Headers, body: bytes) -> Message:
        """Builds the RPC's request; the arguments are those of `RequestBinder.bind`.

        Raises:
            DomainError: BAD_REQUEST; it names the wrong field.
        """
        message = self.binder.bind(variables, query, headers, body)
        if self.writer.is_paged:
            apply_page_defaults(message, query)
        return message

    def answer(self, path: str, query: bytes, headers: Headers, request: Message, response: Message) -> Answer:
        """Writes the HTTP answer; the arguments are those of `ResponseWriter.write`."""
        return self.writer.write(path, query, headers, request, response)


def compile_bindings(bindings: Iterable[Binding]) -> list[RpcRoute]:
    """Compiles bindings, such as those of `read_bindings`, into routes.

    Raises:
        ContractError: a binding cannot be served.
    """
    decoders, encoders = Decoders(), Encoders()
    return [RpcRoute(binding, decoders, encoders) for binding in bindings]

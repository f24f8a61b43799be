"""The response of an RPC as an HTTP answer."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from operator import attrgetter
from typing import Any

from google.api import httpbody_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.transcode.binding import NAME_IN_LOCATION_HEADER, Headers
from gateway.transcode.contracts import Binding
from gateway.transcode.encoding import Encoders, dump
from gateway.transcode.fields import ContractError, find_field, held_type
from gateway.transcode.paging import is_paged, page_headers
from gateway.transcode.template import PathTemplate, fill
from gateway.transcode.texts import parse_flag
from gateway.wire.answer import JSON, NOT_SNIFFED, Answer

_HTTP_BODY = httpbody_pb2.HttpBody.DESCRIPTOR.full_name

_WriteBody = Callable[[Any], tuple[str, bytes]]
"""Media type and bytes of a response."""


class ResponseWriter:
    """Writes the answers of one binding.

    Attributes:
        status: the HTTP status of success.
        body_field: the field of the response that is the body; None if the body is the whole response or is empty.
        is_empty: whether the answer has no body.
        is_raw: whether the service chooses media type and bytes itself (google.api.HttpBody).
        is_paged: whether the answer is a page of a list.
        may_name_in_location: whether a header decides if the Location holds a name or an id.
    """

    def __init__(self, binding: Binding, encoders: Encoders) -> None:
        """Compiles a binding.

        Raises:
            ContractError: the binding names a field that does not exist, or a type without a JSON form.
        """
        request: Descriptor = binding.rpc.input_type
        response: Descriptor = binding.rpc.output_type
        extras = binding.extras
        self.status = extras.success_status or HTTPStatus.OK.value
        if not 200 <= self.status <= 299:
            raise ContractError(f"{self.status} is not a status of success")
        self.is_empty = extras.empty_body
        self.body_field: FieldDescriptor | None = None
        if binding.response_body:
            self.body_field = find_field(response, binding.response_body)[0]
        self.is_raw = _answered_type(response, self.body_field) == _HTTP_BODY
        self._write_body = self._compile_body(response, encoders)
        self._location = _LocationWriter(extras.location, request, response) if extras.location else None
        self._named_location = self._location
        self.may_name_in_location = bool(extras.named_location)
        if self.may_name_in_location:
            self._named_location = _LocationWriter(extras.named_location, request, response)
        self.is_paged = is_paged(request) and self.body_field is not None and self.body_field.is_repeated

    def write(self, path: str, query: bytes, headers: Headers, request: Message, response: Message) -> Answer:
        """Writes one answer.

        Args:
            path: the path of the HTTP request, as the client wrote it.
            query: its query, as the client wrote it.
            headers: its headers.
            request: the RPC's request.
            response: the RPC's response.
        """
        answer = Answer(self.status)
        is_named = self.may_name_in_location and parse_flag(headers(NAME_IN_LOCATION_HEADER))
        location = self._named_location if is_named else self._location
        if location is not None:
            answer.headers.append(("Location", location.write(request, response)))
        if self.is_empty:
            return answer
        if self.is_paged:
            answer.headers.extend(page_headers(path, query, request, response))
        media_type, answer.body = self._write_body(response)
        answer.headers.append(("Content-Type", media_type))
        if self.is_raw:
            # It may be what anybody has pushed. Browsers must not guess that it is a page.
            answer.headers.append(NOT_SNIFFED)
        return answer

    def _compile_body(self, response: Descriptor, encoders: Encoders) -> _WriteBody:
        field = self.body_field
        fetch: Callable[[Any], Any] = attrgetter(field.name) if field is not None else _whole
        if self.is_raw:
            return lambda message: write_raw(fetch(message))
        write = encoders.of_message(response) if field is None else encoders.of_field(field)
        return lambda message: (JSON, dump(write(fetch(message))))


class _LocationWriter:
    """Fills a template. The value of each variable comes from the response, or from the request if it is not there."""

    def __init__(self, text: str, request: Descriptor, response: Descriptor) -> None:
        self._segments = PathTemplate.parse(text).segments
        self._getters: list[tuple[bool, Callable[[Any], Any]]] = []
        for path in PathTemplate.parse(text).variables:
            try:
                in_response, fields = True, find_field(response, path)
            except ContractError:
                in_response, fields = False, find_field(request, path)
            if fields[-1].is_repeated or fields[-1].message_type is not None:
                raise ContractError(f"{text}: {path} is not a single value")
            self._getters.append((in_response, attrgetter(".".join(field.name for field in fields))))

    def write(self, request: Message, response: Message) -> str:
        values = [str(get(response if in_response else request)) for in_response, get in self._getters]
        return fill(self._segments, values)


def _answered_type(response: Descriptor, field: FieldDescriptor | None) -> str:
    if field is None:
        return str(response.full_name)
    return "" if field.is_repeated else held_type(field)


def _whole(message: Any) -> Any:
    return message


def write_raw(body: httpbody_pb2.HttpBody) -> tuple[str, bytes]:
    """Media type and bytes as the service chose them."""
    # A malformed media type is replaced: it must not get into a header.
    media_type = body.content_type
    is_valid = media_type.isascii() and media_type.isprintable() and "/" in media_type
    return (media_type if is_valid else "application/octet-stream"), body.data

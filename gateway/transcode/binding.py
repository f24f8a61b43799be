"""Turns an HTTP request into the request of its RPC."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.transcode.contracts import Binding
from gateway.transcode.decoding import Decoders, load
from gateway.transcode.fields import ContractError, find_field, held_type, json_name
from gateway.transcode.paging import WITH_TOTAL, is_paged
from gateway.transcode.texts import SetText, parse_flag, text_setter
from gateway.transcode.values import TEXT_READERS
from gateway.wire.fields import read_pairs
from roadstead.access.v1 import project_ref_pb2
from svckit.descriptors import is_map
from svckit.errors import DomainError, error_for

RESOURCE_NAME_HEADER = "X-Is-Resource-Name"
NAME_IN_LOCATION_HEADER = "X-Resource-Name-In-Location"
_MAXIMUM_PARAMETERS = 200
_MAXIMUM_NESTING = 3
_PROJECT_REF = project_ref_pb2.ProjectRef.DESCRIPTOR.full_name

Headers = Callable[[str], str | None]
"""Returns the value of a header, by its name; None without it."""


def name_project(project: project_ref_pb2.ProjectRef, text: str, headers: Headers) -> None:
    """Sets the name or the id of a project, from a path that may contain either.

    A decimal number that fits into 63 bits is an id, unless the header X-Is-Resource-Name says that it is a name.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63
    if is_number and not parse_flag(headers(RESOURCE_NAME_HEADER)):
        project.id = int(text)
    else:
        project.name = text


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input of a route outside its body, for the OpenAPI description.

    Attributes:
        name: the name that the client uses.
        where: "path", "query" or "header".
        field: the field that it fills.
    """

    name: str
    where: str
    field: FieldDescriptor


class RequestBinder:
    """Builds the requests of one binding.

    Neither the body nor the query can set a field that the path fills: a request is always about the object that its
    URL names.

    Attributes:
        parameters: the parameters in the path, the query and the headers, in this order.
        body_fields: the fields that the body may contain, by JSON name; None for a route without a body.
        has_whole_body: whether the body is the whole request. Otherwise it is one field of the request.
        path_names: the names of the path's variables in documentation, by their field paths.
    """

    def __init__(self, binding: Binding, decoders: Decoders) -> None:
        """Compiles a binding.

        Raises:
            ContractError: the binding names a field that does not exist, or that cannot be filled in this way.
        """
        request: Descriptor = binding.rpc.input_type
        self._message: type[Message] = message_factory.GetMessageClass(request)
        extras = binding.extras
        self._name_or_id = ""
        if extras.name_or_id:
            if held_type(find_field(request, extras.name_or_id)[-1]) != _PROJECT_REF:
                raise ContractError(f"{extras.name_or_id} is not a ProjectRef")
            self._name_or_id = f"{extras.name_or_id}.name"
        variables = binding.template.variables
        paths = {variable: find_field(request, variable) for variable in variables}
        self.path_names = {variable: self._path_name(variable) for variable in variables}
        self._variables = tuple(_Variable(self.path_names[path], paths[path]) for path in variables)
        self._headers = tuple(
            (header.header, _Variable(header.header, find_field(request, header.field))) for header in extras.headers
        )
        filled = {fields[0].name for fields in paths.values()}
        filled |= {find_field(request, header.field)[0].name for header in extras.headers}
        if is_paged(request):
            filled.add(WITH_TOTAL)
        self._fill_body, self.body_fields = self._compile_body(binding, decoders, filled)
        self._replaced = tuple(_presence_field(request, name) for name in extras.replaced)
        self.has_whole_body = binding.body == "*"
        self._query: dict[str, _Variable] = {}
        query_fields: list[Parameter] = []
        if not self.has_whole_body:
            for name, alias, fields in _query_fields(request, filled | {binding.body}):
                variable = _Variable(name, fields)
                query_fields.append(Parameter(name, "query", fields[-1]))
                self._query[name] = variable
                self._query.setdefault(alias, variable)
        self.parameters = (
            *(Parameter(self.path_names[path], "path", paths[path][-1]) for path in variables),
            *query_fields,
            *(Parameter(name, "header", variable.field) for name, variable in self._headers),
        )

    @property
    def reads_body(self) -> bool:
        """Whether the route has a body."""
        return self._fill_body is not None

    @property
    def takes_name_or_id(self) -> bool:
        """Whether one of the path's variables may be a name or an id."""
        return self._name_or_id in self.path_names

    def bind(self, variables: Sequence[str], query: bytes, headers: Headers, body: bytes) -> Message:
        """Builds a request.

        Args:
            variables: the decoded values of the path's variables, in order.
            query: the query as the client wrote it.
            headers: returns the value of a header.
            body: JSON; empty for none.

        Raises:
            DomainError: BAD_REQUEST, which names the wrong field; NOT_FOUND if the path fills that field; BODY_MISSING.
        """
        message = self._message()
        if query and self._query:
            self._bind_query(message, query)
        if self._fill_body is not None:
            self._fill_body(message, body)
        for field in self._replaced:
            if not message.HasField(field.name):
                _set_to_zero(message, field)
        for name, header in self._headers:
            value = headers(name)
            if value is not None:
                header.set(message, value)
        for variable, value in zip(self._variables, variables, strict=True):
            if variable.path == self._name_or_id:
                name_project(variable.parent(message), value, headers)
                continue
            try:
                variable.set(message, value)
            except DomainError as error:
                # For example, /users/search does not name a user by a wrong id. There is nothing at that path.
                raise error_for("NOT_FOUND", violations=error.violations) from None
        return message

    def _bind_query(self, message: Message, query: bytes) -> None:
        # If a parameter is given twice, the last value counts, as in go-openapi. A list gets all values.
        for name, value in read_pairs(query, most=_MAXIMUM_PARAMETERS):
            variable = self._query.get(name)
            if variable is not None:
                variable.set(message, value)

    def _path_name(self, variable: str) -> str:
        return f"{variable.replace('.', '_')}{'_or_id' if variable == self._name_or_id else ''}"

    def _compile_body(
        self, binding: Binding, decoders: Decoders, filled: Collection[str]
    ) -> tuple[Callable[[Message, bytes], None] | None, Mapping[str, FieldDescriptor] | None]:
        request: Descriptor = binding.rpc.input_type
        if not binding.body:
            return None, None
        if binding.body != "*":
            field = find_field(request, binding.body)[0]
            read_field, name = decoders.of_field(field), json_name(field)

            def fill_field(message: Message, body: bytes) -> None:
                document = load(body) if body.strip() else None
                if document is not None:
                    read_field(message, document, name)
                elif not binding.extras.optional_body:
                    raise error_for("BODY_MISSING")

            return fill_field, {name: field}
        read = decoders.of_message(request)
        fields = {json_name(field): field for field in request.fields if field.name not in filled}
        skip = frozenset(json_name(field) for field in request.fields if field.name in filled)

        may_be_missing = binding.extras.optional_body or not fields

        def fill_request(message: Message, body: bytes) -> None:
            if body.strip():
                read(load(body), message, "", skip)
            elif not may_be_missing:
                raise error_for("BODY_MISSING")

        return fill_request, fields


def _presence_field(request: Descriptor, name: str) -> FieldDescriptor:
    field = request.fields_by_name.get(name)
    if field is None or not field.has_presence:
        raise ContractError(f"{request.full_name} has no field {name} that could be left out")
    return field


def _set_to_zero(message: Message, field: FieldDescriptor) -> None:
    if field.message_type is None:
        setattr(message, field.name, field.default_value)
    else:
        getattr(message, field.name).SetInParent()


class _Variable:
    """A text input and the field that it fills. The field may be nested in other messages."""

    __slots__ = ("_parents", "_set", "field", "name", "path")

    def __init__(self, name: str, fields: Sequence[FieldDescriptor]) -> None:
        self.name = name
        self.field = fields[-1]
        self.path = ".".join(field.name for field in fields)
        self._parents = tuple(field.name for field in fields[:-1])
        self._set: SetText = text_setter(fields[-1])

    def parent(self, message: Message) -> Any:
        holder: Any = message
        for name in self._parents:
            holder = getattr(holder, name)
        return holder

    def set(self, message: Message, value: str) -> None:
        self._set(self.parent(message), value, self.name)


def _query_fields(
    descriptor: Descriptor, filled: Collection[str]
) -> Iterator[tuple[str, str, tuple[FieldDescriptor, ...]]]:
    """The fields that a query may fill: for each the JSON name, the name in the contract, and the path of fields."""
    for field in descriptor.fields:
        if field.name not in filled:
            yield from _leaf_fields((field,))


def _leaf_fields(path: tuple[FieldDescriptor, ...]) -> Iterator[tuple[str, str, tuple[FieldDescriptor, ...]]]:
    last = path[-1]
    if last.message_type is None or held_type(last) in TEXT_READERS:
        if last.message_type is None or not last.is_repeated:
            yield ".".join(json_name(field) for field in path), ".".join(field.name for field in path), path
    elif not (is_map(last) or last.is_repeated or len(path) == _MAXIMUM_NESTING or _is_google_type(last)):
        for field in last.message_type.fields:
            yield from _leaf_fields((*path, field))


def _is_google_type(field: FieldDescriptor) -> bool:
    return held_type(field).startswith("google.")

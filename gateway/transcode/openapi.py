"""The OpenAPI 3.0 description of the REST routes, made of what serves them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcode.binding import NAME_IN_LOCATION_HEADER, RESOURCE_NAME_HEADER
from gateway.transcode.contracts import Binding
from gateway.transcode.encoding import dump
from gateway.transcode.fields import FLOATS, enum_names, json_name, listed_field
from gateway.transcode.paging import DEFAULT_PAGE_SIZE, MAXIMUM_PAGE_SIZE
from gateway.transcode.route import RpcRoute
from svckit.bounds import FieldBounds, read_bounds
from svckit.descriptors import is_map, map_entry

_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"})
_ERROR = {"$ref": "#/components/responses/Error"}
_ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            },
        }
    },
}
_KNOWN: Mapping[str, Mapping[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "example": "1.5s"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object"},
    # The service chooses what it is: text, JSON, or bytes.
    "google.api.HttpBody": {},
}
_IS_NAME = {
    "name": RESOURCE_NAME_HEADER,
    "in": "header",
    "description": "Whether a project in the path that looks like an id is a name",
    "schema": {"type": "boolean", "default": False},
}
_NAME_IN_LOCATION = {
    "name": NAME_IN_LOCATION_HEADER,
    "in": "header",
    "description": "Whether the Location of the answer holds the name in place of the id",
    "schema": {"type": "boolean", "default": False},
}
_UNBOUNDED = FieldBounds()
_INT64 = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
    }
)


@dataclass(frozen=True, slots=True)
class HandwrittenOperation:
    """The description of a hand-written route.

    Attributes:
        method: the HTTP method.
        path: the path, with its variables in braces.
        operation_id: Harbor's operation id, or our own.
        summary: one line.
        schema: the schema of the JSON answer; None if the answer is no JSON.
        query: the schemas of the parameters in the query, by name. All are required.
        media_type: of an answer that is no JSON.
    """

    method: str
    path: str
    operation_id: str
    summary: str
    schema: Mapping[str, Any] | None = None
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    media_type: str = "text/plain"


@dataclass(slots=True)
class OpenApi:
    """Writes the description.

    Attributes:
        version: of this program.
    """

    version: str
    _schemas: dict[str, Any] = field(default_factory=dict)

    def render(self, routes: Iterable[RpcRoute], by_hand: Iterable[HandwrittenOperation]) -> bytes:
        """The description of these routes as JSON."""
        paths: dict[str, dict[str, Any]] = {}
        for operation in by_hand:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _handwritten(operation)
        seen: set[str] = set()
        for route in routes:
            # OpenAPI allows only these methods.
            if route.binding.method in _METHODS:
                described = self._operation(route, seen)
                paths.setdefault(route.path, {})[route.binding.method.lower()] = described
        return dump(
            {
                "openapi": "3.0.3",
                "info": {
                    "title": "Roadstead",
                    "version": self.version,
                    "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
                },
                "servers": [{"url": "/"}],
                "security": [{"basic": []}, {"bearer": []}, {}],
                "paths": dict(sorted(paths.items())),
                "components": {
                    "securitySchemes": {
                        "basic": {"type": "http", "scheme": "basic"},
                        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                    },
                    "responses": {
                        "Error": {
                            "description": "Refused, or failed",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Errors"}}},
                        }
                    },
                    "schemas": {"Errors": _ERROR_SCHEMA, **dict(sorted(self._schemas.items()))},
                },
            }
        )

    def _operation(self, route: RpcRoute, seen: set[str]) -> dict[str, Any]:
        binding = route.binding
        name = binding.extras.operation_id or str(binding.rpc.name)
        operation_id = name if name not in seen else f"{name}{len(seen)}"
        seen.add(operation_id)
        described: dict[str, Any] = {
            "operationId": operation_id,
            "summary": _sentence(binding),
            "tags": [str(binding.rpc.containing_service.name).removesuffix("Service")],
            "parameters": self._parameters(route),
            "responses": {str(route.writer.status): self._success(route), "default": _ERROR},
        }
        if binding.is_public:
            described["security"] = []
        fields = route.binder.body_fields
        if fields is not None:
            if route.binder.has_whole_body:
                needed = [name for name, held in fields.items() if _must_be_given(held)]
                schema: Mapping[str, Any] = self._object(fields, needed)
            else:
                schema = self._field(next(iter(fields.values())))
            described["requestBody"] = {
                "required": not binding.extras.optional_body,
                "content": {"application/json": {"schema": schema}},
            }
        return described

    def _parameters(self, route: RpcRoute) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        for parameter in route.binder.parameters:
            schema = dict(self._field(parameter.field))
            if route.writer.is_paged and parameter.name == "page":
                schema |= {"minimum": 1, "default": 1}
            elif route.writer.is_paged and parameter.name == "page_size":
                schema |= {"minimum": 1, "maximum": MAXIMUM_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
            required = parameter.where == "path" or _must_be_given(parameter.field)
            described.append({"name": parameter.name, "in": parameter.where, "required": required, "schema": schema})
        if route.binder.takes_name_or_id:
            described.append(_IS_NAME)
        if route.writer.may_name_in_location:
            described.append(_NAME_IN_LOCATION)
        return described

    def _success(self, route: RpcRoute) -> dict[str, Any]:
        writer, described = route.writer, dict[str, Any](description="Success")
        headers: dict[str, Any] = {}
        if route.binding.extras.location:
            headers["Location"] = {"schema": {"type": "string"}, "description": "Where the new one is"}
        if writer.is_paged:
            headers["X-Total-Count"] = {"schema": {"type": "integer"}, "description": "How many match in all"}
            headers["Link"] = {"schema": {"type": "string"}, "description": "The previous and the next page"}
        if headers:
            described["headers"] = headers
        if not writer.is_empty:
            held = writer.body_field
            schema = self._message(route.binding.rpc.output_type) if held is None else self._field(held)
            media_type = "*/*" if writer.is_raw else "application/json"
            described["content"] = {media_type: {"schema": schema}}
        return described

    def _field(self, held: FieldDescriptor) -> Mapping[str, Any]:
        bounds = _bounds(held)
        if is_map(held):
            value = map_entry(held)[1]
            values = self._single(value) | _limits(value, bounds.values)
            return {"type": "object", "additionalProperties": values} | _counts(bounds, "Properties")
        if (listed := listed_field(held)) is not None:
            return self._field(listed)
        if held.is_repeated:
            return {"type": "array", "items": self._single(held) | _limits(held, bounds.items)} | _counts(
                bounds, "Items"
            )
        return self._single(held) | _limits(held, bounds)

    def _single(self, held: FieldDescriptor) -> dict[str, Any]:
        return dict(_scalar(held) if held.message_type is None else self._message(held.message_type))

    def _message(self, descriptor: Descriptor) -> Mapping[str, Any]:
        full_name: str = descriptor.full_name
        if full_name in _KNOWN:
            return _KNOWN[full_name]
        name = _schema_name(descriptor)
        if name not in self._schemas:
            # The name is registered first, because a type may contain itself.
            schema = self._schemas[name] = {}
            fields = {json_name(held): held for held in descriptor.fields}
            schema.update(self._object(fields, [name for name, held in fields.items() if _bounds(held).required]))
        return schema_of(descriptor)

    def _object(self, fields: Mapping[str, FieldDescriptor], required: Sequence[str]) -> dict[str, Any]:
        described: dict[str, Any] = {"type": "object"}
        if required:
            described["required"] = required
        return described | {"properties": {name: self._field(held) for name, held in fields.items()}}


def schema_of(descriptor: Descriptor) -> Mapping[str, Any]:
    """The schema of a message that a described route takes or answers."""
    return {"$ref": f"#/components/schemas/{_schema_name(descriptor)}"}


def _schema_name(descriptor: Descriptor) -> str:
    return str(descriptor.full_name).removeprefix("roadstead.")


def _bounds(held: FieldDescriptor) -> FieldBounds:
    return read_bounds(held) or _UNBOUNDED


def _must_be_given(held: FieldDescriptor) -> bool:
    """Whether a request without this field is refused. Without presence, it is then checked like its zero value."""
    bounds = _bounds(held)
    if held.has_presence:
        return bounds.required
    return (
        any(least is not None and least > 0 for least in (bounds.min_length, bounds.min_items, bounds.minimum))
        or (bounds.one_of != () and "" not in bounds.one_of)
        or (bounds.pattern != "" and re.fullmatch(bounds.pattern, "") is None)
    )


def _limits(held: FieldDescriptor, bounds: FieldBounds | None) -> dict[str, Any]:
    """The bounds of one value, as JSON Schema."""
    if bounds is None:
        return {}
    shortest, longest = bounds.min_length, bounds.max_length
    if held.type == FieldDescriptor.TYPE_BYTES:
        # Base64 has four characters for three bytes.
        shortest, longest = (None if size is None else -(-size // 3) * 4 for size in (shortest, longest))
    limits = {
        "minLength": shortest,
        "maxLength": longest,
        "minimum": bounds.minimum,
        "maximum": bounds.maximum,
        "pattern": f"^(?:{bounds.pattern})$" if bounds.pattern else None,
        "enum": list(bounds.one_of) or None,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def _counts(bounds: FieldBounds, of_what: str) -> dict[str, Any]:
    counts = {f"min{of_what}": bounds.min_items, f"max{of_what}": bounds.max_items}
    return {name: count for name, count in counts.items() if count is not None}


def _scalar(held: FieldDescriptor) -> Mapping[str, Any]:
    if held.enum_type is not None:
        return {"type": "string", "enum": [name for name, _ in enum_names(held.enum_type)]}
    if held.type in FLOATS:
        return {"type": "number"}
    match held.type:
        case FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.TYPE_STRING:
            return {"type": "string"}
        case FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "format": "byte"}
    return {"type": "integer", "format": "int64" if held.type in _INT64 else "int32"}


def _handwritten(operation: HandwrittenOperation) -> dict[str, Any]:
    media_type, schema = "application/json", operation.schema
    if schema is None:
        media_type, schema = operation.media_type, {"type": "string"}
    variables = re.findall(r"\{([^}]+)\}", operation.path)
    parameters: list[tuple[str, str, Mapping[str, Any]]] = [("path", name, {"type": "string"}) for name in variables]
    parameters += [("query", name, schema) for name, schema in operation.query.items()]
    return {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "parameters": [
            *({"name": name, "in": where, "required": True, "schema": schema} for where, name, schema in parameters),
            *([_IS_NAME] if "project_name_or_id" in variables else []),
        ],
        "responses": {
            "200": {"description": "Success", "content": {media_type: {"schema": schema}}},
            "default": _ERROR,
        },
    }


def _sentence(binding: Binding) -> str:
    """The RPC's name as a sentence. The RPC's comment cannot be used: generated code does not contain it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", binding.rpc.name)
    return str(words[:1] + words[1:].lower())

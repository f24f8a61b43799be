"""Every route under /api/v2.0 with the line of the tables that says who may use it, and a request for each."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import httpx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.transcode.contracts import PREFIX, Binding, read_bindings
from gateway.transcode.fields import json_name
from gateway.transcode.template import fill
from roadstead.access.v1 import rest_pb2
from roadstead.auth import v1 as auth
from roadstead.blob import v1 as blob
from roadstead.job import v1 as job
from roadstead.meta import v1 as meta
from tests.access.rights import RIGHTS, RPCS, Right
from tests.access.world import World
from tests.harness.contracts import Rpc

_VARIABLE = re.compile(r"\{[^}]+\}")

# The texts of answers that hide what the caller may not see.
_HIDDEN = re.compile(r"(project|robot|label)( [0-9]+)? not found")


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        name: its method and path, such as "GET /projects/{}/members".
        right: who may use it.
        binding: the rule of its contract; None for a route that is written by hand.
    """

    name: str
    right: Right
    binding: Binding | None = None

    @property
    def has_line(self) -> bool:
        """Whether routes.toml has it."""
        return self.name in _LINES

    @property
    def rpc(self) -> Rpc | None:
        """The RPC behind it, if there is one."""
        return None if self.binding is None else RPCS[_rpc_name(self.binding)]

    def request(self, world: World, kind: str) -> dict[str, Any]:
        """The arguments of `httpx.Client.request`: what `World.request` would say to the RPC."""
        method, path = self.name.split(" ", 1)
        if self.binding is None or self.rpc is None:
            return {"method": method, "url": path.replace("{}", world.projects[kind], 1)}
        arguments = _transcoded(self.binding, world.request(self.rpc, kind))
        if self.name == "GET /robots":
            # Without a project, it lists the robots of the system level.
            arguments["params"] = {"q": f"Level=project,ProjectID={world.project_ids[kind]}"}
        return arguments


def _transcoded(binding: Binding, message: Message) -> dict[str, Any]:
    names = binding.template.variables
    values = [str(reduce(getattr, name.split("."), message)) for name in names]
    in_headers = {header.field: header.header for header in binding.extras.headers}
    in_path = {name.split(".", 1)[0] for name in names}
    rest = {
        field.name: (json_name(field), value)
        for field, value in message.ListFields()
        if field.name not in in_path and field.name not in in_headers
    }
    arguments: dict[str, Any] = {
        "method": binding.method,
        "url": fill(binding.template.segments, values).removeprefix(PREFIX),
        "headers": {
            in_headers[field.name]: str(value) for field, value in message.ListFields() if field.name in in_headers
        },
    }
    if binding.body == "*":
        arguments["json"] = {name: held for name, held in _json(message).items() if name in dict(rest.values())}
    elif binding.body:
        arguments["json"] = _json(getattr(message, binding.body))
    else:
        arguments["params"] = {name: value for name, value in rest.values() if not isinstance(value, Message)}
    return arguments


def _json(value: Any) -> Any:
    if isinstance(value, Message):
        return {json_name(field): _json(_listed(field, held)) for field, held in value.ListFields()}
    if isinstance(value, str | int | float | bool):
        return value
    return dict(value) if isinstance(value, Mapping) else [_json(each) for each in value]


def _listed(field: FieldDescriptor, value: Any) -> Any:
    """The value as JSON has it: some messages are lists there."""
    if not field.GetOptions().Extensions[rest_pb2.json].as_list:
        return value
    ((_, items),) = value.ListFields()
    return items


def is_refused(answer: httpx.Response) -> bool:
    """Whether the answer refuses the caller, or hides what the caller may not see."""
    if answer.status_code == httpx.codes.NOT_FOUND and answer.content:
        return any(_HIDDEN.fullmatch(error["message"]) for error in answer.json()["errors"])
    return answer.status_code in (401, 403)


def name_of(method: str, path: str) -> str:
    """The name of a route; its variables have no names in it, because descriptions and contracts differ in them."""
    return f"{method.upper()} {_VARIABLE.sub('{}', path.removeprefix(PREFIX))}"


def _rpc_name(binding: Binding) -> str:
    return binding.rpc_path.removeprefix("/roadstead.")


_LINES: Mapping[str, Right] = {
    name: Right.parse(line)
    for name, line in tomllib.loads((Path(__file__).parent / "routes.toml").read_text(encoding="utf-8")).items()
}
_BINDINGS: Mapping[str, Binding] = {
    name_of(binding.method, binding.template.render({name: name for name in binding.template.variables})): binding
    for binding in read_bindings((auth, meta, blob, job))
}
COMPOSED = frozenset(name for name, binding in _BINDINGS.items() if binding.extras.composed)
"""The routes of one RPC whose answers need another service as well."""
ROUTES: Mapping[str, Route] = {
    **{name: Route(name, right) for name, right in _LINES.items()},
    **{
        name: Route(name, _LINES.get(name) or RIGHTS[_rpc_name(binding)], binding)
        for name, binding in _BINDINGS.items()
    },
}
"""All routes, by name."""

"""Finds the RPCs that are served as REST, and reads their rules from the contracts."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import MethodDescriptor

from gateway.transcode.fields import ContractError
from gateway.transcode.template import PathTemplate
from roadstead.access.v1 import rest_pb2, rule_pb2

PREFIX = "/api/v2.0"


@dataclass(frozen=True, slots=True)
class Binding:
    """One path of one RPC.

    Attributes:
        rpc: the descriptor of the RPC.
        method: the HTTP method.
        template: the path, PREFIX included.
        body: "" for no body, "*" for all fields that the path does not fill, or the name of one field.
        response_body: the field of the response that is the body; empty for the whole response.
        extras: the RestRule of the RPC, our own option.
        is_public: whether anybody may call the RPC.
        is_primary: whether this is the rule itself; False for its additional bindings.
    """

    rpc: MethodDescriptor
    method: str
    template: PathTemplate
    body: str
    response_body: str
    extras: rest_pb2.RestRule
    is_public: bool
    is_primary: bool

    @property
    def rpc_path(self) -> str:
        """The path of the RPC in gRPC: "/roadstead.meta.v1.TagService/ListTags"."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    @property
    def package(self) -> str:
        """The package of its contract: "roadstead.meta.v1"."""
        return str(self.rpc.containing_service.file.package)


def read_bindings(packages: Iterable[ModuleType]) -> Iterator[Binding]:
    """The bindings of every RPC with a `google.api.http` rule.

    Args:
        packages: packages of generated stubs, such as `roadstead.meta.v1`. All their modules are read, so that a new
            contract is served without further code.

    Raises:
        ContractError: a rule cannot be served.
    """
    for package in packages:
        for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
            if name.endswith("_service_pb2"):
                module = importlib.import_module(f"{package.__name__}.{name}")
                for service in module.DESCRIPTOR.services_by_name.values():
                    for rpc in service.methods:
                        yield from bindings_of(rpc)


def bindings_of(rpc: MethodDescriptor) -> Iterator[Binding]:
    """The bindings of one RPC; none if the RPC has no rule.

    Raises:
        ContractError: the rule cannot be served.
    """
    options: Any = rpc.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    if rpc.client_streaming or rpc.server_streaming:
        raise ContractError(f"{rpc.full_name}: a streaming RPC cannot be a REST route")
    rule = options.Extensions[annotations_pb2.http]
    for http in (rule, *rule.additional_bindings):
        try:
            yield _binding(rpc, http, is_primary=http is rule)
        except ContractError as error:
            raise ContractError(f"{rpc.full_name}: {error}") from None


def _binding(rpc: MethodDescriptor, http: http_pb2.HttpRule, *, is_primary: bool) -> Binding:
    options: Any = rpc.GetOptions()
    kind = http.WhichOneof("pattern")
    if kind is None:
        raise ContractError("the rule names no path")
    method, path = (http.custom.kind, http.custom.path) if kind == "custom" else (kind.upper(), getattr(http, kind))
    if not path.startswith(f"{PREFIX}/"):
        raise ContractError(f"{path} is not under {PREFIX}")
    return Binding(
        rpc=rpc,
        method=method,
        template=PathTemplate.parse(path),
        body=http.body,
        response_body=http.response_body,
        extras=options.Extensions[rest_pb2.rest],
        is_public=options.Extensions[rule_pb2.rule].WhichOneof("kind") == "public",
        is_primary=is_primary,
    )

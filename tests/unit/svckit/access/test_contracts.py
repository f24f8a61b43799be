"""Every RPC of every contract declares a rule that a server can enforce."""

import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import MethodDescriptor

import roadstead
from svckit.access.rules import read_rule


def _methods() -> list[MethodDescriptor]:
    found = [
        method
        for module in pkgutil.walk_packages(roadstead.__path__, "roadstead.")
        if module.name.endswith("_pb2")
        for service in importlib.import_module(module.name).DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    return sorted(found, key=lambda method: str(method.full_name))


@pytest.mark.parametrize("method", _methods(), ids=lambda method: str(method.full_name))
def test_an_rpc_declares_a_rule_that_can_be_enforced(method: MethodDescriptor) -> None:
    read_rule(method)  # raises RuleError, naming the RPC, where it does not


def test_there_are_contracts() -> None:
    packages = {method.full_name.rsplit(".", 2)[0] for method in _methods()}
    assert {"roadstead.auth.v1", "roadstead.blob.v1", "roadstead.meta.v1"} <= packages

"""Secrets are marked in the contract: what is marked goes into no fast hash, and gRPC's own tools do not print it."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.harness.contracts import every_rpc

NAMES = ("password", "secret")


def _fields(message: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field
        if field.message_type is not None:
            yield from _fields(field.message_type, seen)


def test_passwords_and_secrets_are_marked_and_nothing_else_is() -> None:
    seen: set[str] = set()
    messages = [kind for rpc in every_rpc() for kind in (rpc.method.input_type, rpc.method.output_type)]
    fields = [field for message in messages for field in _fields(message, seen)]
    texts = [field for field in fields if field.type == FieldDescriptor.TYPE_STRING]
    secret = {field.full_name for field in texts if field.name.endswith(NAMES)}
    assert {field.full_name for field in fields if field.GetOptions().debug_redact} == secret
    assert "roadstead.auth.v1.CreateUserRequest.password" in secret

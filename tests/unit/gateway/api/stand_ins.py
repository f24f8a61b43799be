"""What authsvc answers about alice, and messages for other answers."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from roadstead.auth.v1 import token_service_pb2 as token_pb
from svckit.errors import Unauthenticated
from tests.harness.keyring import Keyring


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

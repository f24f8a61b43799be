"""The idempotency key of the current call."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from svckit.access.call import current_call
from svckit.idempotency import IDEMPOTENCY_KEY, IdempotencyKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message


def idempotency_key(request: Message) -> IdempotencyKey | None:
    """The key of a request, for `svckit.idempotency.IdempotencyRows`; None if the caller sent none.

    Fields that the contract marks `debug_redact` are secrets. They are not part of the request's hash, because it is a
    fast hash: with a stolen table, passwords could be guessed much faster than with the slow hash that is stored for
    them. (Even with a secret key for the hash: it would be stored in the same database.) The domain compares secrets by
    the slow hash.
    """
    key: str = getattr(request, IDEMPOTENCY_KEY)
    if not key:
        return None
    call = current_call()
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField(IDEMPOTENCY_KEY)
    secrets = sorted(_take_secrets(bare))
    # The names of the secrets are hashed, so that a request without a secret differs from a request with one.
    hashed = hashlib.sha256("".join(f"{path}\n" for path in secrets).encode())
    hashed.update(bare.SerializeToString(deterministic=True))
    return IdempotencyKey(
        # The subject includes the actor on whose behalf a service acts: jobs of two policies are two callers.
        subject=str(call.actor),
        method=call.method,
        key_hash=hashlib.sha256(key.encode()).hexdigest(),
        request_hash=hashed.hexdigest(),
        holds_secret=bool(secrets),
    )


def _take_secrets(message: Message, path: str = "") -> Iterator[str]:
    """Clears the secret fields of a message and of its nested messages, and yields the names of those that were set."""
    for field, value in message.ListFields():
        here = f"{path}{field.name}"
        if field.GetOptions().debug_redact:
            message.ClearField(field.name)
            yield here
        elif field.message_type is not None:
            for name, held in _messages_in(field, value):
                yield from _take_secrets(held, f"{here}{name}.")


def _messages_in(field: FieldDescriptor, value: Any) -> Iterator[tuple[str, Message]]:
    """The messages in a field, each with its index or its key."""
    held_type = field.message_type
    if held_type is not None and held_type.GetOptions().map_entry:
        if held_type.fields_by_name["value"].message_type is not None:
            yield from ((f"[{key}]", held) for key, held in value.items())
    elif field.is_repeated:
        yield from ((f"[{position}]", held) for position, held in enumerate(value))
    else:
        yield "", value

"""Reads from an RPC's contract how to call it: whether to repeat it, whether it has a deadline or stays open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from roadstead.options.v1 import call_pb2
from svckit.idempotency import IDEMPOTENCY_KEY

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

_REPEATABLE: Final = frozenset({MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT})


class Repeat(Enum):
    """Which calls of an RPC may be sent again when the result of the first attempt is unknown."""

    NEVER = auto()
    WITH_KEY = auto()
    """Calls whose request has an idempotency_key."""
    ALWAYS = auto()


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How a channel calls one RPC.

    Attributes:
        repeat: which calls are repeated.
        takes_long: whether its unary calls have no deadline, unless the caller sets one.
    """

    repeat: Repeat = Repeat.NEVER
    takes_long: bool = False


def call_policy(path: str) -> CallPolicy:
    """The policy of "/roadstead.auth.v1.UserService/GetUser".

    Its contract must be loaded; importing its stub does that. RPCs without such a contract, such as gRPC's health
    check, are not repeated and have a deadline.
    """
    try:
        method = descriptor_pool.Default().FindMethodByName(path.removeprefix("/").replace("/", "."))
    except KeyError:
        return CallPolicy()
    return CallPolicy(_repeat(method), method.GetOptions().Extensions[call_pb2.call].takes_long)


def adds_data(method: MethodDescriptor) -> bool:
    """Whether the contract says that an RPC adds data, so that it is refused while the disk is full."""
    return bool(method.GetOptions().Extensions[call_pb2.call].adds_data)


def is_refused_read_only(method: MethodDescriptor) -> bool:
    """Whether an RPC is refused in read-only mode: it has side effects, and its contract does not say that it works."""
    options = method.GetOptions()
    has_effects = options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS
    return has_effects and not options.Extensions[call_pb2.call].works_read_only


def is_long_lived(method: MethodDescriptor) -> bool:
    """Whether a call of an RPC stays open while nothing happens."""
    return method.GetOptions().Extensions[call_pb2.call].long_lived


def _repeat(method: MethodDescriptor) -> Repeat:
    # A stream of requests cannot be repeated: gRPC would have to keep all messages to send them again.
    if method.client_streaming or method.GetOptions().idempotency_level not in _REPEATABLE:
        return Repeat.NEVER
    return Repeat.WITH_KEY if IDEMPOTENCY_KEY in method.input_type.fields_by_name else Repeat.ALWAYS

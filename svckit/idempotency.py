"""Writes that a caller may repeat: the key of a request, and the result of the first call with that key.

`svckit.rpc.idempotency` reads the key of a request, `svckit.sql.idempotency` stores the results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from svckit.errors import Conflict, FieldViolation

if TYPE_CHECKING:
    from datetime import datetime

IDEMPOTENCY_KEY: Final = "idempotency_key"
"""The request field with which a create can be repeated safely."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one write. The key itself is not stored, so that no log and no row can contain it.

    Attributes:
        subject: the caller. Two callers may use the same key for different writes.
        method: the full name of the RPC. The same key may be used for different RPCs.
        key_hash: the hash of the key.
        request_hash: the hash of the request without its key and without its secrets.
        holds_secret: whether the request has a secret, which `request_hash` does not cover.
    """

    subject: str
    method: str
    key_hash: str
    request_hash: str
    holds_secret: bool = False


@dataclass(frozen=True, slots=True)
class FirstCall:
    """The result of the first call with a key.

    Attributes:
        made_id: the id of the object that it created.
        secret_hash: a slow, salted hash of the secret in its request; empty if it had none.
    """

    made_id: int
    secret_hash: str = ""


class IdempotencyRows(Protocol):
    """The results of first calls. Use it inside a writing unit of work."""

    async def claim(self, key: IdempotencyKey | None, now: datetime) -> FirstCall | None:
        """The result of the first call with this key; None if this is the first call, or if it has no key.

        Check the caller's rights before this: only a caller who may still make the call gets the answer to a repeat.
        Call this before any other write: a second call with the same key waits here until the unit of work of the first
        one ends. If the first was rolled back, nothing is stored, and the second call counts as the first.

        Raises:
            DomainError: CONFLICT if the key was used for another request.
        """

    async def remember(self, key: IdempotencyKey | None, made_id: int, *, secret_hash: str = "") -> None:
        """Stores the result of the call under a key that this unit has claimed. Does nothing without a key.

        Args:
            key: the claimed key.
            made_id: the id of the created object.
            secret_hash: a slow, salted hash of the request's secret. Required if `key.holds_secret`: the caller of
                `claim` compares a repeated secret with it.
        """


def used_for_another_request() -> Conflict:
    """The error if a key is used again with another request."""
    return Conflict(
        message="this idempotency key was used for another request",
        violations=[FieldViolation(IDEMPOTENCY_KEY, "was used for another request")],
    )


def made_is_gone() -> Conflict:
    """The error of a repeat if the object of the first call was deleted meanwhile."""
    return Conflict(
        message="the object that the first request with this idempotency key created was deleted",
        violations=[FieldViolation(IDEMPOTENCY_KEY, "was used to create an object that was deleted")],
    )

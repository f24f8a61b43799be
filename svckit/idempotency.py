"""Writes that a caller may repeat: the key that a request carries, and what the first call with that key made.

`svckit.rpc.idempotency` reads the key of a request, `svckit.sql.idempotency` keeps what was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from svckit.errors import Conflict, FieldViolation

if TYPE_CHECKING:
    from datetime import datetime

IDEMPOTENCY_KEY: Final = "idempotency_key"
"""The request field that makes a repeat of a create harmless."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one write. The key itself is not kept, so that no log and no row can show it.

    Attributes:
        subject: who calls. Two callers may use the same key for different things.
        method: full name of the RPC, likewise.
        key_hash: of the key.
        request_hash: of the request without its key and without its secrets.
        holds_secret: whether the request has a secret, which `request_hash` does not cover.
    """

    subject: str
    method: str
    key_hash: str
    request_hash: str
    holds_secret: bool = False


@dataclass(frozen=True, slots=True)
class FirstCall:
    """What the first call with a key made.

    Attributes:
        made_id: the id of what it made.
        secret_hash: a slow, salted hash of the secret in its request; empty where it had none.
    """

    made_id: int
    secret_hash: str = ""


class IdempotencyRows(Protocol):
    """What first calls have made. To be used inside a writing unit of work."""

    async def claim(self, key: IdempotencyKey | None, now: datetime) -> FirstCall | None:
        """What the first call with this key made; None where this is the first call, or where it has no key.

        Judge the caller's rights before: a repeat is answered only to who may still make it. Claim before anything
        else is written: a second call with the same key waits here until the unit of the first one ends. When that one
        rolled back, nothing is remembered, and the second call is the first.

        Raises:
            DomainError: CONFLICT; the key was used for another request.
        """

    async def remember(self, key: IdempotencyKey | None, made_id: int, *, secret_hash: str = "") -> None:
        """Notes what was made under a key that this unit has claimed; does nothing without a key.

        Args:
            key: as it was claimed.
            made_id: the id of what was made.
            secret_hash: a slow, salted hash of the request's secret. Needed where `key.holds_secret`: the caller of
                `claim` holds a repeated secret against it.
        """


def used_for_another_request() -> Conflict:
    """The error for a key that comes a second time with another request."""
    return Conflict(
        message="this idempotency key was used for another request",
        violations=[FieldViolation(IDEMPOTENCY_KEY, "was used for another request")],
    )


def made_is_gone() -> Conflict:
    """The error for a repeat whose first call made something that has been deleted since."""
    return Conflict(
        message="what the first request with this idempotency key made has been deleted since",
        violations=[FieldViolation(IDEMPOTENCY_KEY, "names something that has been deleted since")],
    )

"""Creates that may be repeated: what a caller's `request_id` has created is remembered for a day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from svckit.errors import FieldViolation, Invalid

if TYPE_CHECKING:
    from datetime import datetime

    from authsvc.domain.model import Caller
    from authsvc.domain.ports import UnitOfWork

MAXIMUM_CHARACTERS = 64
REMEMBERED = timedelta(days=1)

Created = Literal["user", "project", "member"]


async def claim_request(unit: UnitOfWork, caller: Caller, kind: Created, request_id: str) -> int | None:
    """The id of what this request has created before; None where this is the first time, or it is no repeatable one.

    Whoever sends the same request at this moment waits until this unit ends.

    Raises:
        DomainError: BAD_REQUEST; the request_id is too long.
    """
    if not request_id:
        return None
    if len(request_id) > MAXIMUM_CHARACTERS or not request_id.isprintable():
        description = f"has {MAXIMUM_CHARACTERS} printable characters at most"
        raise Invalid(message=f"request_id {description}", violations=[FieldViolation("request_id", description)])
    return await unit.requests.lock(caller.subject, kind, request_id)


async def remember_request(
    unit: UnitOfWork, caller: Caller, kind: Created, request_id: str, created_id: int, now: datetime
) -> None:
    """Remembers what this request has created, and forgets what is older than a day."""
    if request_id:
        await unit.requests.forget_before(now - REMEMBERED)
        await unit.requests.add(caller.subject, kind, request_id, created_id, now)

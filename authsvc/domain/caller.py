"""Who calls, read from the store. The claims of an identity token may be minutes old, so they are not enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.domain.model import ANONYMOUS
from svckit.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from authsvc.domain.model import Caller, Identity
    from authsvc.domain.rows import Unit


async def identify(unit: Unit, identity: Identity | None, now: datetime) -> Caller:
    """Looks up who calls. Without an identity the caller is anonymous.

    Raises:
        DomainError: UNAUTHORIZED; the user or robot is gone, disabled or expired.
    """
    if identity is None:
        return ANONYMOUS
    if identity.kind == "user":
        user = await unit.users.get(identity.id)
        if user is None or user.disabled:
            raise Unauthenticated
        return user.caller
    robot = await unit.robots.state(identity.id)
    if robot is None or robot.is_refused(now):
        raise Unauthenticated
    return robot.caller

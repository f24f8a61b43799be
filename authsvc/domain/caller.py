"""Who calls, as the store knows it now. What a token says of its bearer is up to five minutes old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from svckit.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from authsvc.domain.ports import Unit


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a verified identity token names; whether it still may do anything is for `identify` to say.

    Attributes:
        kind: "user" or "robot".
        id: the user's or the robot's id.
    """

    kind: Literal["user", "robot"]
    id: int


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller who may call, as the store knows it at this moment.

    Attributes:
        kind: "anonymous", "user" or "robot".
        id: the user's or the robot's id; 0 for nobody in particular.
        name: as they log in; empty for nobody in particular.
        is_administrator: whether everything is allowed.
    """

    kind: Literal["anonymous", "user", "robot"]
    id: int = 0
    name: str = ""
    is_administrator: bool = False

    @property
    def subject(self) -> str:
        """As tokens and logs name the caller: "user:7", "robot:12", "anonymous"."""
        return "anonymous" if self.kind == "anonymous" else f"{self.kind}:{self.id}"

    @property
    def user_id(self) -> int:
        """The user's id; 0 for robots and nobody in particular."""
        return self.id if self.kind == "user" else 0


ANONYMOUS = Caller("anonymous")


async def identify(unit: Unit, identity: Identity | None, now: datetime) -> Caller:
    """Looks up who calls. None is nobody in particular.

    Raises:
        DomainError: UNAUTHORIZED; the user or robot is gone, disabled or expired.
    """
    if identity is None:
        return ANONYMOUS
    if identity.kind == "user":
        user = await unit.users.get(identity.id)
        if user is None or user.disabled:
            raise Unauthenticated
        return Caller("user", user.id, user.username, user.is_administrator)
    robot = await unit.robots.state(identity.id)
    if robot is None or robot.is_refused(now):
        raise Unauthenticated
    return Caller("robot", robot.id, robot.full_name)

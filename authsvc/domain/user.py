"""Local users: their fields, and how to read them. `user_change` creates and changes them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from authsvc.domain.caller import identify
from authsvc.domain.model import Caller, Identity, User
from authsvc.domain.password import check_new_password
from svckit.errors import Denied, FieldViolation, Invalid, NotFound
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.query import Key, Order

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.ports import Unit

MAXIMUM_NAME_CHARACTERS = 255

# Harbor's list and the colon. HTTP Basic ends the name at the first colon, so a user with a colon could never log in.
_NOT_IN_NAMES = frozenset(',"~#%$:')
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}")


_LISTING: Listing[User] = Listing(
    name="users",
    sort_keys={
        "username": SortKey(str, lambda user: user.username),
        "creation_time": SortKey(datetime, lambda user: user.create_time),
        "update_time": SortKey(datetime, lambda user: user.update_time),
        "email": SortKey(str, lambda user: user.email),
        "realname": SortKey(str, lambda user: user.realname),
        "user_id": SortKey(int, lambda user: user.id),
    },
    default_order=(Order("username"),),
    keys={"username": Key("username"), "email": Key("email")},
    unique_key="user_id",
)


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be created.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    username: str
    password: str = field(repr=False)
    email: str = ""
    realname: str = ""
    comment: str = ""

    def __post_init__(self) -> None:
        check_username(self.username)
        check_new_password(self.password, "password")
        check_email(self.email)


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What to change of a profile; None keeps the value.

    Attributes:
        email: the mail address; empty removes it.
        realname: for people to read.
        comment: free text.
        etag: the etag of the user that was read; empty to change any state.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    email: str | None = None
    realname: str | None = None
    comment: str | None = None
    etag: str = ""

    def __post_init__(self) -> None:
        check_email(self.email or "")


def check_username(username: str) -> None:
    """Checks a login name by its rule: 1 to 255 characters, none of `,"~#%$:`, no control characters.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not 1 <= len(username) <= MAXIMUM_NAME_CHARACTERS:
        refuse("username", f"must have 1 to {MAXIMUM_NAME_CHARACTERS} characters")
    if username != username.strip() or any(
        character in _NOT_IN_NAMES or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in username
    ):
        forbidden = "".join(sorted(_NOT_IN_NAMES))
        refuse("username", f"must not contain {forbidden} or control characters, or begin or end with a space")


def check_email(email: str) -> None:
    """Checks a mail address by its rule. It may be empty.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if email and (not _EMAIL.fullmatch(email) or not email.isprintable()):
        refuse("email", "is not a mail address")


async def get_user(ports: Ports, identity: Identity, user_id: int) -> User:
    """Reads a user. Users may read themselves, administrators any user.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        check_self(caller, user_id)
        return await existing_user(unit, user_id)


async def get_current(ports: Ports, identity: Identity) -> User:
    """Reads the calling user. A robot appears as a user with the robot's id and full name, as in Harbor.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
    """
    now = ports.clock()
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, now)
        if caller.kind == "robot":
            robot = await unit.robots.get(caller.id)
            return User(
                id=caller.id,
                username=caller.name,
                email="",
                realname="",
                comment="",
                is_administrator=False,
                disabled=False,
                version=1 if robot is None else robot.version,
                create_time=now if robot is None else robot.create_time,
                update_time=now if robot is None else robot.update_time,
            )
        return await existing_user(unit, caller.id)


async def list_users(ports: Ports, request: ListRequest) -> Page[User]:
    """Lists users, by default in the order of their names.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        return await _LISTING.page(request, unit.users.page, unit.users.count)


async def existing_user(unit: Unit, user_id: int) -> User:
    """Reads a user.

    Raises:
        DomainError: USER_UNKNOWN.
    """
    user = await unit.users.get(user_id)
    if user is None:
        raise NotFound("USER_UNKNOWN")
    return user


def check_self(caller: Caller, user_id: int) -> None:
    """Checks that the caller is this user or an administrator.

    Raises:
        DomainError: FORBIDDEN.
    """
    if not (caller.is_administrator or caller.user_id == user_id):
        raise Denied


def refuse(name: str, description: str) -> NoReturn:
    """Refuses a request because of one of its fields."""
    raise Invalid(message=f"{name} {description}", violations=[FieldViolation(name, description)])

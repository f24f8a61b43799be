"""Local users: their fields, and how to read them. `user_change` creates and changes them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.model import Caller, Identity, User
from authsvc.domain.password import check_new_password
from authsvc.domain.permission import Permission
from svckit.errors import Denied, Invalid, NotFound, Precondition
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.query import Fuzzy, Key, Order

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.rows import Unit
    from svckit.query import Clause

MAXIMUM_NAME_CHARACTERS = 255

# Harbor's list for names.
_NOT_IN_REALNAMES = frozenset(',"~#%$')
# And the colon. HTTP Basic ends the name at the first colon, so a user with a colon could never log in.
_NOT_IN_NAMES = _NOT_IN_REALNAMES | {":"}
# A domain has a dot, or is an address in brackets.
_LOCAL_PART = r"""[^<>()\[\]\\.,;:\s@"]+"""
_EMAIL = re.compile(
    rf"{_LOCAL_PART}(?:\.{_LOCAL_PART})*@(?:(?:[a-zA-Z0-9-]+\.)+[a-zA-Z]{{2,}}|\[[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}\])"
)


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
    keys={
        "username": Key("username"),
        "email": Key("email"),
        "realname": Key("realname"),
        "user_id": Key("user_id", int),
        "sysadmin_flag": Key("administrator", bool),
        "creation_time": Key("creation_time", datetime),
        "update_time": Key("update_time", datetime),
    },
    unique_key="user_id",
)
_FOUND: Listing[User] = replace(_LISTING, name="found users", keys={})


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be created.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    username: str
    password: str = field(repr=False)
    email: str
    realname: str
    comment: str = ""

    def __post_init__(self) -> None:
        check_username(self.username)
        check_new_password(self.password, "password")
        check_email(self.email)
        check_realname(self.realname)


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What to change of a profile; None keeps the value.

    Attributes:
        email: the mail address.
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
        if self.email is not None:
            check_email(self.email)
        if self.realname is not None:
            check_realname(self.realname)


def check_username(username: str) -> None:
    """Checks a login name by its rule: 1 to 255 characters, none of `,"~#%$:`, no control characters.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not 1 <= len(username) <= MAXIMUM_NAME_CHARACTERS:
        raise Invalid.of_field("username", f"must have 1 to {MAXIMUM_NAME_CHARACTERS} characters")
    if username != username.strip() or any(
        character in _NOT_IN_NAMES or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in username
    ):
        forbidden = "".join(sorted(_NOT_IN_NAMES))
        raise Invalid.of_field(
            "username", f"must not contain {forbidden} or control characters, or begin or end with a space"
        )


def check_email(email: str) -> None:
    """Checks a mail address by Harbor's rule.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not email:
        raise Invalid.of_field("email", "can't be empty")
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        raise Invalid.of_field("email", "with illegal format")


def check_realname(realname: str) -> None:
    """Checks a name for people to read by Harbor's rule: 1 to 255 characters, none of `,"~#%$`.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not 1 <= len(realname) <= MAXIMUM_NAME_CHARACTERS:
        raise Invalid.of_field("realname", "with illegal length")
    if not _NOT_IN_REALNAMES.isdisjoint(realname):
        raise Invalid.of_field("realname", "contains illegal characters")


async def get_user(ports: Ports, identity: Identity, user_id: int) -> User:
    """Reads a user. Users may read themselves, administrators and robots with "user:read" any user.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        await check_self_or_robot(unit, caller, user_id, "read")
        return await existing_user(unit, user_id)


async def get_current(ports: Ports, identity: Identity) -> User:
    """Reads the calling user.

    Raises:
        DomainError: PRECONDITION, the caller is a robot; UNAUTHORIZED, the caller is disabled, expired or gone.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        if caller.kind == "robot":
            # Harbor's text.
            raise Precondition(message="get current user not available for security context: robot")
        return await existing_user(unit, caller.id)


async def list_users(ports: Ports, request: ListRequest, *, username: str = "", email: str = "") -> Page[User]:
    """Lists users, by default in the order of their names. `username` and `email` are parts of theirs.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    parts = (("username", username), ("email", email))
    fixed = tuple(Fuzzy(key, text) for key, text in parts if text)
    async with ports.store.read() as unit:
        return await _page(unit, _LISTING, request, fixed, scope=(username, email))


async def search_users(ports: Ports, identity: Identity, request: ListRequest, username: str) -> Page[User]:
    """Finds users by a part of their names, in the order of their names.

    Raises:
        DomainError: UNAUTHORIZED, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        await identify(unit, identity, ports.clock())
        return await _page(unit, _FOUND, request, (Fuzzy("username", username),), scope=(username,))


async def _page(
    unit: Unit, listing: Listing[User], request: ListRequest, fixed: tuple[Clause, ...], scope: tuple[str, ...]
) -> Page[User]:
    return await listing.page(
        request,
        unit.users.page,
        unit.users.count,
        fixed=fixed,
        scope=scope,
    )


async def existing_user(unit: Unit, user_id: int) -> User:
    """Reads a user.

    Raises:
        DomainError: USER_UNKNOWN.
    """
    user = await unit.users.get(user_id)
    if user is None:
        raise NotFound("USER_UNKNOWN")
    return user


async def find_user(unit: Unit, user_id: int, username: str, field_name: str) -> User:
    """Finds a user by id or by name. If both are given, they must be of the same user.

    Raises:
        DomainError: USER_UNKNOWN; BAD_REQUEST, none of them is given. It names the field.
    """
    if not user_id and not username:
        raise Invalid.of_field(field_name, "names no user")
    user = await unit.users.get(user_id) if user_id else await unit.users.by_name(username)
    if user is None or (username and user.username != username):
        raise NotFound("USER_UNKNOWN")
    return user


def check_self(caller: Caller, user_id: int) -> None:
    """Checks that the caller is this user or an administrator.

    Raises:
        DomainError: FORBIDDEN.
    """
    if not (caller.is_administrator or caller.user_id == user_id):
        raise Denied


async def check_self_or_robot(unit: Unit, caller: Caller, user_id: int, action: str) -> None:
    """Checks that the caller is this user, an administrator, or a robot that may do the action to users.

    Raises:
        DomainError: FORBIDDEN.
    """
    if caller.kind != "robot":
        check_self(caller, user_id)
    elif Permission("user", action) not in await unit.roles.on_system(caller):
        raise Denied

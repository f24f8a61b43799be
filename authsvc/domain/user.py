"""Local users."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from authsvc.domain.caller import identify
from authsvc.domain.model import Caller, Identity, User
from authsvc.domain.password import check_new_password
from svckit.errors import Conflict, Denied, FieldViolation, Invalid, NotFound, Precondition
from svckit.idempotency import FirstCall, made_is_gone, used_for_another_request
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Key, Order

if TYPE_CHECKING:
    from authsvc.domain.login import Login
    from authsvc.domain.ports import Clock, Hasher, Store, Unit, UnitOfWork
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)

MAXIMUM_NAME_CHARACTERS = 255
MAXIMUM_COMMENT_CHARACTERS = 1024

# Harbor's list, and the colon: HTTP Basic ends the name there, so such a user could never log in.
_NOT_IN_NAMES = frozenset(',"~#%$:')
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}")


_LISTING: Listing[User] = Listing(
    name="users",
    sort_keys={
        "username": SortKey(str, lambda user: user.username),
        "creation_time": SortKey(datetime, lambda user: user.create_time),
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
        check_profile(self.email, self.realname, self.comment)


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What to change of a profile; None leaves as it is.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    email: str | None = None
    realname: str | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        check_profile(self.email or "", self.realname or "", self.comment or "")


def check_username(username: str) -> None:
    """Holds a login name against the rule: 1 to 255 characters, none of `,"~#%$:`, no control characters.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not 1 <= len(username) <= MAXIMUM_NAME_CHARACTERS:
        _refuse("username", f"has 1 to {MAXIMUM_NAME_CHARACTERS} characters")
    if username != username.strip() or any(
        character in _NOT_IN_NAMES or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in username
    ):
        forbidden = "".join(sorted(_NOT_IN_NAMES))
        _refuse("username", f"has none of {forbidden}, no control characters, and no space at its ends")


def check_profile(email: str, realname: str, comment: str) -> None:
    """Holds the fields of a profile against their rules; empty is right for each.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if email and (len(email) > MAXIMUM_NAME_CHARACTERS or not _EMAIL.fullmatch(email) or not email.isprintable()):
        _refuse("email", "is no mail address")
    if len(realname) > MAXIMUM_NAME_CHARACTERS or "\0" in realname:
        _refuse("realname", f"has {MAXIMUM_NAME_CHARACTERS} characters at most")
    if len(comment) > MAXIMUM_COMMENT_CHARACTERS or "\0" in comment:
        _refuse("comment", f"has {MAXIMUM_COMMENT_CHARACTERS} characters at most")


async def create_user(
    store: Store,
    hasher: Hasher,
    clock: Clock,
    identity: Identity,
    new: NewUser,
    *,
    key: IdempotencyKey | None = None,
    robot_name_prefix: str,
) -> User:
    """Creates a user. A repeat with the same idempotency key answers with the user that the first call created.

    Raises:
        DomainError: BAD_REQUEST, a name that robots have; CONFLICT, the name or the mail address is taken,
            or the key was used for another request; UNAUTHORIZED, the caller is disabled or gone.
    """
    if new.username.startswith(robot_name_prefix):
        _refuse("username", f"begins with {robot_name_prefix}, as the names of robots do")
    # Before the unit begins: nobody else could write while this one hashes.
    password_hash = await hasher.hash(new.password)

    async def work() -> User | FirstCall:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                return first
            user_id = await unit.users.add(
                username=new.username,
                email=new.email,
                realname=new.realname,
                comment=new.comment,
                password_hash=password_hash,
                is_administrator=False,
                now=now,
            )
            if user_id is None:
                raise Conflict(message="the username or the mail address is taken")
            await unit.idempotency.remember(key, user_id, secret_hash=password_hash)
            user = await _existing(unit, user_id)
            await unit.commit()
        _log.info("user_created", user_id=user_id, username=new.username, actor=caller.subject)
        return user

    made = await store.repeat(work)
    if isinstance(made, User):
        return made
    # After the unit has ended, for the same reason.
    if not await hasher.verify(made.secret_hash, new.password):
        raise used_for_another_request()
    async with store.read() as unit:
        user = await unit.users.get(made.made_id)
    if user is None:
        raise made_is_gone()
    return user


async def get_user(store: Store, clock: Clock, identity: Identity, user_id: int) -> User:
    """Reads a user: itself, or any for an administrator.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED.
    """
    async with store.read() as unit:
        caller = await identify(unit, identity, clock())
        _check_self(caller, user_id)
        return await _existing(unit, user_id)


async def get_current(store: Store, clock: Clock, identity: Identity) -> User:
    """Reads the user who calls. A robot appears as a user with the robot's id and full name, as in Harbor.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
    """
    now = clock()
    async with store.read() as unit:
        caller = await identify(unit, identity, now)
        if caller.kind == "robot":
            robot = await unit.robots.get(caller.id)
            created = now if robot is None else robot.create_time
            updated = now if robot is None else robot.update_time
            return User(caller.id, caller.name, "", "", "", False, False, created, updated)  # noqa: FBT003 - the flags of a user
        return await _existing(unit, caller.id)


async def list_users(store: Store, request: ListRequest) -> Page[User]:
    """Lists users, by name unless `sort` says otherwise.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with store.read() as unit:
        return await _LISTING.page(request, unit.users.page, unit.users.count)


async def update_user(store: Store, clock: Clock, identity: Identity, user_id: int, change: ProfileChange) -> User:
    """Changes a profile: one's own, or any for an administrator.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED; CONFLICT, the mail address is taken.
    """

    async def work() -> User:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            _check_self(caller, user_id)
            # Told apart from a conflict: both change no row.
            await _existing(unit, user_id)
            if not await unit.users.update_profile(user_id, change.email, change.realname, change.comment, now):
                raise Conflict(message="the mail address is taken")
            user = await _existing(unit, user_id)
            await unit.commit()
        _log.info("user_profile_changed", user_id=user_id, actor=caller.subject)
        return user

    return await store.repeat(work)


async def set_disabled(store: Store, clock: Clock, identity: Identity, user_id: int, *, disabled: bool) -> User:
    """Lets a user in or keeps it out.

    Raises:
        DomainError: USER_UNKNOWN; PRECONDITION, it is the last administrator, or the caller itself.
    """

    async def work() -> User:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            if disabled:
                if caller.user_id == user_id:
                    raise Precondition(message="you cannot disable yourself")
                await _keep_an_administrator(unit, user_id)
            await unit.users.set_disabled(user_id, disabled, now)
            user = await _existing(unit, user_id)
            await unit.commit()
        _log.info("user_disabled" if disabled else "user_enabled", user_id=user_id, actor=caller.subject)
        return user

    return await store.repeat(work)


async def set_administrator(
    store: Store, clock: Clock, identity: Identity, user_id: int, *, administrator: bool
) -> User:
    """Gives or takes the right of a system administrator.

    Raises:
        DomainError: USER_UNKNOWN; PRECONDITION, it is the last administrator.
    """

    async def work() -> User:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            if not administrator:
                await _keep_an_administrator(unit, user_id)
            await unit.users.set_administrator(user_id, administrator, now)
            user = await _existing(unit, user_id)
            await unit.commit()
        _log.info("user_administrator_set", user_id=user_id, administrator=administrator, actor=caller.subject)
        return user

    return await store.repeat(work)


async def change_password(
    store: Store,
    hasher: Hasher,
    login: Login,
    clock: Clock,
    identity: Identity,
    user_id: int,
    old_password: str,
    new_password: str,
) -> None:
    """Changes a password: the user's own with the old one, another user's as an administrator without.

    Raises:
        DomainError: BAD_REQUEST, the new one breaks the rule or is the old one; FORBIDDEN, the old one is wrong, or
            the caller may not; USER_UNKNOWN; TOOMANYREQUESTS as a log-in.
    """
    check_new_password(new_password, "new_password")
    async with store.read() as unit:
        caller = await identify(unit, identity, clock())
        _check_self(caller, user_id)
        await _existing(unit, user_id)
    if caller.user_id == user_id:
        # Whoever holds a token for five minutes must not be able to keep the account for good.
        if not await login.confirms(caller, old_password):
            raise Denied(message="the old password is wrong")
        if new_password == old_password:
            _refuse("new_password", "is the old one")
    password_hash = await hasher.hash(new_password)

    async def work() -> None:
        now = clock()
        async with store.write() as unit:
            if not await unit.users.set_password(user_id, password_hash, now):
                raise NotFound("USER_UNKNOWN")
            await unit.commit()

    await store.repeat(work)
    _log.info("user_password_changed", user_id=user_id, actor=caller.subject)


async def delete_user(store: Store, clock: Clock, identity: Identity, user_id: int) -> None:
    """Deletes a user and its memberships. Its projects stay, without an owner; its name may be given again.

    Raises:
        DomainError: USER_UNKNOWN; PRECONDITION, it is the caller itself or the last administrator.
    """

    async def work() -> None:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            if caller.user_id == user_id:
                raise Precondition(message="you cannot delete yourself")
            await _keep_an_administrator(unit, user_id)
            if not await unit.users.remove(user_id):
                raise NotFound("USER_UNKNOWN")
            await unit.commit()
        _log.info("user_deleted", user_id=user_id, actor=caller.subject)

    await store.repeat(work)


async def _keep_an_administrator(unit: UnitOfWork, user_id: int) -> None:
    # Locked, because two administrators may be about to take each other's right at this moment.
    if await unit.users.lock_administrators() == [user_id]:
        raise Precondition(message="this is the last administrator")


async def _existing(unit: Unit, user_id: int) -> User:
    user = await unit.users.get(user_id)
    if user is None:
        raise NotFound("USER_UNKNOWN")
    return user


def _check_self(caller: Caller, user_id: int) -> None:
    if not (caller.is_administrator or caller.user_id == user_id):
        raise Denied


def _refuse(name: str, description: str) -> NoReturn:
    raise Invalid(message=f"{name} {description}", violations=[FieldViolation(name, description)])

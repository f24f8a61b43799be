"""Creates, changes and deletes local users."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import Identity, Requester, User
from authsvc.domain.password import check_new_password
from authsvc.domain.revocation import loss_of
from authsvc.domain.user import NewUser, ProfileChange, check_self, check_self_or_robot, existing_user
from svckit.errors import Conflict, Denied, FieldViolation, Invalid, NotFound, Precondition
from svckit.etag import check_etag
from svckit.idempotency import FirstCall, made_is_gone, used_for_another_request
from svckit.logging import get_logger

if TYPE_CHECKING:
    from datetime import datetime

    from authsvc.domain.bundle import Ports
    from authsvc.domain.rows import UnitOfWork
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)

FIRST_USER_ID = 1
"""The administrator of the first start. Harbor's clients rely on it, so it can be disabled, but not deleted."""


async def create_user(ports: Ports, requester: Requester, new: NewUser, *, key: IdempotencyKey | None = None) -> User:
    """Creates a user. A repeat with the same idempotency key answers with the user that the first call created.

    Raises:
        DomainError: BAD_REQUEST, the name has the prefix of robots; CONFLICT, the name or the mail address is taken, or
            the key was used for another request; UNAUTHORIZED, the caller is disabled or gone.
    """
    # Before the unit begins: on SQLite, an open unit blocks all other writers while this hashes.
    password_hash = await ports.hasher.hash(new.password)

    async def work() -> User | FirstCall:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            await _check_no_robot_prefix(ports, unit, new.username)
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
            user = await existing_user(unit, user_id)
            unit.record(change_of(ChangeKind.USER_CREATED, requester.origin, now, new=user))
            await unit.commit()
        _log.info("user_created", user_id=user_id, username=new.username, actor=str(requester.origin.actor))
        return user

    made = await ports.store.repeat(work)
    if isinstance(made, User):
        return made
    # The password is verified after the unit has ended, for the same reason.
    if not await ports.hasher.verify(made.secret_hash, new.password):
        raise used_for_another_request()
    async with ports.store.read() as unit:
        user = await unit.users.get(made.made_id)
    if user is None:
        raise made_is_gone()
    return user


async def _check_no_robot_prefix(ports: Ports, unit: UnitOfWork, username: str) -> None:
    """Refuses a name that begins as those of robots do. With the lock, the prefix stays as it is until the commit."""
    await unit.configuration.lock()
    prefix = ports.configuration.combine(await unit.configuration.read()).values.robot_name_prefix
    if username.startswith(prefix):
        raise Invalid.of_field("username", f"must not begin with {prefix}, the prefix of robot names")


async def update_user(ports: Ports, requester: Requester, user_id: int, change: ProfileChange) -> User:
    """Changes a profile. Users may change their own, administrators and robots with "user:update" any.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED; PRECONDITION, another change came first; CONFLICT, the mail
            address is taken.
    """

    async def work() -> User:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            await check_self_or_robot(unit, caller, user_id, "update")
            user = await _locked(unit, user_id)
            changed = replace(
                user,
                email=user.email if change.email is None else change.email,
                realname=user.realname if change.realname is None else change.realname,
                comment=user.comment if change.comment is None else change.comment,
            )
            return await _update(unit, requester, now, ChangeKind.USER_PROFILE_CHANGED, user, changed, change.etag)

    return await ports.store.repeat(work)


async def set_disabled(ports: Ports, requester: Requester, user_id: int, *, disabled: bool, etag: str = "") -> User:
    """Disables or enables a user. Robots that may change users cannot do it to an administrator.

    The refresh tokens of a disabled user end, and its registry tokens are refused.

    Raises:
        DomainError: USER_UNKNOWN; FORBIDDEN, the user is an administrator and the caller is not; PRECONDITION, the user
            is the last administrator or the caller, or another change came first.
    """

    async def work() -> User:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            if disabled:
                if caller.user_id == user_id:
                    raise Precondition(message="you cannot disable yourself")
                await _keep_an_administrator(unit, user_id)
            user = await _locked(unit, user_id)
            if user.is_administrator and not caller.is_administrator:
                # Whoever enables an administrator makes one.
                raise Denied
            kind = ChangeKind.USER_DISABLED if disabled else ChangeKind.USER_ENABLED
            changed = replace(user, disabled=disabled)
            if disabled and not user.disabled:
                # Its refresh tokens end for good, also if it is enabled again.
                changed = replace(changed, credential_version=user.credential_version + 1)
                await unit.refresh_tokens.remove_of(Identity("user", user_id))
                unit.revoke(loss_of(Identity("user", user_id)))
            return await _update(unit, requester, now, kind, user, changed, etag)

    return await ports.store.repeat(work)


async def set_administrator(
    ports: Ports, requester: Requester, user_id: int, *, administrator: bool, etag: str = ""
) -> User:
    """Gives or takes the right of a system administrator.

    Nobody gives what they do not hold. So a robot cannot do it, even if it may change users.

    Raises:
        DomainError: USER_UNKNOWN; FORBIDDEN, the caller is not an administrator; PRECONDITION, the user is the last
            administrator, or another change came first.
    """

    async def work() -> User:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            if not caller.is_administrator:
                raise Denied
            if not administrator:
                await _keep_an_administrator(unit, user_id)
            user = await _locked(unit, user_id)
            changed = replace(user, is_administrator=administrator)
            if not administrator:
                unit.revoke(loss_of(Identity("user", user_id)))
            return await _update(unit, requester, now, ChangeKind.USER_ADMINISTRATOR_SET, user, changed, etag)

    return await ports.store.repeat(work)


async def change_password(
    ports: Ports, requester: Requester, user_id: int, old_password: str, new_password: str
) -> None:
    """Changes a password. Users must give their old one; administrators need not, for the password of another user.

    The user's refresh tokens end, and its registry tokens are refused.

    Raises:
        DomainError: BAD_REQUEST, the new password breaks the rule or is the old one; FORBIDDEN, the old one is wrong,
            or the caller is neither this user nor an administrator; USER_UNKNOWN; TOOMANYREQUESTS, OVERLOADED.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, requester.identity, ports.clock())
        check_self(caller, user_id)
        await existing_user(unit, user_id)
    if caller.user_id == user_id:
        # Without this check, somebody who has stolen an identity token could take over the account for good.
        if not await ports.login.confirms(caller, old_password):
            raise Denied(message="Current password is incorrect")
        if new_password == old_password:
            raise Invalid(
                message="New password is identical to old password",
                violations=[FieldViolation("new_password", "is identical to the old password")],
            )
    check_new_password(new_password, "new_password")
    password_hash = await ports.hasher.hash(new_password)

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            # Again: the caller may have lost its rights while the passwords were hashed.
            check_self(await identify(unit, requester.identity, now), user_id)
            user = await _locked(unit, user_id)
            changed = replace(
                user, version=user.version + 1, update_time=now, credential_version=user.credential_version + 1
            )
            await unit.users.set_password(changed, password_hash)
            await unit.refresh_tokens.remove_of(Identity("user", user_id))
            unit.record(change_of(ChangeKind.USER_PASSWORD_CHANGED, requester.origin, now, old=user, new=changed))
            unit.revoke(loss_of(Identity("user", user_id)))
            await unit.commit()

    await ports.store.repeat(work)
    _log.info("user_password_changed", user_id=user_id, actor=str(requester.origin.actor))


async def delete_user(ports: Ports, requester: Requester, user_id: int) -> None:
    """Deletes a user and its memberships. Its projects stay, without an owner. A new user may have its name.

    Raises:
        DomainError: USER_UNKNOWN; FORBIDDEN, the user is the caller or the first administrator; PRECONDITION, the user
            is the last administrator who is not disabled.
    """

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            if user_id in (caller.user_id, FIRST_USER_ID):
                raise Denied(message=f"User with ID {user_id} cannot be deleted")
            await _keep_an_administrator(unit, user_id)
            user = await _locked(unit, user_id)
            await unit.users.remove(user_id)
            unit.record(change_of(ChangeKind.USER_DELETED, requester.origin, now, old=user))
            unit.revoke(loss_of(Identity("user", user_id)))
            await unit.commit()
        _log.info("user_deleted", user_id=user_id, username=user.username, actor=str(requester.origin.actor))

    await ports.store.repeat(work)


async def set_cli_secret(ports: Ports, requester: Requester, user_id: int) -> None:
    """Refuses to set the secret for command lines, which only users of an OpenID provider have.

    Raises:
        DomainError: PRECONDITION; FORBIDDEN, the caller is neither this user nor an administrator; UNAUTHORIZED.
    """
    async with ports.store.read(short=True) as unit:
        check_self(await identify(unit, requester.identity, ports.clock()), user_id)
    # Harbor's text.
    raise Precondition(message="unable to update CLI secret under authmode: db_auth")


async def _update(
    unit: UnitOfWork, requester: Requester, now: datetime, kind: ChangeKind, user: User, wanted: User, etag: str
) -> User:
    """Writes and commits a change of a locked user. Does nothing if nothing would change."""
    if wanted == user:
        # Before the etag is checked: a caller that repeats a finished update still sends the old etag.
        return user
    check_etag(etag, user)
    changed = replace(wanted, version=user.version + 1, update_time=now)
    if not await unit.users.update(changed):
        raise Conflict(message="the mail address is taken")
    unit.record(change_of(kind, requester.origin, now, old=user, new=changed))
    await unit.commit()
    _log.info(kind.value, user_id=user.id, username=user.username, actor=str(requester.origin.actor))
    return changed


async def _keep_an_administrator(unit: UnitOfWork, user_id: int) -> None:
    # The rows are locked. Otherwise two administrators could disable each other at the same moment, and none is left.
    if await unit.users.lock_administrators() == [user_id]:
        raise Precondition(message="this is the last administrator")


async def _locked(unit: UnitOfWork, user_id: int) -> User:
    user = await unit.users.lock(user_id)
    if user is None:
        raise NotFound("USER_UNKNOWN")
    return user

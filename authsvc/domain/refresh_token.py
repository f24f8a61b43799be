"""Refresh tokens: gives them to clients, lists them, and ends them. `refresh_login` takes them.

They are as in distribution's OAuth2 specification: opaque, and the same token for each use, because clients do not keep
a new one (docs/decisions/0041).
https://distribution.github.io/distribution/spec/auth/oauth/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import Identity
from authsvc.domain.revocation import loss_of_refresh_token
from authsvc.domain.robot import permitted_robot
from authsvc.domain.user import check_self, existing_user
from svckit.errors import Invalid, NotFound, Precondition
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Exact, Order, Range

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import RefreshToken, Requester
    from authsvc.domain.rows import Unit, UnitOfWork
    from authsvc.domain.token import PasswordCredentials

_log = get_logger(__name__)

MAXIMUM_FOR_EACH = 1000
"""How many tokens a user or robot may have. A program that logs in again and again must not fill the database."""

# A token that was not used for so long goes when a holder has too many. Programs that log in before each of their runs
# leave such tokens.
_IDLE = timedelta(days=1)
_REMOVED_AT_ONCE = 1000
# VSCHAR of RFC 6749, appendix A.1.
_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}")

_LISTING: Listing[RefreshToken] = Listing(
    name="refresh tokens",
    sort_keys={"id": SortKey(int, lambda token: token.id)},
    default_order=(Order("id", descending=True),),
)


@dataclass(frozen=True, slots=True)
class NewRefreshToken:
    """A token that was just given.

    Attributes:
        text: the token. It is not stored, and cannot be shown again.
        expire_time: when it ends, unless it is used before.
    """

    text: str = field(repr=False)
    expire_time: datetime


def check_client_id(client_id: str) -> None:
    """Checks the name that a client gives itself.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not _CLIENT_ID.fullmatch(client_id):
        raise Invalid.of_field("client_id", "must have 1 to 255 printable ASCII characters")


async def create_refresh_token(
    ports: Ports, credentials: PasswordCredentials, client_id: str, address: str
) -> NewRefreshToken:
    """Gives a client a token of the user or robot of these credentials.

    Raises:
        DomainError: UNAUTHORIZED, wrong credentials, or an account that may not log in; TOOMANYREQUESTS, OVERLOADED;
            BAD_REQUEST, the client's name is malformed; PRECONDITION, none is given: they are switched off, or the
            account has too many.
    """
    check_client_id(client_id)
    if not ports.rules.refresh_tokens.days:
        raise Precondition(message="refresh tokens are switched off")
    # With the version of the password that has just been verified. If it changes from here on, the token is dead.
    caller = await ports.login.log_in(credentials.username, credentials.secret, address)
    holder = Identity("user" if caller.kind == "user" else "robot", caller.id)
    text = ports.refresh_token_texts.make()

    async def work() -> tuple[int, datetime]:
        now = ports.clock()
        expire_time = now + ports.rules.refresh_tokens.lifetime
        async with ports.store.write() as unit:
            has_all = await unit.refresh_tokens.count((_of(holder),)) >= MAXIMUM_FOR_EACH
            if has_all and not await unit.refresh_tokens.remove_idle(holder, now - _IDLE):
                raise Precondition(message=f"this account has {MAXIMUM_FOR_EACH} refresh tokens in use")
            token_id = await unit.refresh_tokens.add(
                token_hash=ports.refresh_token_texts.hash(text),
                holder=caller,
                client_id=client_id,
                service=ports.rules.refresh_tokens.service,
                address=address,
                now=now,
                expire_time=expire_time,
            )
            await unit.commit()
        return token_id, expire_time

    token_id, expire_time = await ports.store.repeat(work)
    _log.info(
        "refresh_token_created",
        refresh_token_id=token_id,
        subject=caller.subject,
        client_id=client_id,
        address=address,
    )
    return NewRefreshToken(text, expire_time)


async def list_user_tokens(ports: Ports, identity: Identity, user_id: int, request: ListRequest) -> Page[RefreshToken]:
    """Lists the tokens of a user that still work, the newest first. Users may list their own, administrators any.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED, INVALID_PAGE_TOKEN.
    """
    now = ports.clock()
    async with ports.store.read() as unit:
        check_self(await identify(unit, identity, now), user_id)
        user = await existing_user(unit, user_id)
        return await _page(unit, request, Identity("user", user_id), user.credential_version, now)


async def revoke_user_token(ports: Ports, requester: Requester, user_id: int, token_id: int) -> None:
    """Ends a token of a user at once. Users may end their own, administrators any.

    Raises:
        DomainError: USER_UNKNOWN, FORBIDDEN, UNAUTHORIZED; NOT_FOUND, the user has no such token.
    """

    async def work() -> None:
        async with ports.store.write() as unit:
            check_self(await identify(unit, requester.identity, ports.clock()), user_id)
            user = await existing_user(unit, user_id)
            await _revoke(ports, unit, requester, token_id, Identity("user", user_id), user.username)

    await ports.store.repeat(work)


async def list_robot_tokens(ports: Ports, robot_id: int, request: ListRequest) -> Page[RefreshToken]:
    """Lists the tokens of a robot that still work, the newest first.

    Raises:
        DomainError: ROBOT_UNKNOWN; FORBIDDEN, the caller may not read robots there; INVALID_PAGE_TOKEN.
    """
    robot = await permitted_robot(ports, robot_id, "read")
    async with ports.store.read() as unit:
        return await _page(unit, request, Identity("robot", robot_id), robot.credential_version, ports.clock())


async def revoke_robot_token(ports: Ports, requester: Requester, robot_id: int, token_id: int) -> None:
    """Ends a token of a robot at once.

    Raises:
        DomainError: ROBOT_UNKNOWN; FORBIDDEN, the caller may not change robots there; NOT_FOUND, the robot has no such
            token; UNAUTHORIZED.
    """
    robot = await permitted_robot(ports, robot_id, "update")

    async def work() -> None:
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, ports.clock())
            holder = Identity("robot", robot_id)
            await _revoke(ports, unit, requester, token_id, holder, robot.full_name, robot.project_id)

    await ports.store.repeat(work)


async def remove_expired(ports: Ports) -> None:
    """Deletes the rows of tokens that have ended, some at a time, so that no unit takes long."""

    async def work() -> int:
        async with ports.store.write() as unit:
            count = await unit.refresh_tokens.remove_expired(ports.clock(), _REMOVED_AT_ONCE)
            await unit.commit()
        return count

    removed = _REMOVED_AT_ONCE
    while removed == _REMOVED_AT_ONCE:
        removed = await ports.store.repeat(work)
        if removed:
            _log.info("refresh_tokens_removed", count=removed)


async def _page(
    unit: Unit, request: ListRequest, holder: Identity, credential_version: int, now: datetime
) -> Page[RefreshToken]:
    return await _LISTING.page(
        request,
        unit.refresh_tokens.page,
        unit.refresh_tokens.count,
        fixed=(
            _of(holder),
            Exact("credential_version", credential_version),
            Range("expire_time", minimum=now, maximum=None),
        ),
        scope=(holder.kind, holder.id),
    )


async def _revoke(
    ports: Ports,
    unit: UnitOfWork,
    requester: Requester,
    token_id: int,
    holder: Identity,
    name: str,
    project_id: int = 0,
) -> None:
    token = await unit.refresh_tokens.lock(token_id)
    if token is None or token.holder != holder:
        raise NotFound(message="refresh token not found")
    await unit.refresh_tokens.remove(token_id)
    kind = ChangeKind.REFRESH_TOKEN_REVOKED
    unit.record(change_of(kind, requester.origin, ports.clock(), old=token, name=name, project_id=project_id))
    unit.revoke(loss_of_refresh_token(token_id))
    await unit.commit()
    _log.info(kind.value, refresh_token_id=token_id, name=name, actor=str(requester.origin.actor))


def _of(holder: Identity) -> Exact:
    return Exact(f"{holder.kind}_id", holder.id)

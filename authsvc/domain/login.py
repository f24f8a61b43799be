"""Proving who one is by a name and a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from authsvc.domain.model import Caller
from svckit.errors import Unauthenticated
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from authsvc.domain.attempts import Attempts
    from authsvc.domain.hashing import VerifiedSecrets
    from authsvc.domain.ports import Clock, Hasher, Store, Unit
    from authsvc.domain.robot_secret import RobotSecrets

_log = get_logger(__name__)

_MAXIMUM_NAME_CHARACTERS = 600  # a robot's: prefix, project, "+", name
_MAXIMUM_SECRET_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Account:
    """What a log-in is held against.

    Attributes:
        caller: who it is.
        secret_hash: of the password or secret.
        is_refused: disabled or expired: the right secret does not help.
    """

    caller: Caller
    secret_hash: str = field(repr=False)
    is_refused: bool = False


class Login:
    """Logs users and robots in.

    All refusals read alike: who guesses learns neither that a name exists nor that it is disabled.
    """

    def __init__(
        self,
        store: Store,
        hasher: Hasher,
        secrets: RobotSecrets,
        attempts: Attempts,
        verified: VerifiedSecrets,
        clock: Clock,
        *,
        robot_name_prefix: str,
        observe: Callable[[Literal["ok", "failed"]], None],
    ) -> None:
        """Builds it of its ports.

        Args:
            store: of accounts.
            hasher: of passwords.
            secrets: of robots.
            attempts: slows down who fails.
            verified: what was right a short while ago.
            clock: the time.
            robot_name_prefix: what names of robots begin with.
            observe: is told how each log-in ended.
        """
        self._store = store
        self._hasher = hasher
        self._secrets = secrets
        self._attempts = attempts
        self._verified = verified
        self._clock = clock
        self._robot_name_prefix = robot_name_prefix
        self._observe = observe

    async def log_in(self, name: str, secret: str, address: str) -> Caller:
        """Who has this name and secret.

        Args:
            name: login name of a user, or full name of a robot.
            secret: the password or secret.
            address: of the client; failures are counted by it.

        Raises:
            DomainError: UNAUTHORIZED, after a while; TOOMANYREQUESTS; OVERLOADED.
        """
        caller = await self._prove(await self._find(name), name, secret, address)
        self._observe("ok" if caller else "failed")
        if caller is None:
            _log.info("login_failed", username=name[:_MAXIMUM_NAME_CHARACTERS], address=address)
            raise Unauthenticated(message="wrong name or password")
        return caller

    async def confirms(self, caller: Caller, password: str) -> bool:
        """Whether this is the password of a user who is logged in already. Failures slow it down as those of a log-in.

        They are counted by the caller, where a log-in has nothing better than an address: so nobody else waits.

        Raises:
            DomainError: TOOMANYREQUESTS, OVERLOADED.
        """
        return await self._prove(await self._find(caller.name), caller.name, password, caller.subject) == caller

    async def _prove(self, account: Account | None, name: str, secret: str, address: str) -> Caller | None:
        if account is not None and not account.is_refused and self._knows(account, secret):
            # Without a wait: it was right a moment ago, so it is no guess, whatever else comes from that address.
            return account.caller
        async with self._attempts.admit(name, address):
            right = await self._verify(account, secret)
        if account is None or not right or account.is_refused:
            await self._attempts.failed(name, address)
            return None
        self._attempts.succeeded(name, address)
        self._verified.remember(account.caller.subject, account.secret_hash, secret)
        return account.caller

    def _knows(self, account: Account, secret: str) -> bool:
        return self._verified.knows(account.caller.subject, account.secret_hash, secret)

    async def _verify(self, account: Account | None, secret: str) -> bool:
        if len(secret) > _MAXIMUM_SECRET_CHARACTERS:
            # Longer than any secret: hashing it would be work at the sender's choice.
            secret, account = "", None
        if account is None:
            await self._hasher.verify_nobody(secret)
            return False
        if self._knows(account, secret):
            # Somebody else with the same secret was first while this one waited.
            return True
        if account.caller.kind == "robot":
            right = await self._secrets.verify(account.secret_hash, secret)
            if not right and self._secrets.is_fast(account.secret_hash):
                # A quick refusal would tell that there is such a robot. A quick welcome tells nothing new.
                await self._hasher.verify_nobody(secret)
            return right
        return await self._hasher.verify(account.secret_hash, secret)

    async def _find(self, name: str) -> Account | None:
        if not name or len(name) > _MAXIMUM_NAME_CHARACTERS or "\0" in name:
            return None
        # Read and let go: no connection is held while a password is hashed.
        async with self._store.read() as unit:
            return await self._find_robot(unit, name) or await self._find_user(unit, name)

    async def _find_robot(self, unit: Unit, name: str) -> Account | None:
        project, plus, short_name = name.removeprefix(self._robot_name_prefix).partition("+")
        if not name.startswith(self._robot_name_prefix) or not plus:
            return None
        found = await unit.robots.credentials(project, short_name)
        if found is None:
            return None
        state, secret_hash = found
        return Account(Caller("robot", state.id, state.full_name), secret_hash, state.is_refused(self._clock()))

    async def _find_user(self, unit: Unit, name: str) -> Account | None:
        found = await unit.users.credentials(name)
        if found is None:
            return None
        user, password_hash = found
        caller = Caller("user", user.id, user.username, user.is_administrator)
        return Account(caller, password_hash, user.disabled)

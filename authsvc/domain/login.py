"""Logs users and robots in with a name and a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from svckit.errors import Unauthenticated
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from authsvc.domain.attempts import Attempts
    from authsvc.domain.configuration import RuntimeConfiguration
    from authsvc.domain.hashing import VerifiedSecrets
    from authsvc.domain.model import Caller
    from authsvc.domain.ports import Clock, Hasher
    from authsvc.domain.robot_secret import RobotSecrets
    from authsvc.domain.rows import Store, Unit

_log = get_logger(__name__)

_MAXIMUM_NAME_CHARACTERS = 600  # a robot's: prefix, project, "+", name
_MAXIMUM_SECRET_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a log-in is checked against.

    Attributes:
        caller: the user or robot.
        secret_hash: the hash of the password or secret.
        is_refused: whether the account is disabled or expired, so that even the correct secret is refused.
    """

    caller: Caller
    secret_hash: str = field(repr=False)
    is_refused: bool = False


class Login:
    """Logs users and robots in.

    All refusals are the same, so that a client cannot find out whether a name exists or is disabled.
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
        configuration: RuntimeConfiguration,
        observe: Callable[[Literal["ok", "failed"]], None],
    ) -> None:
        """Takes its ports.

        Args:
            store: holds the accounts.
            hasher: verifies passwords.
            secrets: verifies the secrets of robots.
            attempts: slows down clients that fail.
            verified: secrets that were correct a short time ago.
            clock: the time.
            configuration: has the prefix of all robot names.
            observe: called with the result of each log-in.
        """
        self._store = store
        self._hasher = hasher
        self._secrets = secrets
        self._attempts = attempts
        self._verified = verified
        self._clock = clock
        self._configuration = configuration
        self._observe = observe

    async def log_in(self, name: str, secret: str, address: str) -> Caller:
        """Who has this name and secret.

        Args:
            name: login name or mail address of a user, or full name of a robot. A login name that is also another
                user's mail address names its own user only.
            secret: the password or secret.
            address: the client's address; failures are counted for it.

        Raises:
            DomainError: UNAUTHORIZED, perhaps after a delay; TOOMANYREQUESTS; OVERLOADED.
        """
        caller = await self._prove(await self._find(name), name, secret, address)
        self._observe("ok" if caller else "failed")
        if caller is None:
            _log.info("login_failed", username=name[:_MAXIMUM_NAME_CHARACTERS], address=address)
            raise Unauthenticated(message="wrong name or password")
        return caller

    async def confirms(self, caller: Caller, password: str) -> bool:
        """Whether this is the password of a user who is logged in already. Failures cause delays as in `log_in`.

        Failures are counted for the caller instead of the address, so they delay nobody else at that address.

        Raises:
            DomainError: TOOMANYREQUESTS, OVERLOADED.
        """
        return await self._prove(await self._find(caller.name), caller.name, password, caller.subject) == caller

    async def _prove(self, account: Account | None, name: str, secret: str, address: str) -> Caller | None:
        if account is not None and not account.is_refused and self._knows(account, secret):
            # No delay: the secret was correct a short time ago, so this is not a guess, even from a slowed address.
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
            # Longer than any secret. It is not hashed, because a client could cause any amount of work with it.
            secret, account = "", None
        if account is None:
            await self._hasher.verify_dummy(secret)
            return False
        if self._knows(account, secret):
            # Another log-in with the same secret has succeeded while this one waited.
            return True
        if account.caller.kind == "robot":
            right = await self._secrets.verify(account.secret_hash, secret)
            if not right and self._secrets.is_fast(account.secret_hash):
                # A fast refusal would show that the robot exists. A fast success shows nothing new to its owner.
                await self._hasher.verify_dummy(secret)
            return right
        return await self._hasher.verify(account.secret_hash, secret)

    async def _find(self, name: str) -> Account | None:
        if not name or len(name) > _MAXIMUM_NAME_CHARACTERS or "\0" in name:
            return None
        # The unit ends before the password is hashed, so that no connection is held meanwhile.
        async with self._store.read() as unit:
            return await self._find_robot(unit, name) or await self._find_user(unit, name)

    async def _find_robot(self, unit: Unit, name: str) -> Account | None:
        prefix = self._configuration.values.robot_name_prefix
        if not name.startswith(prefix):
            return None
        # Neither a project's name nor a robot's can have a "+". Without one, it is a robot of the system level.
        project, plus, short_name = name.removeprefix(prefix).partition("+")
        if plus and not project:
            return None
        found = await unit.robots.credentials(project if plus else "", short_name if plus else project)
        if found is None:
            return None
        state, secret_hash = found
        return Account(state.caller, secret_hash, state.is_refused(self._clock()))

    async def _find_user(self, unit: Unit, name: str) -> Account | None:
        found = await unit.users.credentials(name)
        if found is None and "@" in name:
            # Only if nobody has this login name. Otherwise a user could take the mail address that is another user's
            # name, and its own password would open what was meant for the other.
            found = await unit.users.credentials_by_email(name)
        if found is None:
            return None
        user, password_hash = found
        return Account(user.caller, password_hash, user.disabled)

"""Units of work on a database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from authsvc.store.configuration import SqlConfiguration
from authsvc.store.cve_allowlist import SqlCveAllowlists
from authsvc.store.installation import SqlInstallation
from authsvc.store.member import SqlMembers
from authsvc.store.project import SqlProjects
from authsvc.store.refresh_token import SqlRefreshTokens
from authsvc.store.revocation import SqlRevocations
from authsvc.store.robot import SqlRobots
from authsvc.store.role import SqlRoles
from authsvc.store.tables import change_log, idempotency
from authsvc.store.user import SqlUsers
from authsvc.store.user_group import SqlUserGroups
from svckit.sql.errors import retry_conflicts
from svckit.sql.idempotency import SqlIdempotency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from authsvc.domain.change import Change
    from authsvc.domain.configuration import RuntimeConfiguration
    from svckit.sql.database import Database
    from svckit.tokens.revocation import Loss

T = TypeVar("T")


class SqlUnit:
    """A unit that reads. See `domain.rows.Unit`."""

    def __init__(self, conn: AsyncConnection, runtime: RuntimeConfiguration) -> None:
        self._conn = conn
        self._runtime = runtime

    @property
    def users(self) -> SqlUsers:
        """Users."""
        return SqlUsers(self._conn)

    @property
    def user_groups(self) -> SqlUserGroups:
        """Groups of users."""
        return SqlUserGroups(self._conn)

    @property
    def projects(self) -> SqlProjects:
        """Projects."""
        return SqlProjects(self._conn)

    @property
    def members(self) -> SqlMembers:
        """Memberships."""
        return SqlMembers(self._conn)

    @property
    def robots(self) -> SqlRobots:
        """Robots."""
        return SqlRobots(self._conn, self._runtime.values.robot_name_prefix)

    @property
    def refresh_tokens(self) -> SqlRefreshTokens:
        """Refresh tokens."""
        return SqlRefreshTokens(self._conn)

    @property
    def revocations(self) -> SqlRevocations:
        """Revocations of registry tokens."""
        return SqlRevocations(self._conn)

    @property
    def roles(self) -> SqlRoles:
        """Roles."""
        return SqlRoles(self._conn)

    @property
    def cve_allowlists(self) -> SqlCveAllowlists:
        """Lists of accepted vulnerabilities."""
        return SqlCveAllowlists(self._conn)

    @property
    def configuration(self) -> SqlConfiguration:
        """The runtime configuration."""
        return SqlConfiguration(self._conn)

    @property
    def installation(self) -> SqlInstallation:
        """The first start."""
        return SqlInstallation(self._conn)


class SqlUnitOfWork(SqlUnit):
    """A unit that writes. See `domain.rows.UnitOfWork`."""

    def __init__(
        self,
        conn: AsyncConnection,
        runtime: RuntimeConfiguration,
        idempotency_key_seconds: float,
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(conn, runtime)
        self._idempotency_key_seconds = idempotency_key_seconds
        self._on_change = on_change
        self._recorded: list[Change] = []
        self._loss: Loss | None = None

    @property
    def idempotency(self) -> SqlIdempotency:
        """The results of first calls with an idempotency key."""
        return SqlIdempotency(self._conn, idempotency, self._idempotency_key_seconds)

    def record(self, change: Change) -> None:
        """See `domain.rows.UnitOfWork.record`."""
        self._recorded.append(change)

    def revoke(self, loss: Loss | None) -> None:
        """See `domain.rows.UnitOfWork.revoke`."""
        self._loss = loss

    async def commit(self) -> None:
        """See `domain.rows.UnitOfWork.commit`."""
        if not self._recorded:
            await self._conn.commit()
            return
        revision = await change_log.append(self._conn, self._recorded)
        if self._loss is not None:
            await self.revocations.add(revision, self._recorded[-1].time, self._loss)
            self._loss = None
        self._recorded.clear()
        try:
            await self._conn.commit()
        finally:
            # Also if the caller was cancelled meanwhile: the commit has gone on to its end.
            self._on_change()


class SqlStore:
    """Gives out units on one database. See `domain.rows.Store`.

    Attributes:
        database: with its tables.
        runtime: the runtime configuration, which has the prefix of the robots' full names. It is not in their rows.
    """

    def __init__(
        self,
        database: Database,
        runtime: RuntimeConfiguration,
        *,
        idempotency_key_seconds: float,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes the database, and settings of the store.

        Args:
            database: with its tables.
            runtime: the runtime configuration.
            idempotency_key_seconds: how long an idempotency key is remembered.
            on_change: is called after each commit that has written to the change log.
        """
        self.database = database
        self.runtime = runtime
        self._idempotency_key_seconds = idempotency_key_seconds
        self._on_change = on_change

    @asynccontextmanager
    async def read(self, *, short: bool = False) -> AsyncIterator[SqlUnit]:
        """See `domain.rows.Store.read`."""
        async with self.database.read(short=short) as conn:
            yield SqlUnit(conn, self.runtime)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        """See `domain.rows.Store.write`."""
        async with self.database.write() as conn:
            yield SqlUnitOfWork(conn, self.runtime, self._idempotency_key_seconds, self._on_change)

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """See `domain.rows.Store.repeat`. Raises UNAVAILABLE after a few conflicts."""
        return await retry_conflicts(work)

"""Turns the errors of a database into errors for callers."""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from svckit.errors import DomainError, Invalid, Unavailable, error_for
from svckit.errors.start import StartError

Result = TypeVar("Result")

RETRY_AFTER_SECONDS = 1.0

# SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected
# Classes 08 connection exception, 53 insufficient resources, 58 system error; 57P0x: shut down, starting, dropped.
_DOWN = ("08", "53", "58", "57P")
_DISK_FULL = "53100"
_SQLITE_DOWN = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_SQLITE_PRIMARY_CODE = 0xFF  # https://www.sqlite.org/rescode.html: the rest of the number is the extended code

_FIRST_PAUSE_SECONDS = 0.01


class WriteConflictError(Unavailable):
    """This unit was rolled back because of another one. The same work may succeed when it is repeated.

    On PostgreSQL, the transactions of both conflicted. On SQLite, both shared a transaction, which was lost.
    """

    def __init__(self) -> None:
        super().__init__(message="the write conflicted with another one", retry_after_seconds=RETRY_AFTER_SECONDS)


class DatabaseInUseError(OSError):
    """Another process has the database file open. Raised only at the start, never in a call."""


class MissingDatabaseError(StartError):
    """There is no database, or an empty one, and the settings say that it must exist."""

    def __init__(self, what: str) -> None:
        """Takes what is missing, as a sentence without its end."""
        super().__init__(
            f"{what}, although this installation has used it (database_must_exist). Restore the database from a "
            "backup. To go on without its data, start once with `roadstead up --start-anyway SERVICE`, or without "
            "the setting"
        )


@contextmanager
def domain_errors() -> Iterator[None]:
    """Turns SQLAlchemy's errors about the state of the database into DomainErrors, with the original as the cause."""
    try:
        yield
    except PoolTimeoutError as error:
        raise overloaded() from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _CONFLICTS:
            raise WriteConflictError from error
        if _is_full(error, state):
            raise error_for("STORAGE_FULL") from error
        if _is_down(error, state):
            raise Unavailable(
                message="the database does not answer", retry_after_seconds=RETRY_AFTER_SECONDS
            ) from error
        if state is None and isinstance(error, DataError):
            # psycopg refuses a text with U+0000 before it sends anything. SQLite takes it, and finds nothing.
            raise Invalid(message="a text contains a character that is not allowed") from error
        raise


def overloaded() -> DomainError:
    """The error of a unit of work that waited too long for a connection."""
    return DomainError("OVERLOADED", "too many requests wait for the database", retry_after_seconds=RETRY_AFTER_SECONDS)


def _is_full(error: DBAPIError, state: str | None) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code is not None and code & _SQLITE_PRIMARY_CODE == sqlite3.SQLITE_FULL
    return state == _DISK_FULL


def _is_down(error: DBAPIError, state: str | None) -> bool:
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code is not None and code & _SQLITE_PRIMARY_CODE in _SQLITE_DOWN
    if state is None:
        # The server answers every statement that fails with a state. Without one, the server was not reached.
        return isinstance(error, OperationalError)
    return state.startswith(_DOWN)


async def retry_conflicts(work: Callable[[], Awaitable[Result]], *, attempts: int = 5) -> Result:
    """Repeats `work` after a conflict and a short random pause. `work` is a whole writing unit, from its beginning.

    Raises WriteConflictError if the last attempt has a conflict, too.
    """
    for attempt in range(attempts - 1):
        try:
            return await work()
        except WriteConflictError:
            # The pause is random: both sides of a deadlock wait here, and with equal pauses they would conflict again.
            await asyncio.sleep(random.uniform(0, _FIRST_PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret
    return await work()

"""Opens a service's database, SQLite or PostgreSQL."""

import re

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from svckit.sql.database import Database

# A name that needs no quotes, so that it can be put into `search_path` unchanged.
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


async def open_database(
    url: str,
    *,
    schema: str | None = None,
    pool_size: int = 10,
    wait_seconds: float = 10,
    must_exist: bool = False,
) -> Database:
    """Opens a database and checks that it answers.

    Args:
        url: `sqlite:////absolute/path.db`, or `postgresql://user@host/database`, without a driver.
        schema: The PostgreSQL schema that holds the service's tables; `migrate` creates it. SQLite has none.
        pool_size: The most connections. Keep it above the number of RPCs in flight. SQLite has one connection that
            writes, and at most four that read.
        wait_seconds: How long a unit waits for a connection, or for its turn to write, before it fails with OVERLOADED.
        must_exist: Whether a SQLite file that is missing or has no bytes is refused. Otherwise it is created.

    Raises:
        MissingDatabaseError: There is no such SQLite file, and it must exist.
        ValueError: The URL or the schema's name does not have this form.
        DatabaseInUseError: Another process (or this one) has the SQLite file open.
        DomainError: UNAVAILABLE if the database cannot be reached.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        # The error's text is left out: it contains the URL, which may contain a password.
        raise ValueError("a database URL looks like sqlite:////path/file.db or postgresql://user@host/name") from None
    if schema is not None and not _SCHEMA.fullmatch(schema):
        raise ValueError(f"not a schema's name: {schema!r} (small letters, digits, underscores)")
    # Only the module of the database in use is imported, to save time and memory at every start.
    match address.get_backend_name():
        case "sqlite":
            from svckit.sql.sqlite.database import SqliteDatabase

            return await SqliteDatabase.connect(
                address, pool_size=pool_size, wait_seconds=wait_seconds, must_exist=must_exist
            )
        case "postgresql":
            from svckit.sql.postgresql import PostgresqlDatabase

            return await PostgresqlDatabase.connect(
                address, schema=schema, pool_size=pool_size, wait_seconds=wait_seconds
            )
        case other:
            raise ValueError(f"not a supported database: {other!r} (sqlite, postgresql)")

"""What SQLite and PostgreSQL spell differently.

`with_for_update` is not among it: SQLAlchemy leaves it out on SQLite.
"""

from typing import TYPE_CHECKING

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

# current_setting, and not current_schema(): that one is null until the schema exists.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(current_setting('search_path') || '/' || :key, 0))")


def upsert(conn: AsyncConnection, table: Table) -> "SqliteInsert | PostgresqlInsert":
    """An insert that knows `on_conflict_do_nothing` and `on_conflict_do_update` (and `excluded`), on both databases.

    SQLAlchemy has an Insert of its own for each of them; what both take is spelled the same. Whether a
    row was inserted is told by `.returning(…)`: the `rowcount` of an insert is -1 on PostgreSQL.
    """
    if conn.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


async def advisory_xact_lock(conn: AsyncConnection, key: str) -> None:
    """Waits for the lock named `key` of this service's schema and holds it until the transaction ends.

    On SQLite a writing unit is alone already, and nothing is done.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(_LOCK, {"key": key})

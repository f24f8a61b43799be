"""Statements that differ between SQLite and PostgreSQL.

`with_for_update` is not needed here: SQLAlchemy leaves it out on SQLite.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from sqlalchemy import BindParameter, FromClause, Integer, Table, Text, bindparam, cast, column, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

T = TypeVar("T")

_BATCH = 10_000

ID_LIST: BindParameter[int] = bindparam("ids", expanding=True, literal_execute=True)
"""The parameter `ids` of an IN list, for any number of ids: they become part of the statement's text."""

# current_setting is used instead of current_schema(), which is null until the schema exists.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(current_setting('search_path') || '/' || :key, 0))")


def upsert(conn: AsyncConnection, table: Table) -> "SqliteInsert | PostgresqlInsert":
    """An insert with `on_conflict_do_nothing` and `on_conflict_do_update` (and `excluded`), for both databases.

    SQLAlchemy has a different Insert class for each database, with the same methods. Use `.returning(…)` to find out
    whether a row was inserted: the `rowcount` of an insert is -1 on PostgreSQL.
    """
    if conn.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cuts values into parts that fit into one IN list: SQLite takes 32,766 parameters, PostgreSQL 65,535."""
    for first in range(0, len(values), _BATCH):
        yield values[first : first + _BATCH]


def given_rows(dialect: str, name: str, columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Rows that are given to a statement as one parameter, so that its text is the same for any number of them.

    Args:
        dialect: of the database.
        name: of the rows in the statement, and of the parameter. `rows_json` writes its value.
        columns: the columns and their types: texts and numbers. There is one more, `n`, the position of the row.
    """
    parameter = bindparam(name, type_=Text())
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        typed: list[Any] = [column("n", Integer()), *(column(each, kind) for each, kind in columns.items())]
        rows = func.jsonb_to_recordset(cast(parameter, JSONB)).table_valued(*typed)
        return rows.render_derived(name=name, with_types=True)
    given = func.json_each(parameter).table_valued("value", name=f"{name}_json")
    values = [
        func.json_extract(given.c.value, f"$.{each}", type_=kind).label(each)
        for each, kind in {"n": Integer(), **columns}.items()
    ]
    return select(*values).select_from(given).subquery(name)


def rows_json(rows: Iterable[Mapping[str, str | int | None]]) -> str:
    """The value of the parameter of `given_rows`. Texts must not contain U+0000, which PostgreSQL refuses."""
    return orjson.dumps([{"n": position, **row} for position, row in enumerate(rows)]).decode()


async def advisory_xact_lock(conn: AsyncConnection, key: str) -> None:
    """Waits for the lock `key` of this service's schema, and holds it until the transaction ends.

    Does nothing on SQLite, where only one writing unit runs at a time.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(_LOCK, {"key": key})

"""Writes the columns of many rows in one statement."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Update, update

from svckit.sql.statements import given_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_ROWS = "given"


async def write_rows(
    conn: AsyncConnection, table: Table, columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Sets columns of rows by their ids. Lock the rows first, in the order of their ids.

    Args:
        conn: the connection of a writing unit.
        table: the table, whose key is `id`.
        columns: the columns that are set.
        rows: for each row its id and these columns: numbers, texts, times, truth values, JSON objects, None.
    """
    dialect = conn.dialect.name
    text = orjson.dumps(
        [{name: _plain(dialect, row[name]) for name in ("id", *columns)} for row in rows],
        option=orjson.OPT_NON_STR_KEYS,
    ).decode()
    await conn.execute(_statement(dialect, table, columns), {_ROWS: text})


@lru_cache(maxsize=64)
def _statement(dialect: str, table: Table, columns: tuple[str, ...]) -> Update:
    given = given_rows(dialect, _ROWS, {name: table.c[name].type for name in ("id", *columns)})
    return update(table).where(table.c.id == given.c.id).values({name: given.c[name] for name in columns})


def _plain(dialect: str, value: object) -> object:
    if not isinstance(value, datetime):
        return value
    if dialect == "sqlite":
        # The form in which SQLAlchemy keeps times there, so that they sort with those that it has written.
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat()

"""Pages of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from svckit.sql.selection import after, condition, order_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns


async def read_page(
    conn: AsyncConnection, query: Select[Any], columns: Columns, selection: Selection
) -> Sequence[Row[Any]]:
    """Reads the rows of one page.

    Args:
        conn: where.
        query: all rows.
        columns: behind the keys of clauses and orders.
        selection: which of them.
    """
    page = query.where(*(condition(clause, columns) for clause in selection.clauses))
    if selection.after is not None:
        page = page.where(after(selection.orders, columns, selection.after))
    page = page.order_by(*order_by(selection.orders, columns)).limit(selection.limit)
    if selection.offset:
        page = page.offset(selection.offset)
    rows: Sequence[Row[Any]] = (await conn.execute(page)).all()
    return rows


async def count_rows(conn: AsyncConnection, query: Select[Any], columns: Columns, clauses: Sequence[Clause]) -> int:
    """Counts the rows that match."""
    matching = query.where(*(condition(clause, columns) for clause in clauses)).subquery()
    return await conn.scalar(select(func.count()).select_from(matching)) or 0

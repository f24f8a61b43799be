"""A page of rows: what every list does with what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from svckit.sql.selection import after, order_by

if TYPE_CHECKING:
    from sqlalchemy import Select

    from svckit.listing import Selection
    from svckit.sql.selection import Columns


def selected(query: Select[Any], selection: Selection, columns: Columns) -> Select[Any]:
    """Narrows a query to a page: begun after a row or at an offset, sorted and cut. The clauses are the list's own."""
    if selection.after is not None:
        query = query.where(after(selection.orders, columns, selection.after))
    query = query.order_by(*order_by(selection.orders, columns)).limit(selection.limit)
    # OFFSET 0 is left out, so that the first page and those by token are one statement to the database.
    return query.offset(selection.offset) if selection.offset else query

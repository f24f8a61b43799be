"""Lists in SQL: turns the clauses of a `q` into conditions, and reads pages (svckit.query, svckit.listing)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, false, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from svckit.listing import Selection
from svckit.paging import KeysetValue
from svckit.query import AllOf, AnyOf, Clause, Exact, Fuzzy, Order, Range, Value

Columns = Mapping[str, ColumnElement[Any]]
"""The columns, by the keys of clauses and orders."""

_NO_VALUES: Mapping[str, object] = {}


ConditionOf = Callable[[Clause, Columns], ColumnElement[bool]]
"""Turns a clause into a condition: `condition`, or another function if a list has keys that are not columns."""


def condition(clause: Clause, columns: Columns) -> ColumnElement[bool]:
    """The condition for a clause on a column with one value. With `AllOf`, a row matches only if all values are equal.

    Raises:
        KeyError: there is no column for the clause's key.
    """
    column = columns[clause.key]
    match clause:
        case Exact(value=value):
            return _equals(column, value)
        case Fuzzy(text=text):
            return column.icontains(text, autoescape=True)
        case Range(minimum=minimum, maximum=maximum):
            ends = []
            if minimum is not None:
                ends.append(column >= minimum)
            if maximum is not None:
                ends.append(column <= maximum)
            return and_(*ends)
        case AnyOf(values=values):
            return or_(false(), *(_equals(column, value) for value in values))
        case AllOf(values=values):
            return and_(*(_equals(column, value) for value in values))


async def read_page(
    conn: AsyncConnection,
    query: Select[Any],
    columns: Columns,
    selection: Selection,
    *,
    values: Mapping[str, object] = _NO_VALUES,
    condition_of: ConditionOf = condition,
) -> Sequence[Row[Any]]:
    """Reads the rows of one page.

    Args:
        conn: the connection.
        query: selects all rows of the list.
        columns: the columns, by the keys of clauses and orders.
        selection: selects the rows of the page.
        values: the values of the query's own parameters.
        condition_of: turns clauses into conditions.
    """
    page = query.where(*(condition_of(clause, columns) for clause in selection.clauses))
    if selection.after is not None:
        page = page.where(after(selection.orders, columns, selection.after))
    page = page.order_by(*order_by(selection.orders, columns)).limit(selection.limit)
    if selection.offset:
        # OFFSET 0 is left out, so that the first page and pages by token are the same statement for the database.
        page = page.offset(selection.offset)
    rows: Sequence[Row[Any]] = (await conn.execute(page, values)).all()
    return rows


async def count_rows(
    conn: AsyncConnection,
    query: Select[Any],
    columns: Columns,
    clauses: Sequence[Clause],
    *,
    values: Mapping[str, object] = _NO_VALUES,
    condition_of: ConditionOf = condition,
) -> int:
    """Counts the rows that match all clauses; the arguments are those of `read_page`."""
    matching = query.where(*(condition_of(clause, columns) for clause in clauses)).subquery()
    return await conn.scalar(select(func.count()).select_from(matching), values) or 0


def order_by(orders: Sequence[Order], columns: Columns) -> list[ColumnElement[Any]]:
    """The ORDER BY. The last column must be unique; otherwise pages could repeat or skip rows."""
    return [columns[order.key].desc() if order.descending else columns[order.key].asc() for order in orders]


def after(orders: Sequence[Order], columns: Columns, values: Sequence[KeysetValue]) -> ColumnElement[bool]:
    """The condition for rows after the one with these values, in this order. The columns must not be NULL.

    Raises:
        ValueError: there is not one value for each order.
    """
    if len(orders) != len(values):
        raise ValueError("a keyset has one value for each column of its order")
    keys = [columns[order.key] for order in orders]
    if len({order.descending for order in orders}) == 1:
        # Both databases can use one index for a row comparison.
        row, last = tuple_(*keys), tuple(values)
        return row < last if orders[0].descending else row > last
    steps: list[ColumnElement[bool]] = []
    for position, order in enumerate(orders):
        same = [keys[earlier] == values[earlier] for earlier in range(position)]
        key, value = keys[position], values[position]
        steps.append(and_(*same, key < value if order.descending else key > value))
    return or_(*steps)


def _equals(column: ColumnElement[Any], value: Value) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value

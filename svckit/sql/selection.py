"""Lists in SQL: the clauses of a `q` as conditions, and keyset order (svckit.query, svckit.paging)."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, tuple_

from svckit.paging import KeysetValue
from svckit.query import AllOf, AnyOf, Clause, Exact, Fuzzy, Order, Range, Value

Columns = Mapping[str, ColumnElement[Any]]
"""The columns behind the keys of clauses and orders."""


def condition(clause: Clause, columns: Columns) -> ColumnElement[bool]:
    """A clause on a column that holds one value. Of `AllOf`, a row can have all only if they are one and the same.

    Raises:
        KeyError: if there is no column for the clause's key.
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


def order_by(orders: Sequence[Order], columns: Columns) -> list[ColumnElement[Any]]:
    """The ORDER BY. The last order must be of a unique column, or pages could repeat and skip rows."""
    return [columns[order.key].desc() if order.descending else columns[order.key].asc() for order in orders]


def after(orders: Sequence[Order], columns: Columns, values: Sequence[KeysetValue]) -> ColumnElement[bool]:
    """Whether a row comes after the one with these values, in this order. The columns must not be NULL.

    Raises:
        ValueError: if there is not one value for each order.
    """
    if len(orders) != len(values):
        raise ValueError("a keyset has one value for each column of its order")
    keys = [columns[order.key] for order in orders]
    if len({order.descending for order in orders}) == 1:
        # A row comparison, which both databases answer from one index.
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

"""Lists: pages in keyset order, by token; or by number, for REST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from svckit.errors import FieldViolation, Invalid
from svckit.paging import KeysetValue, PageToken, clamp_page_size, query_fingerprint
from svckit.query import Clause, Order

DEFAULT_PAGE_SIZE = 10
MAXIMUM_PAGE_SIZE = 100

_MAXIMUM_OFFSET = 2**31

# Of the attributes that lists are sorted by; the others are texts.
_TYPES: Mapping[str, type] = {"id": int, "create_time": datetime}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What a list request says of which rows, in which order, and which page.

    Attributes:
        q: Harbor's `q`.
        sort: Harbor's `sort`.
        page: number from 1; 0 is the first. Not looked at where there is a token.
        page_size: rows on a page; 0 is the default.
        page_token: where the last page ended; empty for the first.
    """

    q: str = ""
    sort: str = ""
    page: int = 0
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a store is asked for.

    Attributes:
        clauses: all of them hold for each row.
        orders: keys are attributes of the row's type; the last is the unique id.
        limit: rows at most.
        offset: rows to leave out; costs more with depth.
        after: the row, by the values of `orders`, after which to begin; None for the beginning.
    """

    clauses: tuple[Clause, ...]
    orders: tuple[Order, ...]
    limit: int
    offset: int = 0
    after: tuple[KeysetValue, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: its rows.
        next_page_token: for the next one; empty on the last.
        total_size: how many rows match in all, as counted for the first page.
    """

    items: tuple[T, ...]
    next_page_token: str = ""
    total_size: int = 0


async def list_page(
    request: ListRequest,
    what: str,
    clauses: Sequence[Clause],
    orders: Sequence[Order],
    default_orders: Sequence[str],
    fetch: Callable[[Selection], Awaitable[list[T]]],
    count: Callable[[Sequence[Clause]], Awaitable[int]],
    *,
    scope: Sequence[object] = (),
) -> Page[T]:
    """Reads one page.

    A token carries the total that was counted for the first page, so that going on costs the same on every page.

    Args:
        request: see there; `q` and `sort` are only looked at to bind the token to them.
        what: names the list.
        clauses: the parsed `q`.
        orders: the parsed `sort`, without the id.
        default_orders: the keys to sort by where nothing is said.
        fetch: reads rows, which have the attributes that `orders` names, and `id`.
        count: counts them.
        scope: what else decides which rows are listed, beside `q`.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    size = clamp_page_size(request.page_size, DEFAULT_PAGE_SIZE, MAXIMUM_PAGE_SIZE)
    if request.page < 0 or request.page * size > _MAXIMUM_OFFSET:
        raise Invalid(message="page is out of range", violations=[FieldViolation("page", "counts from 1")])
    complete = tuple(orders) or tuple(Order(key) for key in default_orders)
    if all(order.key != "id" for order in complete):
        complete = (*complete, Order("id", descending=complete[0].descending))
    fingerprint = query_fingerprint(what, request.q, request.sort, *scope)
    if request.page_token:
        kinds = (_TYPES.get(order.key, str) for order in complete)
        token = PageToken.decode(request.page_token, fingerprint, (*kinds, int))
        *after, total = token.values
        if any(value is None for value in token.values) or not isinstance(total, int):
            raise Invalid("INVALID_PAGE_TOKEN")
        selection = Selection(tuple(clauses), complete, size + 1, after=tuple(after))
    else:
        total = await count(clauses)
        selection = Selection(tuple(clauses), complete, size + 1, offset=max(request.page - 1, 0) * size)
    rows = await fetch(selection)
    next_page_token = ""
    if len(rows) > size:
        last: Any = rows[size - 1]
        next_page_token = PageToken((*(getattr(last, order.key) for order in complete), total)).encode(fingerprint)
    return Page(tuple(rows[:size]), next_page_token, total)

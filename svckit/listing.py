"""Lists: filters and sorts as the request says (svckit.query), with pages by token or by number (svckit.paging).

A domain declares for each list, as one `Listing`, how it may be filtered and sorted. The store reads the rows of a
`Selection` (`svckit.sql.selection` turns its parts into SQL).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from svckit.errors import FieldViolation, Invalid
from svckit.paging import KeysetValue, PageToken, clamp_page_size, query_fingerprint
from svckit.query import Clause, Key, Order, parse_query, parse_sort

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 10
MAXIMUM_PAGE_SIZE = 100
"""Harbor's page sizes. They apply to every list that does not set its own."""

_MAXIMUM_OFFSET = 2**31


@dataclass(frozen=True, slots=True)
class ListRequest:
    """The filter, the order and the page of a list request.

    Attributes:
        q: Harbor's `q`.
        sort: Harbor's `sort`.
        page: the number of the page, from 1; 0 means the first. Ignored with a token.
        page_size: the rows on a page; 0 means the default.
        page_token: the token of the last page; empty for the first page.
        with_total: whether to count all rows that match. For many rows, counting costs more than reading the page.
    """

    q: str = ""
    sort: str = ""
    page: int = 0
    page_size: int = 0
    page_token: str = ""
    with_total: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a store must read.

    Attributes:
        clauses: the conditions; a row must match all of them.
        orders: the sort keys; the last one is unique.
        limit: the most rows.
        offset: the rows to skip. A large offset is slow. It is 0 if there is `after`.
        after: the values of `orders` in the row after which to begin; None for the beginning.
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
        items: the rows.
        next_page_token: the token of the next page; empty on the last page.
        total_size: the number of all rows that match; 0 if it was not requested. On later pages by token, it is the
            number that was counted for an earlier page.
    """

    items: tuple[T, ...]
    next_page_token: str = ""
    total_size: int = 0


@dataclass(frozen=True, slots=True)
class SortKey(Generic[T]):
    """A key by which a list can be sorted.

    Attributes:
        value_type: str, int or datetime.
        read: returns the value in a row, as the store compares it. Never None: a keyset does not work with NULL.
    """

    value_type: type[KeysetValue]
    read: Callable[[T], KeysetValue]


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """How one list may be filtered and sorted.

    Attributes:
        name: the name of the list; page tokens are bound to it.
        sort_keys: the sort keys, by the names that clients use.
        default_order: the order if the request has none.
        keys: the keys that `q` may use, by the names that clients use.
        unique_key: the sort key with a different value in each row. It decides the order of rows that are equal
            otherwise.
        default_page_size: the rows on a page if the request does not say.
        maximum_page_size: the most rows on a page.
        is_cut: whether the store has left out the content of a row, because the rows before it fill a message. The page
            ends before this row.
    """

    name: str
    sort_keys: Mapping[str, SortKey[T]]
    default_order: tuple[Order, ...]
    keys: Mapping[str, Key] = field(default_factory=dict)
    unique_key: str = "id"
    default_page_size: int = DEFAULT_PAGE_SIZE
    maximum_page_size: int = MAXIMUM_PAGE_SIZE
    is_cut: Callable[[T], bool] | None = None

    async def page(
        self,
        request: ListRequest,
        fetch: Callable[[Selection], Awaitable[Sequence[T]]],
        count: Callable[[tuple[Clause, ...]], Awaitable[int]],
        *,
        fixed: Sequence[Clause] = (),
        scope: Sequence[object] = (),
    ) -> Page[T]:
        """Reads one page.

        A token contains the total that was counted for an earlier page, so that each later page has the same cost.

        Args:
            request: the list request.
            fetch: reads rows.
            count: counts the rows that match all clauses. It is called only if the total is requested.
            fixed: clauses that come before those of `q`. What they are made of belongs to `scope`.
            scope: other values that decide which rows there are, such as the parent's id: strings, numbers, None.

        Raises:
            DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
        """
        size = clamp_page_size(request.page_size, self.default_page_size, self.maximum_page_size)
        offset = _offset(request.page, size)
        clauses = (*fixed, *parse_query(request.q, self.keys).clauses)
        orders = self._orders(request.sort)
        fingerprint = query_fingerprint(self.name, request.q, request.sort, *scope)
        after: tuple[KeysetValue, ...] | None = None
        total: int | None = None
        if request.page_token:
            after, total = self._continue(request.page_token, fingerprint, orders)
            offset = 0
        if request.with_total and total is None:
            total = await count(clauses)
        # The first page of an empty list, and pages after the last one, need no second query.
        is_beyond = after is None and total is not None and offset >= total
        rows = () if is_beyond else await fetch(Selection(clauses, orders, size + 1, offset, after))
        if self.is_cut is not None:
            size = next((place for place, row in enumerate(rows[:size]) if self.is_cut(row)), size)
        token = self._next(rows, size, orders, total, fingerprint)
        return Page(tuple(rows[:size]), token, total if request.with_total and total is not None else 0)

    def _orders(self, sort: str) -> tuple[Order, ...]:
        orders = parse_sort(sort, self.sort_keys.keys()) or self.default_order
        if any(order.key == self.unique_key for order in orders):
            return orders
        # It has the direction of the other keys, so that one row comparison and one index are enough.
        return (*orders, Order(self.unique_key, descending=orders[-1].descending))

    def _continue(
        self, token: str, fingerprint: str, orders: Sequence[Order]
    ) -> tuple[tuple[KeysetValue, ...], int | None]:
        types: list[type] = [self.sort_keys[order.key].value_type for order in orders]
        *after, total = PageToken.decode(token, fingerprint, [*types, int]).values
        # A token is not signed, so anybody may have written these values.
        is_total = total is None or (isinstance(total, int) and total >= 0)
        if not is_total or any(value is None for value in after):
            raise Invalid(
                "INVALID_PAGE_TOKEN", violations=[FieldViolation("page_token", "was not given for this query")]
            )
        return tuple(after), total if isinstance(total, int) else None

    def _next(self, rows: Sequence[T], size: int, orders: Sequence[Order], total: int | None, fingerprint: str) -> str:
        if len(rows) <= size:
            return ""
        last = rows[size - 1]
        return PageToken((*(self.sort_keys[order.key].read(last) for order in orders), total)).encode(fingerprint)


def _offset(page: int, size: int) -> int:
    offset = max(page - 1, 0) * size
    if offset > _MAXIMUM_OFFSET:
        description = "lies too far on: use page_token"
        raise Invalid(message=f"page: {description}", violations=[FieldViolation("page", description)])
    return offset

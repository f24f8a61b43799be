"""Lists: filtered and sorted as the request says (svckit.query), in pages by token or by number (svckit.paging).

A domain declares what may be asked of a list as one `Listing`; the store answers a `Selection`
(`svckit.sql.selection` turns its parts into SQL).
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
"""Harbor's, both of them. They hold for every list that does not say otherwise."""

_MAXIMUM_OFFSET = 2**31


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What a request says of which rows it wants, in which order, and which page of them.

    Attributes:
        q: Harbor's `q`.
        sort: Harbor's `sort`.
        page: number from 1; 0 means the first. Not looked at where there is a token.
        page_size: rows on a page; 0 means the default.
        page_token: where the last page ended; empty for the first.
        with_total: whether to count all rows that match, which costs more than the page where they are many.
    """

    q: str = ""
    sort: str = ""
    page: int = 0
    page_size: int = 0
    page_token: str = ""
    with_total: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What a store is asked for.

    Attributes:
        clauses: all of them hold for each row.
        orders: what to sort by; the last key is unique.
        limit: rows at most.
        offset: rows to leave out first; costs more with depth, and is 0 where there is `after`.
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
        items: its rows.
        next_page_token: for the next page; empty on the last.
        total_size: how many rows match in all, 0 where it was not asked for; on later pages by token, how many it were
            when it was counted.
    """

    items: tuple[T, ...]
    next_page_token: str = ""
    total_size: int = 0


@dataclass(frozen=True, slots=True)
class SortKey(Generic[T]):
    """What a list can be sorted by.

    Attributes:
        value_type: str, int or datetime.
        read: the value in a row, as the store compares it. Never None: a keyset cannot step over NULLs.
    """

    value_type: type[KeysetValue]
    read: Callable[[T], KeysetValue]


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What may be asked of one list.

    Attributes:
        name: binds tokens to this list.
        sort_keys: by the names that clients use.
        default_order: where the request says nothing.
        keys: what `q` may ask, by the names that clients use.
        unique_key: that one of `sort_keys` that no two rows share; it decides between rows that are otherwise alike.
        default_page_size: rows on a page where the request says nothing.
        maximum_page_size: rows on a page, whatever the request says.
    """

    name: str
    sort_keys: Mapping[str, SortKey[T]]
    default_order: tuple[Order, ...]
    keys: Mapping[str, Key] = field(default_factory=dict)
    unique_key: str = "id"
    default_page_size: int = DEFAULT_PAGE_SIZE
    maximum_page_size: int = MAXIMUM_PAGE_SIZE

    async def page(
        self,
        request: ListRequest,
        fetch: Callable[[Selection], Awaitable[Sequence[T]]],
        count: Callable[[tuple[Clause, ...]], Awaitable[int]],
        *,
        scope: Sequence[object] = (),
    ) -> Page[T]:
        """Reads one page.

        A token carries the total that was counted for an earlier page, so that going on costs the same on every page.

        Args:
            request: what is asked.
            fetch: reads rows.
            count: counts the rows for which all of these hold; called only where the total is asked for.
            scope: what else decides which rows there are, such as the parent's id: strings, numbers, None.

        Raises:
            DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
        """
        size = clamp_page_size(request.page_size, self.default_page_size, self.maximum_page_size)
        offset = _offset(request.page, size)
        clauses = parse_query(request.q, self.keys).clauses
        orders = self._orders(request.sort)
        fingerprint = query_fingerprint(self.name, request.q, request.sort, *scope)
        after: tuple[KeysetValue, ...] | None = None
        total: int | None = None
        if request.page_token:
            after, total = self._continue(request.page_token, fingerprint, orders)
            offset = 0
        if request.with_total and total is None:
            total = await count(clauses)
        # The first page of an empty list, and pages beyond the last one, need no second query.
        is_beyond = after is None and total is not None and offset >= total
        rows = () if is_beyond else await fetch(Selection(clauses, orders, size + 1, offset, after))
        token = self._next(rows, size, orders, total, fingerprint)
        return Page(tuple(rows[:size]), token, total if request.with_total and total is not None else 0)

    def _orders(self, sort: str) -> tuple[Order, ...]:
        orders = parse_sort(sort, self.sort_keys.keys()) or self.default_order
        if any(order.key == self.unique_key for order in orders):
            return orders
        # In the direction of the others, so that one row comparison, and one index, serves them all.
        return (*orders, Order(self.unique_key, descending=orders[-1].descending))

    def _continue(
        self, token: str, fingerprint: str, orders: Sequence[Order]
    ) -> tuple[tuple[KeysetValue, ...], int | None]:
        types: list[type] = [self.sort_keys[order.key].value_type for order in orders]
        *after, total = PageToken.decode(token, fingerprint, [*types, int]).values
        # A token is no secret and no signature: a stranger may have written these.
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

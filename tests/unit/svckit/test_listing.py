from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from svckit.errors import Invalid
from svckit.listing import Listing, ListRequest, Page, Selection, SortKey
from svckit.query import Clause, Exact, Key, Order


@dataclass(frozen=True)
class Fruit:
    id: int
    name: str
    weight: int


LISTING: Listing[Fruit] = Listing(
    name="fruit",
    sort_keys={
        "id": SortKey(int, lambda row: row.id),
        "name": SortKey(str, lambda row: row.name),
        "weight": SortKey(int, lambda row: row.weight),
    },
    default_order=(Order("weight", descending=True),),
    keys={"name": Key("name")},
)
# Half of them weigh the same, so that the id has to decide.
FRUITS = [Fruit(number, f"f{number:02}", number // 2) for number in range(1, 26)]


class Basket:
    """A store in memory, which remembers what it was asked."""

    def __init__(self, rows: Sequence[Fruit] = FRUITS) -> None:
        self.rows = list(rows)
        self.selections: list[Selection] = []
        self.counts = 0

    async def fetch(self, selection: Selection) -> list[Fruit]:
        self.selections.append(selection)
        rows = self._matching(selection.clauses)
        for order in reversed(selection.orders):
            rows.sort(key=LISTING.sort_keys[order.key].read, reverse=order.descending)  # type: ignore[arg-type]
        if selection.after is not None:
            keys = [tuple(LISTING.sort_keys[order.key].read(row) for order in selection.orders) for row in rows]
            rows = rows[keys.index(selection.after) + 1 :] if selection.after in keys else rows
        return rows[selection.offset : selection.offset + selection.limit]

    async def count(self, clauses: tuple[Clause, ...]) -> int:
        self.counts += 1
        return len(self._matching(clauses))

    def _matching(self, clauses: tuple[Clause, ...]) -> list[Fruit]:
        wanted = {clause.value for clause in clauses if isinstance(clause, Exact)}
        return [row for row in self.rows if not wanted or row.name in wanted]

    async def page(self, **request: object) -> Page[Fruit]:
        asked = ListRequest(**{"with_total": True, **request})  # type: ignore[arg-type]
        return await LISTING.page(asked, self.fetch, self.count, scope=(7,))


@pytest.mark.parametrize("sort", ["", "name", "-name", "weight,-name", "-id"])
async def test_pages_by_token_and_by_number_are_the_same_and_hold_every_row_once(sort: str) -> None:
    basket = Basket()
    by_token: list[Page[Fruit]] = []
    token = ""
    while token or not by_token:
        by_token.append(await basket.page(sort=sort, page_size=7, page_token=token))
        token = by_token[-1].next_page_token
    by_number = [await basket.page(sort=sort, page_size=7, page=number) for number in (1, 2, 3, 4)]
    assert [page.items for page in by_token] == [page.items for page in by_number]
    assert sorted(row.id for page in by_token for row in page.items) == [row.id for row in FRUITS]
    assert {page.total_size for page in (*by_token, *by_number)} == {25}
    assert by_number[-1].next_page_token == ""


async def test_going_on_by_token_counts_nothing_and_skips_nothing_by_number() -> None:
    basket = Basket()
    first = await basket.page()
    await basket.page(page_token=first.next_page_token, page=9)
    assert basket.counts == 1
    assert basket.selections[1].offset == 0
    assert basket.selections[1].after is not None


async def test_the_unique_key_goes_the_way_of_the_others() -> None:
    basket = Basket()
    await basket.page()
    await basket.page(sort="-weight,name")
    assert basket.selections[0].orders == (Order("weight", descending=True), Order("id", descending=True))
    assert basket.selections[1].orders[-1] == Order("id")


async def test_a_page_beyond_the_last_is_empty_and_says_the_total() -> None:
    page = await Basket().page(page=4, page_size=10)
    assert (page.items, page.next_page_token, page.total_size) == ((), "", 25)


async def test_rows_are_counted_only_where_the_total_is_asked_for() -> None:
    basket = Basket()
    page = await basket.page(page_size=20, with_total=False)
    assert (len(page.items), page.total_size) == (20, 0)
    rest = await basket.page(page_size=20, page_token=page.next_page_token, with_total=False)
    assert (len(rest.items), rest.next_page_token, rest.total_size) == (5, "", 0)
    assert (await basket.page(page=9, with_total=False)).items == ()
    assert basket.counts == 0


async def test_the_total_may_be_asked_for_on_any_page() -> None:
    basket = Basket()
    token = (await basket.page(with_total=False)).next_page_token
    second = await basket.page(page_token=token)
    assert (second.total_size, basket.counts) == (25, 1)
    third = await basket.page(page_token=second.next_page_token)
    assert (third.total_size, basket.counts) == (25, 1)
    # A total that a token carries is not told to who does not ask.
    assert (await basket.page(page_token=second.next_page_token, with_total=False)).total_size == 0


async def test_an_empty_list_is_not_read() -> None:
    basket = Basket(())
    assert await basket.page() == Page((), "", 0)
    assert basket.selections == []


async def test_sizes_are_ten_unless_said_and_a_hundred_at_most() -> None:
    basket = Basket([Fruit(number, "", 0) for number in range(150)])
    assert len((await basket.page()).items) == 10
    assert len((await basket.page(page_size=1000)).items) == 100


async def test_a_list_may_have_sizes_of_its_own() -> None:
    listing = replace(LISTING, default_page_size=3, maximum_page_size=5)
    basket = Basket()
    assert len((await listing.page(ListRequest(), basket.fetch, basket.count)).items) == 3
    assert len((await listing.page(ListRequest(page_size=20), basket.fetch, basket.count)).items) == 5


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"page": 2**31 - 1, "page_size": 100}, "BAD_REQUEST"),
        ({"q": "colour=red"}, "BAD_REQUEST"),
        ({"q": "name=a\0"}, "BAD_REQUEST"),
        ({"sort": "colour"}, "BAD_REQUEST"),
        ({"page_token": "nonsense"}, "INVALID_PAGE_TOKEN"),
    ],
)
async def test_what_cannot_be_meant_is_refused(request_: dict[str, object], reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        await Basket().page(**request_)
    assert caught.value.reason == reason


async def test_a_token_is_refused_by_another_query_and_by_another_parent() -> None:
    basket = Basket()
    token = (await basket.page()).next_page_token
    for other in ({"sort": "id"}, {"q": "name=f01"}):
        with pytest.raises(Invalid):
            await basket.page(page_token=token, **other)
    with pytest.raises(Invalid):
        await LISTING.page(ListRequest(page_token=token), basket.fetch, basket.count, scope=(8,))

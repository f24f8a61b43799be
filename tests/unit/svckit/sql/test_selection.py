from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Column, ColumnElement, Integer, MetaData, Table, Text, bindparam, insert, select

from svckit.listing import Selection
from svckit.query import AllOf, AnyOf, Clause, Exact, Fuzzy, Order, Range
from svckit.sql.database import Database
from svckit.sql.selection import Columns, after, condition, count_rows, order_by, read_page
from svckit.sql.types import UtcDateTime

metadata = MetaData()
thing = Table(
    "selected_thing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("note", Text, nullable=True),
    Column("time", UtcDateTime, nullable=False),
)
COLUMNS = {"id": thing.c.id, "name": thing.c.name, "note": thing.c.note, "time": thing.c.time}
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [
    {"id": 1, "name": "alpha", "note": None, "time": START},
    {"id": 2, "name": "Beta", "note": "100%", "time": START + timedelta(microseconds=1)},
    {"id": 3, "name": "gamma", "note": "1000", "time": START + timedelta(days=1)},
    {"id": 4, "name": "alpha", "note": "a_b", "time": START + timedelta(days=1)},
    {"id": 5, "name": "beta", "note": "axb", "time": START + timedelta(days=2)},
]


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.change_schema() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.execute(insert(thing), ROWS)
        await conn.commit()
    return database


@pytest.mark.parametrize(
    "clause, ids",
    [
        (Exact("name", "alpha"), [1, 4]),
        (Exact("name", "beta"), [5]),
        (Exact("note", None), [1]),
        (Fuzzy("name", "BET"), [2, 5]),
        (Fuzzy("note", "0%"), [2]),
        (Fuzzy("note", "a_b"), [4]),
        (Range("id", 2, 4), [2, 3, 4]),
        (Range("id", 4, None), [4, 5]),
        (Range("time", START + timedelta(microseconds=1), START + timedelta(days=1)), [2, 3, 4]),
        (Range("time", None, START), [1]),
        (AnyOf("name", ("alpha", "gamma")), [1, 3, 4]),
        (AnyOf("note", (None, "axb")), [1, 5]),
        (AllOf("name", ("alpha", "alpha")), [1, 4]),
        (AllOf("name", ("alpha", "beta")), []),
    ],
)
async def test_a_clause_finds_its_rows(filled: Database, clause: Clause, ids: list[int]) -> None:
    async with filled.read() as conn:
        found = await conn.scalars(select(thing.c.id).where(condition(clause, COLUMNS)).order_by(thing.c.id))
    assert list(found) == ids


@pytest.mark.parametrize(
    "orders",
    [
        (Order("id"),),
        (Order("time"), Order("id")),
        (Order("time", descending=True), Order("id", descending=True)),
        (Order("time", descending=True), Order("id")),
        (Order("time"), Order("name", descending=True), Order("id")),
    ],
)
async def test_going_on_after_each_row_shows_the_whole_list_once(filled: Database, orders: tuple[Order, ...]) -> None:
    query = select(thing).order_by(*order_by(orders, COLUMNS))
    async with filled.read() as conn:
        whole = (await conn.execute(query)).all()
        for position, row in enumerate(whole):
            values = [getattr(row, order.key) for order in orders]
            rest = (await conn.execute(query.where(after(orders, COLUMNS, values)))).all()
            assert rest == whole[position + 1 :]


def test_a_keyset_has_a_value_for_each_order() -> None:
    with pytest.raises(ValueError, match="one value"):
        after((Order("id"), Order("name")), COLUMNS, (1,))


def test_a_key_without_a_column_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        condition(Exact("colour", "red"), COLUMNS)


NEWEST = (Order("time", descending=True), Order("id", descending=True))


async def page_of(filled: Database, selection: Selection) -> list[int]:
    async with filled.read() as conn:
        query = select(thing).where(thing.c.id > bindparam("least"))
        return [row.id for row in await read_page(conn, query, COLUMNS, selection, values={"least": 1})]


async def test_a_page_begins_at_an_offset_or_after_a_row(filled: Database) -> None:
    assert await page_of(filled, Selection((), NEWEST, limit=2)) == [5, 4]
    assert await page_of(filled, Selection((), NEWEST, limit=2, offset=2)) == [3, 2]
    assert await page_of(filled, Selection((), NEWEST, limit=2, after=(ROWS[3]["time"], 4))) == [3, 2]  # type: ignore[arg-type]
    assert await page_of(filled, Selection((Exact("name", "alpha"),), NEWEST, limit=2)) == [4]


async def test_a_count_is_of_all_pages(filled: Database) -> None:
    async with filled.read() as conn:
        query = select(thing.c.id).where(thing.c.id > bindparam("least"))
        assert await count_rows(conn, query, COLUMNS, (), values={"least": 1}) == 4
        assert await count_rows(conn, query, COLUMNS, (Exact("name", "alpha"),), values={"least": 1}) == 1
        assert await count_rows(conn, query, COLUMNS, (), values={"least": 9}) == 0


async def test_a_list_may_read_its_clauses_in_its_own_way(filled: Database) -> None:
    def is_long(clause: Clause, columns: Columns) -> ColumnElement[bool]:
        return columns["note"].like("____") if clause.key == "long" else condition(clause, columns)

    clauses = (Exact("long", "yes"), Exact("name", "Beta"))
    async with filled.read() as conn:
        rows = await read_page(conn, select(thing), COLUMNS, Selection(clauses, NEWEST, limit=9), condition_of=is_long)
        assert [row.id for row in rows] == [2]
        assert await count_rows(conn, select(thing), COLUMNS, clauses[:1], condition_of=is_long) == 2

"""The change log of a service, on each kind of database."""

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, bindparam, select, update

from svckit.access.actor import Actor, ChangeOrigin
from svckit.change import Change, ChangeFilter, ChangePage, LogPosition
from svckit.errors import DomainError
from svckit.sql.change_log import MAXIMUM_PAGE_SIZE, ChangeLog, Unchanged, new_epoch
from svckit.sql.database import Database
from svckit.sql.errors import WriteConflictError
from svckit.sql.names import NAMING_CONVENTION

WRITERS = 8
UNITS = 25


class Kind(StrEnum):
    """What an imaginary service changes."""

    USER_CREATE = "user_create"
    USER_UPDATE = "user_update"


class OtherKind(StrEnum):
    """What another one changes."""

    USER_CREATE = "user_create"


ROBOT_OF_A_POLICY = Actor("service", name="jobsvc", on_behalf_of=Actor("policy", 3, "nightly"))
CHANGE = Change(
    kind=Kind.USER_CREATE,
    origin=ChangeOrigin(Actor("user", 7, "ann"), "request-1", "192.0.2.1", "token-1"),
    time=datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
    resource_id=9,
    resource_name="bob",
)
UPDATE = replace(
    CHANGE,
    kind=Kind.USER_UPDATE,
    project_id=4,
    origin=ChangeOrigin(ROBOT_OF_A_POLICY),
    reference="v1",
    digest="sha256:ab",
    old={"email": None, "groups": ["a"]},
    new={"email": "bob@example.org", "groups": []},
)


@dataclass(frozen=True)
class Logged:
    """A database with a change log."""

    database: Database
    log: ChangeLog[Kind]
    counter: Table

    async def write(self, *changes: Change[Kind]) -> int:
        async with self.database.write() as conn:
            revision = await self.log.append(conn, changes)
            await conn.commit()
            return revision

    async def position(self) -> LogPosition:
        async with self.database.read() as conn:
            return await self.log.position(conn)

    async def read(
        self,
        after: LogPosition,
        *,
        limit: int = 0,
        wanted: ChangeFilter[Kind] | None = None,
    ) -> ChangePage[Kind]:
        async with self.database.read() as conn:
            return await self.log.read(conn, after, limit=limit, wanted=wanted)

    async def compact(self, revision: int) -> None:
        async with self.database.write() as conn:
            await self.log.compact(conn, revision)
            await conn.commit()


@pytest.fixture
async def logged(database: Database) -> Logged:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    log = ChangeLog(metadata, Kind)
    counter = Table("counter", metadata, Column("id", BigInteger, primary_key=True), Column("count", BigInteger))
    async with database.change_schema() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.execute(log.state.insert().values(id=1, epoch=new_epoch(), compacted_to=0))
        await conn.execute(counter.insert().values(id=1, count=0))
        await conn.commit()
    return Logged(database, log, counter)


async def test_a_change_is_read_as_it_was_written(logged: Logged) -> None:
    start = await logged.position()
    assert await logged.write(CHANGE, UPDATE) == 2

    page = await logged.read(start)
    assert [(found.revision, found.change) for found in page.changes] == [(1, CHANGE), (2, UPDATE)]
    assert page.position == await logged.position() == LogPosition(epoch=start.epoch, revision=2)


async def test_a_unit_that_is_rolled_back_leaves_nothing_and_takes_no_revision(logged: Logged) -> None:
    start = await logged.position()
    async with logged.database.write() as conn:
        assert await logged.log.append(conn, [CHANGE]) == 1
    assert await logged.position() == start
    assert (await logged.read(start)).changes == ()
    assert await logged.write(UPDATE) == 1


@pytest.mark.parametrize("short", [False, True], ids=["each its transaction", "shared ones"])
async def test_a_reader_that_polls_while_writers_commit_meets_every_revision_once_and_in_order(
    logged: Logged, short: bool
) -> None:
    committed: list[int] = []
    start = await logged.position()

    async def write(number: int) -> None:
        # Seeded by the writer, so that a failure comes again.
        chance = random.Random(number)
        for _ in range(UNITS):
            async with logged.database.write(short=short) as conn:
                size = chance.randint(1, 3)
                revision = await logged.log.append(conn, [replace(CHANGE, resource_id=number)] * size)
                # Others wait for the lock meanwhile, and begin their statements in the same moment.
                await asyncio.sleep(chance.choice((0, 0, 0.001)))
                if chance.random() < 0.2:
                    continue
                await conn.commit()
            # Whoever has committed knows the revision, and that it can be read.
            assert (await logged.position()).revision >= revision
            committed.extend(range(revision - size + 1, revision + 1))

    async def poll() -> list[int]:
        seen: list[int] = []
        position = start
        while not writers.done() or (await logged.position()) != position:
            page = await logged.read(position, limit=5)
            seen.extend(found.revision for found in page.changes)
            position = page.position
        return seen

    writers = asyncio.gather(*(write(number) for number in range(WRITERS)))
    seen = await poll()
    await writers
    assert seen == list(range(1, len(committed) + 1)) == sorted(committed)


async def test_a_unit_commits_only_while_what_it_relies_on_is_as_it_read_it(logged: Logged) -> None:
    count = logged.counter.c.count
    watch = logged.log.watch(select(count).where(logged.counter.c.id == bindparam("of_counter")).scalar_subquery())
    conflicts = 0

    async def rely() -> None:
        """Writes what it has read without a lock."""
        nonlocal conflicts
        for _ in range(UNITS):
            try:
                async with logged.database.write() as conn:
                    read = await conn.scalar(select(count))
                    await asyncio.sleep(random.uniform(0, 0.002))
                    change = replace(CHANGE, reference=str(read))
                    await logged.log.append(conn, [change], Unchanged(watch, {"of_counter": 1}, read))
                    await conn.commit()
            except WriteConflictError:
                conflicts += 1

    async def change() -> None:
        for _ in range(UNITS):
            async with logged.database.write() as conn:
                await conn.execute(update(logged.counter).values(count=count + 1))
                await logged.log.append(conn, [UPDATE])
                await conn.commit()
            await asyncio.sleep(random.uniform(0, 0.004))

    start = await logged.position()
    await asyncio.gather(change(), *(rely() for _ in range(WRITERS)))

    changed = 0
    for found in (await logged.read(start)).changes:
        if found.change.kind is Kind.USER_UPDATE:
            changed += 1
        else:
            assert found.change.reference == str(changed)
    assert changed == UNITS
    # On SQLite, a unit that writes has the database for itself.
    assert (conflicts > 0) is (logged.database.dialect == "postgresql")


async def test_pages_go_on_where_the_last_one_ended(logged: Logged) -> None:
    position = await logged.position()
    await logged.write(*[CHANGE] * 5)
    pages = []
    for _ in range(4):
        page = await logged.read(position, limit=2)
        pages.append([found.revision for found in page.changes])
        position = page.position
    assert pages == [[1, 2], [3, 4], [5], []]


async def test_a_page_has_a_limit_whatever_is_asked(logged: Logged) -> None:
    start = await logged.position()
    await logged.write(*[CHANGE] * (MAXIMUM_PAGE_SIZE + 1))
    assert len((await logged.read(start)).changes) == MAXIMUM_PAGE_SIZE
    assert len((await logged.read(start, limit=MAXIMUM_PAGE_SIZE + 1)).changes) == MAXIMUM_PAGE_SIZE


async def test_a_reader_of_some_changes_passes_the_others_by(logged: Logged) -> None:
    start = await logged.position()
    await logged.write(CHANGE, UPDATE, CHANGE)

    of_kind = await logged.read(start, wanted=ChangeFilter(kinds={Kind.USER_UPDATE}))
    assert [found.revision for found in of_kind.changes] == [2]
    # Behind those that did not match, so that compaction does not overtake a reader who waits for what is rare.
    assert of_kind.position.revision == 3
    of_project = await logged.read(start, wanted=ChangeFilter(project_id=4))
    assert [found.revision for found in of_project.changes] == [2]
    assert (await logged.read(start, wanted=ChangeFilter(kinds=frozenset()))).changes == ()


async def test_a_reader_of_another_epoch_is_told_so(logged: Logged) -> None:
    await logged.write(CHANGE)
    before = await logged.position()
    async with logged.database.write() as conn:
        epoch = await logged.log.renew_epoch(conn)
        await conn.commit()

    with pytest.raises(DomainError) as refused:
        await logged.read(before)
    assert (refused.value.reason, refused.value.metadata) == ("EPOCH_MISMATCH", {"epoch": epoch})
    assert epoch != before.epoch
    assert await logged.position() == LogPosition(epoch=epoch, revision=1)


async def test_a_reader_who_is_older_than_what_is_kept_is_told_so(logged: Logged) -> None:
    start = await logged.position()
    await logged.write(*[CHANGE] * 4)
    await logged.compact(2)

    with pytest.raises(DomainError) as refused:
        await logged.read(replace(start, revision=1))
    assert (refused.value.reason, refused.value.metadata) == ("REVISION_COMPACTED", {"oldest_revision": "2"})
    # Who has read up to the last one that is gone has missed nothing.
    assert [found.revision for found in (await logged.read(replace(start, revision=2))).changes] == [3, 4]


async def test_revisions_go_on_after_all_changes_were_compacted(logged: Logged) -> None:
    await logged.write(CHANGE, CHANGE)
    # Further than the newest: those to come must not be taken for compacted.
    await logged.compact(10)
    end = await logged.position()
    assert end.revision == 2
    assert await logged.write(UPDATE) == 3
    assert [found.change for found in (await logged.read(end)).changes] == [UPDATE]


async def test_compaction_does_not_go_back(logged: Logged) -> None:
    start = await logged.position()
    await logged.write(*[CHANGE] * 3)
    await logged.compact(2)
    await logged.compact(1)
    with pytest.raises(DomainError, match="REVISION_COMPACTED"):
        await logged.read(replace(start, revision=1))


async def test_a_revision_that_was_not_reached_yet_is_refused(logged: Logged) -> None:
    start = await logged.position()
    with pytest.raises(DomainError) as refused:
        await logged.read(replace(start, revision=1))
    assert (refused.value.reason, refused.value.metadata) == ("REVISION_AHEAD", {"newest_revision": "0"})


async def test_a_change_of_a_kind_that_the_log_does_not_have_is_refused(logged: Logged) -> None:
    foreign: Change[OtherKind] = Change(kind=OtherKind.USER_CREATE, origin=CHANGE.origin, time=CHANGE.time)
    async with logged.database.write() as conn:
        with pytest.raises(TypeError, match="is not one of Kind"):
            await logged.log.append(conn, [foreign])  # type: ignore[list-item]


def test_a_kind_that_does_not_fit_its_column_is_refused_at_once() -> None:
    class Wordy(StrEnum):
        """One that is too long."""

        LONG = "a" * 33

    with pytest.raises(ValueError, match="32 characters"):
        ChangeLog(MetaData(), Wordy)

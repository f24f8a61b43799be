"""A key is claimed once, on both databases, however many calls come with it at once."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import MetaData, func, select

from svckit.errors import Conflict, DomainError
from svckit.idempotency import FirstCall, IdempotencyKey
from svckit.sql.database import Database
from svckit.sql.idempotency import SqlIdempotency, idempotency_table
from svckit.sql.names import NAMING_CONVENTION

KEEP_SECONDS = 3600
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = IdempotencyKey("user:7", "/service/Create", key_hash="a" * 64, request_hash="b" * 64)
SECRET = replace(KEY, holds_secret=True)

metadata = MetaData(naming_convention=NAMING_CONVENTION)
table = idempotency_table(metadata)


@pytest.fixture
async def keys(database: Database) -> Database:
    """A database with the table."""
    async with database.change_schema() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.commit()
    return database


async def _call(
    keys: Database, made_id: int, key: IdempotencyKey | None = KEY, now: datetime = NOW, secret_hash: str = ""
) -> FirstCall | None:
    """What a create does: it claims, and remembers what it made."""
    async with keys.write() as conn:
        rows = SqlIdempotency(conn, table, KEEP_SECONDS)
        first = await rows.claim(key, now)
        if first is None:
            await rows.remember(key, made_id, secret_hash=secret_hash)
            await conn.commit()
        return first


async def _count(keys: Database) -> int:
    async with keys.read() as conn:
        return await conn.scalar(select(func.count()).select_from(table)) or 0


async def test_a_repeat_hears_what_the_first_call_made(keys: Database) -> None:
    assert await _call(keys, 11) is None
    assert await _call(keys, 12) == FirstCall(11)
    assert await _call(keys, 13) == FirstCall(11)


async def test_of_twenty_calls_at_once_one_is_the_first_and_the_others_hear_its_answer(keys: Database) -> None:
    answers = await asyncio.gather(*(_call(keys, made_id) for made_id in range(1, 21)))
    firsts = [made_id for made_id, answer in enumerate(answers, start=1) if answer is None]
    assert len(firsts) == 1
    assert [answer for answer in answers if answer is not None] == [FirstCall(firsts[0])] * 19
    assert await _count(keys) == 1


async def test_a_call_that_waited_for_one_that_failed_is_the_first(keys: Database) -> None:
    claimed = asyncio.Event()
    fail = asyncio.Event()

    async def failing() -> None:
        async with keys.write() as conn:
            await SqlIdempotency(conn, table, KEEP_SECONDS).claim(KEY, NOW)
            claimed.set()
            await fail.wait()

    failed = asyncio.create_task(failing())
    await claimed.wait()
    second = asyncio.create_task(_call(keys, 12))
    # It cannot be done before the first one is: there is no other event to wait for than that it is not.
    done, _ = await asyncio.wait({second}, timeout=0.2)
    assert not done
    fail.set()
    await failed
    assert await second is None
    assert await _call(keys, 13) == FirstCall(12)


@pytest.mark.parametrize(
    "other", [replace(KEY, subject="user:8"), replace(KEY, method="/service/Other"), replace(KEY, key_hash="c" * 64)]
)
async def test_caller_method_and_key_tell_calls_apart(keys: Database, other: IdempotencyKey) -> None:
    assert await _call(keys, 11) is None
    assert await _call(keys, 12, other) is None
    assert await _call(keys, 13, other) == FirstCall(12)
    assert await _call(keys, 13) == FirstCall(11)


async def test_another_request_under_the_same_key_is_refused(keys: Database) -> None:
    assert await _call(keys, 11) is None
    with pytest.raises(Conflict, match="used for another request") as refused:
        await _call(keys, 12, replace(KEY, request_hash="d" * 64))
    assert [violation.field for violation in refused.value.violations] == ["idempotency_key"]
    assert await _call(keys, 13) == FirstCall(11)


async def test_without_a_key_nothing_is_kept(keys: Database) -> None:
    assert await _call(keys, 11, None) is None
    assert await _call(keys, 12, None) is None
    assert await _count(keys) == 0


async def test_a_key_counts_until_its_time_is_over_and_is_the_first_again_after_it(keys: Database) -> None:
    last_moment = NOW + timedelta(seconds=KEEP_SECONDS)
    assert await _call(keys, 11) is None
    assert await _call(keys, 12, now=last_moment) == FirstCall(11)
    # Another request too: nothing of the old one counts.
    later = replace(KEY, request_hash="d" * 64)
    assert await _call(keys, 13, later, now=last_moment + timedelta(microseconds=1)) is None
    assert await _call(keys, 14, later, now=last_moment + timedelta(seconds=9)) == FirstCall(13)


async def test_what_is_too_old_is_forgotten_a_hundred_rows_at_a_time_the_oldest_first(keys: Database) -> None:
    async with keys.write() as conn:
        old = [
            {
                "subject": "user:7",
                "method": "/service/Create",
                "key_hash": f"{number:064}",
                "request_hash": "b" * 64,
                "made_id": number,
                "secret_hash": "",
                "create_time": NOW + timedelta(seconds=number),
            }
            for number in range(150)
        ]
        await conn.execute(table.insert(), old)
        await conn.commit()
    later = NOW + timedelta(days=1)
    assert await _call(keys, 1, now=later) is None
    async with keys.read() as conn:
        left = (await conn.scalars(select(table.c.made_id).order_by(table.c.create_time))).all()
    assert left == [*range(100, 150), 1]
    assert await _call(keys, 2, replace(KEY, key_hash="c" * 64), now=later) is None
    assert await _count(keys) == 2


async def test_the_hash_of_a_secret_is_given_back_and_cannot_be_left_out(keys: Database) -> None:
    with pytest.raises(DomainError, match="without the hash of its secret"):
        await _call(keys, 11, SECRET)
    assert await _call(keys, 12, SECRET, secret_hash="$argon2id$x") is None
    assert await _call(keys, 13, SECRET) == FirstCall(12, "$argon2id$x")


async def test_a_use_case_that_forgets_to_remember_is_found_out(keys: Database) -> None:
    async with keys.write() as conn:
        await SqlIdempotency(conn, table, KEEP_SECONDS).claim(KEY, NOW)
        await conn.commit()
    with pytest.raises(DomainError, match="stored no result"):
        await _call(keys, 11)

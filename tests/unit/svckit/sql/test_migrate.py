"""Migrations: once, whoever else runs them, and never backwards."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import BigInteger, Column, Connection, ForeignKeyConstraint, MetaData, Table, inspect, select, text

from svckit.sql.database import Database
from svckit.sql.errors import MissingDatabaseError
from svckit.sql.migrate import MigrationError, NewerDatabaseError, migrate
from svckit.sql.opening import open_database
from tests.harness.databases import SCHEMA
from tests.harness.migrations import assert_head_is_newest, assert_migrations_match
from tests.unit.svckit.sql import migrations
from tests.unit.svckit.sql.tables import account, entry, metadata


def _history(folder: Path) -> ModuleType:
    module = ModuleType("history")
    module.__path__ = [str(folder)]
    return module


def _longer_history(folder: Path, migration: str) -> ModuleType:
    """The history with one migration more, 0003."""
    shutil.copytree(Path(migrations.__path__[0]) / "versions", folder / "versions")
    (folder / "versions" / "0003_more.py").write_text(migration)
    return _history(folder)


async def _fill(database: Database) -> None:
    """The tables as the history makes them, with an account and an entry of it."""
    await migrate(database, migrations)
    async with database.write() as conn:
        await conn.execute(account.insert().values(id=1, name="a", balance=1))
        await conn.execute(entry.insert().values(account_id=1, amount=5))
        await conn.commit()


async def _table_names(database: Database) -> set[str]:
    def names(conn: Connection) -> set[str]:
        return set(inspect(conn).get_table_names())

    async with database.read() as conn:
        return await conn.run_sync(names)


async def test_migrations_make_exactly_the_declared_tables(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)


async def test_a_table_without_a_migration_is_noticed(database: Database) -> None:
    wider = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(wider)
    account.to_metadata(wider, name="forgotten").indexes.clear()
    with pytest.raises(AssertionError, match="forgotten"):
        await assert_migrations_match(database, migrations, wider)


async def test_a_constraint_that_is_checked_at_the_commit_is_noticed(database: Database, tmp_path: Path) -> None:
    # Both databases could have it, but units of SQLite share commits.
    history = _longer_history(
        tmp_path,
        """
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"

def upgrade(op):
    op.create_table(
        "note",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name="note_account_fk", deferrable=True, initially="DEFERRED"
        ),
    )
""",
    )
    wider = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(wider)
    Table(
        "note",
        wider,
        Column("account_id", BigInteger, primary_key=True, autoincrement=False),
        ForeignKeyConstraint(
            ["account_id"], ["account.id"], name="note_account_fk", deferrable=True, initially="DEFERRED"
        ),
    )
    if database.dialect == "postgresql":
        await assert_migrations_match(database, history, wider)
        return
    with pytest.raises(AssertionError, match="note has a constraint that is checked at the commit"):
        await assert_migrations_match(database, history, wider)


def test_a_script_that_is_not_named_for_its_revision_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(Path(migrations.__path__[0]) / "versions", tmp_path / "versions")
    (tmp_path / "versions" / "0009_more.py").write_text('revision = "0003"\ndown_revision = "0002"\n')

    with pytest.raises(AssertionError):
        assert_head_is_newest(_history(tmp_path))


async def test_migrating_again_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrate(database, migrations)
    async with database.write() as conn:
        await conn.execute(account.insert().values(name="a", balance=1))
        await conn.commit()
    await migrate(database, migrations)
    # A revision that the database does not hold leads past the short cut, to Alembic, which finds nothing to do either.
    monkeypatch.setattr("svckit.sql.migrate.newest_revision", lambda _: "elsewhere")
    await migrate(database, migrations)
    async with database.read() as conn:
        assert (await conn.execute(select(account.c.name))).scalars().all() == ["a"]


async def test_replicas_that_start_together_migrate_once(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        database = await open_database(database_url, schema=SCHEMA)
        replicas = [database] * 4
    else:
        replicas = [await open_database(database_url, schema=SCHEMA, pool_size=2) for _ in range(4)]
    try:
        await asyncio.gather(*(migrate(replica, migrations) for replica in replicas))
        assert await _table_names(replicas[0]) == {"account", "entry", "alembic_version"}
    finally:
        for replica in replicas:
            await replica.close()


async def test_a_newer_database_is_refused(database: Database) -> None:
    await migrate(database, migrations)
    async with database.write() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        await conn.commit()
    with pytest.raises(NewerDatabaseError, match="0099"):
        await migrate(database, migrations)


async def test_a_migration_that_fails_leaves_nothing(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("history")
    (folder / "versions").mkdir()
    (folder / "versions" / "0001_broken.py").write_text(
        "from sqlalchemy import Column, Integer\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade(op):\n    op.create_table('half', Column('id', Integer))\n    raise RuntimeError('stop')\n"
    )
    with pytest.raises(RuntimeError, match="stop"):
        await migrate(database, _history(folder))
    assert await _table_names(database) == set()


async def test_a_copied_table_keeps_what_refers_to_it(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await _fill(database)
    history = _longer_history(
        tmp_path_factory.mktemp("history"),
        "import sqlalchemy as sa\nrevision = '0003'\ndown_revision = '0002'\n"
        "def upgrade(op):\n    with op.batch_alter_table('account', recreate='auto') as batch:\n"
        "        batch.alter_column('name', type_=sa.String(32), existing_type=sa.String(64))\n",
    )
    await migrate(database, history)
    async with database.write() as conn:
        assert await conn.scalar(select(entry.c.amount)) == 5
        # And foreign keys hold again.
        await conn.execute(account.delete())
        assert await conn.scalar(select(entry.c.amount)) is None


async def test_a_migration_that_leaves_rows_without_their_parent_is_undone(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/service.db")
    await _fill(database)
    history = _longer_history(
        tmp_path_factory.mktemp("history"),
        "revision = '0003'\ndown_revision = '0002'\ndef upgrade(op):\n    op.execute('DELETE FROM account')\n",
    )
    with pytest.raises(MigrationError, match="entry"):
        await migrate(database, history)
    async with database.read() as conn:
        assert await conn.scalar(select(account.c.name)) == "a"
    await database.close()


async def test_a_start_on_current_tables_does_not_import_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/service.db"
    database = await open_database(url)
    await migrate(database, migrations)
    await database.close()
    program = f"""
import asyncio, sys
from svckit.sql.database import Database
from svckit.sql.opening import open_database
from svckit.sql.migrate import migrate
from tests.unit.svckit.sql import migrations

async def main():
    database = await open_database({url!r})
    await migrate(database, migrations)
    await database.close()

asyncio.run(main())
print([name for name in ("alembic", "psycopg", "sqlalchemy.dialects.postgresql") if name in sys.modules])
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]
    )
    output, _ = await process.communicate()
    assert output.decode().strip() == "[]"


async def test_a_database_without_tables_is_refused_if_it_must_exist(database: Database) -> None:
    with pytest.raises(MissingDatabaseError, match="the database has no tables"):
        await migrate(database, migrations, must_exist=True)

    assert not await _table_names(database)
    await migrate(database, migrations)
    await migrate(database, migrations, must_exist=True)

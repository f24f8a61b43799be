# ruff: noqa: S608 - what stands in these statements is written in this file
"""The migrations make the tables that the store declares, and keep existing rows."""

from datetime import UTC, datetime
from types import ModuleType

import pytest
from sqlalchemy import Connection, text

from metasvc.domain.model import ChangeKind
from metasvc.store import migrations
from metasvc.store.lists import SqlLists
from metasvc.store.tables import CHANGES, metadata
from svckit.access.actor import Actor, ChangeOrigin
from svckit.change import Change, LogPosition
from svckit.listing import Selection
from svckit.query import Order
from svckit.sql.database import Database
from svckit.sql.migrate import migrate, migration_folder
from tests.harness.migrations import assert_migrations_match

TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STORED_TIME = "2026-01-02 03:04:05.678901"
ACTORS = {
    "user:7": Actor("user", 7),
    "robot:12": Actor("robot", 12),
    "service:metasvc": Actor("service", name="metasvc"),
    "anonymous": Actor("anonymous"),
}


async def test_the_migrations_make_the_declared_tables(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)


@pytest.fixture
async def first_tables(database: Database) -> Database:
    """A database as 0001 left it."""
    async with database.change_schema() as conn:
        await conn.run_sync(_upgrade_to_first, migrations)
        await conn.commit()
    return database


def _upgrade_to_first(conn: Connection, package: ModuleType) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(migration_folder(package)))
    context = MigrationContext.configure(conn, opts={"fn": lambda held, _: scripts._upgrade_revs("0001", held)})
    context.run_migrations(op=Operations(context))


async def write(database: Database, *statements: str) -> None:
    async with database.write() as conn:
        for statement in statements:
            await conn.execute(text(statement))
        await conn.commit()


async def test_what_was_recorded_keeps_its_meaning(first_tables: Database) -> None:
    recorded = [
        ("tag_put", "alpha/app", "v1", "sha256:a", "user:7"),
        ("tag_delete", "alpha/app", "v1", "sha256:a", "robot:12"),
        ("repository_delete", "alpha/app", "", "", "anonymous"),
        ("project_delete", "", "alpha", "", "service:metasvc"),
    ]
    await write(
        first_tables,
        *(
            "INSERT INTO change (revision, kind, project_id, repository, reference, digest, actor, time) VALUES"
            f" ({revision}, '{kind}', 1, '{repository}', '{reference}', '{digest}', '{actor}', '{STORED_TIME}')"
            for revision, (kind, repository, reference, digest, actor) in enumerate(recorded, start=5)
        ),
    )

    await migrate(first_tables, migrations)

    async with first_tables.read() as conn:
        end = await CHANGES.position(conn)
        page = await CHANGES.read(conn, LogPosition(epoch=end.epoch, revision=0))
    assert end.revision == 8
    assert [each.revision for each in page.changes] == [5, 6, 7, 8]

    def change(
        kind: ChangeKind, name: str, reference: str, digest: str, actor: str, id_: int = 0
    ) -> Change[ChangeKind]:
        return Change(
            kind=kind,
            origin=ChangeOrigin(ACTORS[actor]),
            time=TIME,
            project_id=1,
            resource_id=id_,
            resource_name=name,
            reference=reference,
            digest=digest,
        )

    assert [each.change for each in page.changes] == [
        change(ChangeKind.TAG_PUT, "alpha/app", "v1", "sha256:a", "user:7"),
        change(ChangeKind.TAG_DELETE, "alpha/app", "v1", "sha256:a", "robot:12"),
        change(ChangeKind.REPOSITORY_DELETE, "alpha/app", "", "", "anonymous"),
        change(ChangeKind.PROJECT_DELETE, "alpha", "", "", "service:metasvc", 1),
    ]


async def test_histories_of_tags_and_rows_beside_them_are_kept(first_tables: Database) -> None:
    await write(
        first_tables,
        "INSERT INTO project (id, name, state, quota_bytes, used_bytes, create_time, update_time)"
        f" VALUES (1, 'alpha', 'active', -1, 0, '{STORED_TIME}', '{STORED_TIME}')",
        "INSERT INTO repository (id, name, project_id, description, pull_count, create_time, update_time)"
        f" VALUES (1, 'alpha/app', 1, 'text', 3, '{STORED_TIME}', '{STORED_TIME}')",
        *(
            "INSERT INTO tag_history (repository_id, name, revision, digest, previous_digest, actor, move_time)"
            f" VALUES (1, 'v1', {revision}, 'sha256:{revision}', '', '{actor}', '{STORED_TIME}')"
            for revision, actor in enumerate(ACTORS, start=1)
        ),
    )

    await migrate(first_tables, migrations)

    async with first_tables.read() as conn:
        lists = SqlLists(conn)
        moves = await lists.tags.moves(1, "v1", Selection((), (Order("revision"),), limit=9))
        repository = await lists.repositories.get(1, "alpha/app")
    assert [(move.digest, move.actor, move.move_time) for move in moves] == [
        (f"sha256:{revision}", actor, TIME) for revision, actor in enumerate(ACTORS.values(), start=1)
    ]
    assert repository is not None
    assert (repository.description, repository.pull_count, repository.etag) == ("text", 3, "1-0")

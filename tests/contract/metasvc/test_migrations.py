# ruff: noqa: S608 - what stands in these statements is written in this file
"""The migrations make the tables that the store declares, and keep existing rows."""

from datetime import UTC, datetime
from types import ModuleType

import pytest
from sqlalchemy import Connection, select, text

from metasvc.domain.accessory import tag_subject
from metasvc.domain.model import ChangeKind
from metasvc.store import migrations
from metasvc.store.lists import SqlLists
from metasvc.store.tables import CHANGES, artifact_accessory, metadata, repository_blob
from svckit.access.actor import Actor, ChangeOrigin
from svckit.change import Change, LogPosition
from svckit.errors import DomainError
from svckit.listing import Selection
from svckit.oci import media_types
from svckit.query import Order
from svckit.sql.database import Database
from svckit.sql.migrate import migrate, migration_folder
from tests.contract.metasvc.immutability import make_rule
from tests.contract.metasvc.world import World, image
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


async def test_links_are_charged_and_tags_that_name_a_subject_make_accessories(first_tables: Database) -> None:
    index_type, image_type = media_types.OCI_INDEX, media_types.OCI_MANIFEST
    subject = "a" * 64
    tags = {
        "v1": (1, image_type),
        f"sha256-{subject}.sig": (2, image_type),
        f"sha256-{subject}.att": (3, image_type),
        f"sha256-{subject}.sbom": (2, image_type),
        f"sha256-{subject}": (4, index_type),
        # No accessories: its own subject, no index, and names that only look alike.
        f"sha256-{1:064x}.sig": (1, image_type),
        f"sha256-{'b' * 64}": (2, image_type),
        f"sha256-{'g' * 64}.sig": (2, image_type),
        f"sha256-{'A' * 64}.sig": (2, image_type),
        f"sha256-{subject}.png": (2, image_type),
        f"sha256-{subject}xsig": (2, image_type),
        f"sha512-{subject}.sig": (2, image_type),
    }
    await write(
        first_tables,
        "INSERT INTO project (id, name, state, quota_bytes, used_bytes, create_time, update_time)"
        f" VALUES (1, 'alpha', 'active', -1, 0, '{STORED_TIME}', '{STORED_TIME}')",
        "INSERT INTO repository (id, name, project_id, description, pull_count, create_time, update_time)"
        f" VALUES (1, 'alpha/app', 1, '', 0, '{STORED_TIME}', '{STORED_TIME}')",
        *(
            "INSERT INTO artifact (id, project_id, repository_id, repository_name, digest, media_type,"
            " manifest_media_type, artifact_type, type, size, manifest_size, subject_digest, config_digest, push_time,"
            f" extra_attrs, annotations) VALUES ({id_}, 1, 1, 'alpha/app', 'sha256:{id_:064x}', '',"
            f" '{index_type if id_ == 4 else image_type}', '', 'IMAGE', 1, 1, '', '', '{STORED_TIME}', '{{}}', '{{}}')"
            for id_ in range(1, 6)
        ),
        *(
            "INSERT INTO tag (id, repository_id, artifact_id, name, push_time)"
            f" VALUES ({id_}, 1, {artifact_id}, '{name}', '{STORED_TIME}')"
            for id_, (name, (artifact_id, _)) in enumerate(tags.items(), start=1)
        ),
        "INSERT INTO artifact_accessory (id, artifact_id, repository_id, subject_digest, type, create_time)"
        f" VALUES (7, 5, 1, 'sha256:{subject}', 'signature.notation', '{STORED_TIME}')",
        "INSERT INTO blob (digest, generation, size, state, create_time, update_time)"
        f" VALUES ('sha256:b', 1, 1, 'live', '{STORED_TIME}', '{STORED_TIME}')",
        f"INSERT INTO repository_blob (repository_id, digest, create_time) VALUES (1, 'sha256:b', '{STORED_TIME}')",
    )

    await migrate(first_tables, migrations)

    async with first_tables.read() as conn:
        links = (await conn.execute(select(repository_blob.c.charged))).scalars().all()
        rows = (await conn.execute(select(artifact_accessory).order_by(artifact_accessory.c.id))).all()
    assert links == [True]
    assert {row.subject_digest for row in rows} == {f"sha256:{subject}"}
    assert {row.create_time for row in rows} == {TIME}
    assert {(row.artifact_id, row.source, row.tag_id, row.type) for row in rows} == {
        (5, "subject", None, "signature.notation"),
        (2, "signature_tag", 2, "signature.cosign"),
        (3, "attestation_tag", 3, "subject.accessory"),
        (2, "sbom_tag", 4, "subject.accessory"),
        (4, "referrers_tag", 5, "subject.accessory"),
    }
    # What the domain would have made of the tags.
    for name, (artifact_id, media_type) in tags.items():
        made = tag_subject(name, f"sha256:{artifact_id:064x}", media_type)
        found = [row for row in rows if row.tag_id == list(tags).index(name) + 1]
        assert [(row.subject_digest, row.source, row.type) for row in found] == (
            [] if made is None else [(made.digest, made.source, made.type)]
        )


async def test_projects_of_older_databases_have_no_immutable_rules(first_tables: Database) -> None:
    await write(
        first_tables,
        "INSERT INTO project (id, name, state, quota_bytes, used_bytes, create_time, update_time)"
        f" VALUES (1, 'alpha', 'active', 1000, 10, '{STORED_TIME}', '{STORED_TIME}')",
        "INSERT INTO repository (id, name, project_id, description, pull_count, create_time, update_time)"
        f" VALUES (1, 'alpha/app', 1, '', 0, '{STORED_TIME}', '{STORED_TIME}')",
    )

    await migrate(first_tables, migrations)

    world = World(first_tables)
    await world.push("alpha/app", image("one"), "v1")
    await world.push("alpha/app", image("two"), "v1")
    rule = await make_rule(world, "v*", "app")
    assert [(row.immutable_rules, row.quota_bytes) for row in await world.rows("SELECT * FROM project")] == [(1, 1000)]
    with pytest.raises(DomainError) as caught:
        await world.put("alpha/app", image("one"), "v1")
    assert caught.value.metadata["immutable_rule_id"] == str(rule.id)

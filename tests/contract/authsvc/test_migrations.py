import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import inspect, select, text

from authsvc.domain.grant import Access, Grant, Scope
from authsvc.domain.model import Entity, Identity
from authsvc.domain.permission import Permission
from authsvc.store import migrations
from authsvc.store.tables import change_log, member, metadata, robot, robot_permission, role, user
from svckit.sql.database import Database
from svckit.sql.migrate import migrate, migration_folder
from tests.harness.authsvc import sql_store
from tests.harness.migrations import assert_migrations_match


async def test_the_migrations_make_the_tables(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)


async def test_the_roles_are_harbors(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)
    async with database.read() as conn:
        rows = (
            await conn.execute(select(role.c.id, role.c.name).where(role.c.is_assignable).order_by(role.c.rank))
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, "projectAdmin"),
        (4, "maintainer"),
        (2, "developer"),
        (3, "guest"),
        (5, "limitedGuest"),
    ]


def migrations_up_to(revision: str, folder: Path) -> ModuleType:
    """The history as a program had it whose newest revision this was."""
    versions = folder / "versions"
    versions.mkdir()
    for script in (migration_folder(migrations) / "versions").glob("0*.py"):
        if script.name[:4] <= revision:
            shutil.copy(script, versions)
    history = ModuleType("history")
    history.__path__ = [str(folder)]
    return history


async def test_the_robots_of_an_older_database_keep_their_permissions_and_their_ids(
    database: Database, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    folder = tmp_path / "history"
    folder.mkdir()
    await migrate(database, migrations_up_to("0005", folder))
    robots = [(1, 1, "ci"), (2, 2, "ci"), (3, 2, "cd"), (7, 2, "gone")]
    async with database.write() as conn:
        times = {"now": now.replace(tzinfo=None) if database.dialect == "sqlite" else now}
        for project_id, name in ((1, "library"), (2, "team")):
            statement = """INSERT INTO project (id, name, public, initial_storage_limit_bytes, version, create_time,
                           update_time) VALUES (:id, :name, false, -1, 1, :now, :now)"""
            await conn.execute(text(statement), {"id": project_id, "name": name, **times})
        for robot_id, project_id, name in robots:
            # By the sequence, as the program did it.
            statement = """INSERT INTO robot (id, project_id, name, description, disabled, duration_days, secret_hash,
                           creator_kind, creator_id, version, create_time, update_time)
                           VALUES (:id, :project_id, :name, 'd', false, 5, 'x', 'user', 1, 4, :now, :now)"""
            values = {"id": robot_id, "project_id": project_id, "name": name, **times}
            await conn.execute(text(statement), values)
            permission = "INSERT INTO robot_permission VALUES (:id, :project_id, 'repository', 'pull')"
            await conn.execute(text(permission), {"id": robot_id, "project_id": project_id})
        await conn.execute(text("DELETE FROM robot WHERE name = 'gone'"))
        if database.dialect == "postgresql":
            await conn.execute(text("SELECT setval(pg_get_serial_sequence('robot', 'id'), 7)"))
        await conn.commit()

    await migrate(database, migrations)

    pull = Access(Permission("repository", "pull"))
    async with sql_store(database).read() as unit:
        found = [await unit.robots.get(robot_id) for robot_id, *_ in robots]
    assert [each and (each.full_name, each.level, each.etag, each.grants) for each in found] == [
        ("robot$library+ci", "project", "1-4", (Grant(Scope("project", 1), "library", frozenset({pull})),)),
        ("robot$team+ci", "project", "2-4", (Grant(Scope("project", 2), "team", frozenset({pull})),)),
        ("robot$team+cd", "project", "3-4", (Grant(Scope("project", 2), "team", frozenset({pull})),)),
        None,
    ]
    async with sql_store(database).write() as unit:
        new = {"description": "", "disabled": False, "duration_days": -1, "expire_time": None, "secret_hash": "x"}
        made: dict[str, Any] = {**new, "creator_kind": "user", "creator_id": 1, "grants": (), "now": now}
        # Never the id of a robot that was deleted before.
        assert await unit.robots.add(project_id=0, name="ci", **made) == 8
        assert await unit.robots.add(project_id=2, name="ci", **made) is None
        # And what belongs to a project still goes with it.
        await unit.projects.remove(2)
        await unit.commit()
    async with database.read() as conn:
        assert (await conn.scalars(select(robot.c.id).order_by(robot.c.id))).all() == [1, 8]
        assert (await conn.scalars(select(robot_permission.c.robot_id))).all() == [1]


async def test_the_members_of_an_older_database_keep_their_roles_and_their_ids(
    database: Database, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    folder = tmp_path / "history"
    folder.mkdir()
    await migrate(database, migrations_up_to("0007", folder))
    members = [(1, 1, 1), (2, 2, 3), (9, 2, 4)]
    async with database.write() as conn:
        times = {"now": now.replace(tzinfo=None) if database.dialect == "sqlite" else now}
        for user_id in (1, 2):
            statement = """INSERT INTO "user" (id, username, realname, comment, password_hash, is_administrator,
                           disabled, create_time, update_time)
                           VALUES (:id, :name, '', '', 'x', false, false, :now, :now)"""
            await conn.execute(text(statement), {"id": user_id, "name": f"user-{user_id}", **times})
        for project_id in (1, 2):
            statement = """INSERT INTO project (id, name, public, initial_storage_limit_bytes, version, create_time,
                           update_time) VALUES (:id, :name, false, -1, 1, :now, :now)"""
            await conn.execute(text(statement), {"id": project_id, "name": f"project-{project_id}", **times})
        for member_id, user_id, role_id in members:
            statement = """INSERT INTO member (id, project_id, user_id, role_id, version, create_time)
                           VALUES (:id, :project_id, :user_id, :role_id, 5, :now)"""
            values = {"id": member_id, "project_id": 2 if member_id == 9 else 1, "user_id": user_id, "role_id": role_id}
            await conn.execute(text(statement), {**values, **times})
        await conn.execute(text("DELETE FROM member WHERE id = 9"))
        if database.dialect == "postgresql":
            await conn.execute(text("SELECT setval(pg_get_serial_sequence('member', 'id'), 9)"))
        await conn.commit()

    await migrate(database, migrations)

    async with sql_store(database).write() as unit:
        found = [await unit.members.get(1, member_id) for member_id, *_ in members]
        assert [each and (each.entity, each.entity_name, each.role_id, each.etag) for each in found] == [
            (Entity("user", 1), "user-1", 1, "1-5"),
            (Entity("user", 2), "user-2", 3, "2-5"),
            None,
        ]
        group_id = await unit.user_groups.add(name="crew", group_type=3, ldap_group_dn="", now=now)
        assert group_id is not None
        # Never the id of a membership that ended before.
        assert await unit.members.add(1, Entity("group", group_id), 2, now) == 10
        assert await unit.members.add(1, Entity("group", group_id), 3, now) is None
        assert await unit.members.add(1, Entity("user", 2), 3, now) is None
        # And the memberships of a user still go with it.
        await unit.users.remove(2)
        await unit.user_groups.remove(group_id)
        await unit.commit()
    async with database.read() as conn:
        assert (await conn.scalars(select(member.c.id).order_by(member.c.id))).all() == [1]


async def test_the_users_and_robots_of_an_older_database_may_have_refresh_tokens(
    database: Database, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    folder = tmp_path / "history"
    folder.mkdir()
    await migrate(database, migrations_up_to("0011", folder))
    async with database.write() as conn:
        times = {"now": now.replace(tzinfo=None) if database.dialect == "sqlite" else now}
        for statement in (
            """INSERT INTO "user" (id, username, realname, comment, password_hash, is_administrator, disabled, version,
               create_time, update_time) VALUES (5, 'alice', '', '', 'x', false, false, 9, :now, :now)""",
            """INSERT INTO robot (id, scope_id, name, description, disabled, duration_days, secret_hash, creator_kind,
               creator_id, version, create_time, update_time)
               VALUES (7, 0, 'ci', '', false, -1, 'x', 'user', 5, 4, :now, :now)""",
        ):
            await conn.execute(text(statement), times)
        await conn.commit()

    await migrate(database, migrations)

    made: dict[str, Any] = {"client_id": "docker", "service": "s", "address": "", "now": now}
    made["expire_time"] = now + timedelta(days=1)
    async with sql_store(database).write() as unit:
        found, machine = await unit.users.get(5), await unit.robots.state(7)
        assert found is not None
        assert machine is not None
        assert (found.caller.credential_version, machine.caller.credential_version) == (1, 1)
        assert (found.etag, machine.full_name) == ("5-9", "robot$ci")
        for number, holder in enumerate((found.caller, machine.caller)):
            assert await unit.refresh_tokens.add(token_hash=f"{number}", holder=holder, **made)
        tokens = [await unit.refresh_tokens.by_hash(f"{number}") for number in range(2)]
        assert [each and each.holder for each in tokens] == [Identity("user", 5), Identity("robot", 7)]
        # They go with whom they were given to.
        await unit.users.remove(5)
        await unit.robots.remove(7)
        assert [await unit.refresh_tokens.by_hash(f"{number}") for number in range(2)] == [None, None]
        await unit.commit()


async def test_the_rows_of_an_older_database_stay_and_can_be_updated(database: Database, tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    folder = tmp_path / "history"
    folder.mkdir()
    await migrate(database, migrations_up_to("0002", folder))
    async with database.write() as conn:
        times = {"now": now.replace(tzinfo=None) if database.dialect == "sqlite" else now}
        for statement in (
            """INSERT INTO "user" (id, username, realname, comment, password_hash, is_administrator, disabled,
               create_time, update_time) VALUES (1, 'admin', '', '', 'x', true, false, :now, :now)""",
            """INSERT INTO project (id, name, owner_id, public, initial_storage_limit_bytes, version, create_time,
               update_time) VALUES (1, 'library', 1, true, -1, 3, :now, :now)""",
            "INSERT INTO member (id, project_id, user_id, role_id, create_time) VALUES (1, 1, 1, 1, :now)",
            """INSERT INTO robot (id, project_id, name, description, disabled, duration_days, secret_hash,
               creator_kind, creator_id, create_time, update_time)
               VALUES (1, 1, 'ci', '', false, -1, 'x', 'user', 1, :now, :now)""",
            """INSERT INTO request (subject, kind, request_id, created_id, create_time)
               VALUES ('user:1', 'project', 'r', 1, :now)""",
        ):
            await conn.execute(text(statement), times)
        await conn.commit()
    await migrate(database, migrations)
    async with database.read() as conn:
        for table in (user, member, robot):
            assert (await conn.scalars(select(table.c.version))).all() == [1]
        assert len((await change_log.position(conn)).epoch) == 32
        assert (await change_log.position(conn)).revision == 0
        assert "request" not in await conn.run_sync(lambda sync: inspect(sync).get_table_names())
    async with sql_store(database).read() as unit:
        project, found = await unit.projects.get(1), await unit.robots.get(1)
        assert await unit.revocations.behind(0) == ((), False)
    assert project is not None
    assert found is not None
    assert (project.etag, found.etag, found.full_name) == ("1-3", "1-1", "robot$library+ci")

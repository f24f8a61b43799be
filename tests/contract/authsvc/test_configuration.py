"""The runtime configuration: who sets what, what is refused, and when it takes effect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from authsvc.config import FixedConfiguration
from authsvc.domain.change import ChangeKind
from authsvc.domain.configuration import RuntimeConfiguration, refresh
from authsvc.domain.rows import Store
from authsvc.store.tables import change_log
from authsvc.store.unit_of_work import SqlStore
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import configuration_pb2
from roadstead.auth.v1 import configuration_service_pb2 as pb
from roadstead.auth.v1.project_service_pb2 import LookUpProjectRequest
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from svckit.change import LogPosition
from svckit.configuration.reader import ConfigurationReader
from svckit.configuration.values import Configuration
from svckit.errors import Conflict, Denied, DomainError, Invalid, Precondition, Unauthenticated
from svckit.sql.database import Database
from tests.harness.authsvc import AuthService, Caller, serving, sql_store

NAMES = {key.name for key in fields(Configuration)}


async def get(caller: Caller) -> pb.GetConfigurationsResponse:
    answer: pb.GetConfigurationsResponse = await caller.configuration.GetConfigurations(pb.GetConfigurationsRequest())
    return answer


async def put(caller: Caller, **values: object) -> pb.UpdateConfigurationsResponse:
    answer: pb.UpdateConfigurationsResponse = await caller.configuration.UpdateConfigurations(
        pb.UpdateConfigurationsRequest(**values)  # type: ignore[arg-type]
    )
    return answer


def values_of(message: configuration_pb2.Configurations) -> dict[str, object]:
    return {name: getattr(message, name).value for name in NAMES}


def test_contract_settings_and_values_have_the_same_names() -> None:
    shown = {field.name for field in configuration_pb2.Configurations.DESCRIPTOR.fields}
    accepted = {field.name for field in pb.UpdateConfigurationsRequest.DESCRIPTOR.fields}
    assert shown == NAMES
    assert accepted == NAMES | {"etag"}
    # There is nothing to fix of what nobody can change.
    assert set(FixedConfiguration.model_fields) == NAMES - {"auth_mode"}


async def test_a_new_installation_has_harbors_defaults(authsvc: AuthService) -> None:
    shown = (await get(authsvc.admin)).configurations
    assert values_of(shown) == asdict(Configuration())
    assert {name for name in NAMES if not getattr(shown, name).editable} == {"auth_mode"}
    internal = await authsvc.admin.configuration.GetInternalConfigurations(pb.GetInternalConfigurationsRequest())
    assert internal.configurations == shown


async def test_what_is_set_stays_and_the_rest_does_too(authsvc: AuthService, auth_store: SqlStore) -> None:
    await put(authsvc.admin, banner_message="Hello", read_only=False, storage_per_project_bytes=2**50)
    changed = await put(
        authsvc.admin,
        self_registration=True,
        project_creation_restriction="adminonly",
        robot_name_prefix=" bot_ ",
        robot_token_duration_days=7,
        quota_per_project_enable=False,
        token_expiration_minutes=5,
        session_timeout_minutes=9_999_999_999,
        pull_time_update_disable=True,
        pull_count_update_disable=True,
        scanner_skip_update_pull_time=True,
        auth_mode="db_auth",
    )
    expected = Configuration(
        self_registration=True,
        project_creation_restriction="adminonly",
        robot_name_prefix="bot_",
        robot_token_duration_days=7,
        storage_per_project_bytes=2**50,
        quota_per_project_enable=False,
        token_expiration_minutes=5,
        session_timeout_minutes=9_999_999_999,
        banner_message="Hello",
        pull_time_update_disable=True,
        pull_count_update_disable=True,
        scanner_skip_update_pull_time=True,
    )
    assert values_of(changed.configurations) == asdict(expected)
    assert await get(authsvc.admin) == pb.GetConfigurationsResponse(
        configurations=changed.configurations, etag=changed.etag
    )
    # Another replica, or this one after a restart, reads the same.
    other = RuntimeConfiguration()
    await refresh(auth_store, other)
    assert other.values == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth_mode": "ldap_auth"},
        {"project_creation_restriction": "nobody"},
        {"robot_name_prefix": "  "},
        {"robot_name_prefix": "a:b"},
        {"robot_name_prefix": "a+b"},
        {"robot_name_prefix": "a/b"},
        {"robot_name_prefix": "a b"},
        {"robot_name_prefix": "a\0"},
        {"robot_name_prefix": "a" * 33},
        {"robot_token_duration_days": 0},
        {"robot_token_duration_days": 10_000_000_000},
        {"storage_per_project_bytes": 0},
        {"storage_per_project_bytes": -2},
        {"storage_per_project_bytes": 2**50 + 1},
        {"token_expiration_minutes": 0},
        {"token_expiration_minutes": 1441},
        {"session_timeout_minutes": -1},
        {"session_timeout_minutes": 10_000_000_000},
        {"banner_message": "x" * 16385},
        # PostgreSQL does not take it.
        {"banner_message": "a\0b"},
    ],
)
async def test_a_wrong_value_is_named_and_nothing_is_written(authsvc: AuthService, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        await put(authsvc.admin, self_registration=True, **wrong)
    assert [violation.field for violation in refused.value.violations] == list(wrong)
    assert not (await get(authsvc.admin)).configurations.self_registration.value


async def test_only_administrators_read_and_write(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    robot = await authsvc.admin.make_robot("library", "ci", "project:read")
    machine = await authsvc.log_in(robot.name, robot.secret)
    for caller, refusal in ((alice, Denied), (machine, Denied), (authsvc.anonymous, Unauthenticated)):
        with pytest.raises(refusal):
            await get(caller)
        with pytest.raises(refusal):
            await put(caller, read_only=True)
        with pytest.raises(refusal):
            await caller.configuration.GetInternalConfigurations(pb.GetInternalConfigurationsRequest())
        with pytest.raises(DomainError):
            await caller.configuration.ReadConfigurations(pb.ReadConfigurationsRequest())


async def test_an_update_can_say_which_state_its_caller_has_read(authsvc: AuthService) -> None:
    read = await get(authsvc.admin)
    changed = await put(authsvc.admin, banner_message="first", etag=read.etag)
    assert changed.etag != read.etag
    with pytest.raises(Precondition):
        await put(authsvc.admin, banner_message="second", etag=read.etag)
    # A repeat of a finished update changes nothing, so it is no conflict.
    assert await put(authsvc.admin, banner_message="first", etag=read.etag) == changed


async def test_a_change_is_logged_with_what_differs(authsvc: AuthService, migrated_database: Database) -> None:
    async with migrated_database.read() as conn:
        begin = await change_log.position(conn)
    await put(authsvc.admin, banner_message="Hello", self_registration=False)
    await put(authsvc.admin, banner_message="Hello")
    async with migrated_database.read() as conn:
        page = await change_log.read(conn, LogPosition(epoch=begin.epoch, revision=begin.revision))
    [entry] = [committed.change for committed in page.changes]
    assert (entry.kind, entry.resource_name) == (ChangeKind.CONFIGURATION_CHANGED, "configuration")
    assert (entry.old, entry.new) == ({"banner_message": ""}, {"banner_message": "Hello"})
    assert entry.origin.actor.name == "admin"


async def test_what_the_settings_fix_cannot_be_changed(migrated_database: Database, socket_folder: Path) -> None:
    # It was set before the settings fixed it.
    async with sql_store(migrated_database).write() as unit:
        await unit.configuration.write({"banner_message": "set", "self_registration": False}, datetime.now(UTC))
        await unit.commit()
    store = sql_store(migrated_database, banner_message="fixed", project_creation_restriction="adminonly")
    async with serving(store, socket_folder) as authsvc:
        shown = (await get(authsvc.admin)).configurations
        assert (shown.banner_message.value, shown.banner_message.editable) == ("fixed", False)
        with pytest.raises(Denied, match="banner_message"):
            await put(authsvc.admin, banner_message="other", self_registration=True)
        assert not (await get(authsvc.admin)).configurations.self_registration.value
        await put(authsvc.admin, self_registration=True)
        alice = await authsvc.user("alice")
        with pytest.raises(Denied):
            await alice.make_project("team")


async def test_a_new_prefix_renames_all_robots_at_once(authsvc: AuthService) -> None:
    robot = await authsvc.admin.make_robot("library", "ci", "project:read")
    await put(authsvc.admin, robot_name_prefix="bot_")
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(robot.name, robot.secret)
    assert (await authsvc.log_in("bot_library+ci", robot.secret)).id == robot.id
    with pytest.raises(Invalid, match="bot_"):
        await authsvc.user("bot_alice")


async def test_a_prefix_that_a_user_name_begins_with_is_refused(authsvc: AuthService) -> None:
    await authsvc.user("Alice")
    with pytest.raises(Conflict):
        await put(authsvc.admin, robot_name_prefix="Al")
    await put(authsvc.admin, robot_name_prefix="al")


async def test_no_user_gets_a_name_with_a_prefix_that_another_replica_has_just_set(
    authsvc: AuthService, migrated_database: Database
) -> None:
    async with sql_store(migrated_database).write() as unit:
        await unit.configuration.write({"robot_name_prefix": "bot_"}, datetime.now(UTC))
        await unit.commit()
    with pytest.raises(Invalid, match="bot_"):
        await authsvc.user("bot_alice")


async def test_tokens_live_as_long_as_configured(authsvc: AuthService) -> None:
    await put(authsvc.admin, token_expiration_minutes=2)
    assert (await authsvc.admin.registry_token("repository:library/app:pull")).expires_in_seconds == 120


async def test_new_projects_get_the_configured_quota(authsvc: AuthService) -> None:
    await put(authsvc.admin, storage_per_project_bytes=4096)
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    async with authsvc.acting_channel("metasvc") as channel:
        answer = await ProjectServiceStub(channel).LookUpProject(LookUpProjectRequest(project=ProjectRef(name="team")))
    assert answer.project.initial_storage_limit_bytes == 4096


async def test_a_service_reads_the_values_and_keeps_them_while_authsvc_is_away(
    migrated_database: Database, socket_folder: Path
) -> None:
    async with serving(sql_store(migrated_database), socket_folder) as authsvc:
        channel = authsvc.acting_channel("metasvc")
        reader = ConfigurationReader(channel)
        assert (reader.values, reader.is_known) == (Configuration(), False)
        # metasvc is NOT_SERVING until it knows.
        with pytest.raises(DomainError, match="authsvc has not told the configuration yet"):
            await reader.require_known()
        await put(authsvc.admin, read_only=True, banner_message="Hello")
        # Services start together, so a look that comes a moment before the first answer is no failure.
        looking = asyncio.ensure_future(reader.require_known())
        await asyncio.sleep(0)
        await reader.refresh()
        await looking
    with pytest.raises(DomainError) as away:
        await reader.refresh()
    assert away.value.reason == "UNAVAILABLE"
    assert (reader.values, reader.is_known) == (Configuration(read_only=True, banner_message="Hello"), True)
    await channel.close()


@pytest.mark.parametrize("stored", [{"banner_message": 7}, {"read_only": "yes"}, {"of_a_newer_program": True}])
async def test_a_stored_value_that_means_nothing_here_does_not_count(stored: dict[str, int | str | bool]) -> None:
    assert RuntimeConfiguration().combine(stored).values == Configuration()


async def test_a_read_does_not_undo_an_update_that_ended_while_it_ran(auth_store: SqlStore) -> None:
    configuration = RuntimeConfiguration()
    newer = configuration.combine({"banner_message": "new"})

    class Rows:
        async def read(self) -> dict[str, object]:
            # The update commits after this read, and ends before it.
            configuration.state = newer
            return {}

    class Unit:
        configuration = Rows()

    class OvertakenStore:
        @asynccontextmanager
        async def read(self, *, short: bool) -> AsyncIterator[Unit]:
            assert short
            yield Unit()

    await refresh(cast("Store", OvertakenStore()), configuration)
    assert configuration.state == newer
    await refresh(auth_store, configuration)
    assert configuration.values == Configuration()

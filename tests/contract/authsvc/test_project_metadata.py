"""The settings of a project one by one, its CVE allowlist, and what cannot be set yet."""

from typing import Any

import pytest

from authsvc.store.cve_allowlist import SqlCveAllowlists
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import cve_allowlist_service_pb2, project_pb2, project_service_pb2
from roadstead.auth.v1 import project_metadata_service_pb2 as pb
from roadstead.auth.v1.configuration_service_pb2 import UpdateConfigurationsRequest
from roadstead.auth.v1.cve_allowlist_pb2 import CveAllowlist, CveAllowlistItem
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from svckit.errors import Conflict, Denied, DomainError, Invalid, Precondition, Unauthenticated
from svckit.sql.database import Database
from tests.harness.authsvc import AuthService, Caller, permission_group

TEAM = ProjectRef(name="team")
PROTECTIONS = (
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "enable_content_trust",
    "enable_content_trust_cosign",
)


async def listed(caller: Caller) -> dict[str, str]:
    answer = await caller.project_metadata.ListProjectMetadata(pb.ListProjectMetadataRequest(project=TEAM))
    return dict(answer.metadata)


async def add(caller: Caller, **metadata: str) -> None:
    await caller.project_metadata.AddProjectMetadata(pb.AddProjectMetadataRequest(project=TEAM, metadata=metadata))


async def put(caller: Caller, name: str, **metadata: str) -> None:
    await caller.project_metadata.UpdateProjectMetadata(
        pb.UpdateProjectMetadataRequest(project=TEAM, meta_name=name, metadata=metadata)
    )


async def delete(caller: Caller, name: str) -> None:
    await caller.project_metadata.DeleteProjectMetadata(pb.DeleteProjectMetadataRequest(project=TEAM, meta_name=name))


async def project(caller: Caller) -> project_pb2.Project:
    answer = await caller.projects.GetProject(project_service_pb2.GetProjectRequest(project=TEAM))
    found: project_pb2.Project = answer.project
    return found


@pytest.fixture
async def alice(authsvc: AuthService) -> Caller:
    """She has the project team."""
    alice = await authsvc.user("alice")
    await alice.make_project("team", metadata={"severity": "low"})
    return alice


async def test_one_setting_is_added_read_changed_and_removed(alice: Caller) -> None:
    assert await listed(alice) == {"public": "false", "severity": "low"}
    await add(alice, prevent_vul="F")
    await put(alice, "severity", severity="HIGH", prevent_vul="true")
    await put(alice, "public", public="1")
    assert await listed(alice) == {"public": "true", "severity": "high", "prevent_vul": "false"}
    one = await alice.project_metadata.GetProjectMetadata(
        pb.GetProjectMetadataRequest(project=TEAM, meta_name="severity")
    )
    assert dict(one.metadata) == {"severity": "high"}
    for name in ("severity", "public", "severity"):
        await delete(alice, name)
    assert await listed(alice) == {"public": "false", "prevent_vul": "false"}
    none = await alice.project_metadata.GetProjectMetadata(
        pb.GetProjectMetadataRequest(project=TEAM, meta_name="severity")
    )
    assert not none.metadata


async def test_one_key_at_a_time_and_only_harbors(alice: Caller) -> None:
    for metadata, text in (
        ({}, "only allow one key/value pair"),
        ({"severity": "low", "public": "true"}, "only allow one key/value pair"),
        ({"k": "v"}, "invalid key: k"),
        ({"retention_id": "7"}, "invalid key: retention_id"),
        ({"auto_scan": "yes"}, "invalid value: yes"),
        ({"severity": "awful"}, "invalid value: awful"),
    ):
        with pytest.raises(Invalid, match=text):
            await add(alice, **metadata)
    with pytest.raises(Invalid, match="invalid value: "):
        await put(alice, "severity", public="true")
    with pytest.raises(Invalid, match="invalid key: k"):
        await put(alice, "k", k="v")
    for taken in ({"severity": "high"}, {"public": "true"}):
        with pytest.raises(Conflict):
            await add(alice, **taken)
    assert await listed(alice) == {"public": "false", "severity": "low"}


@pytest.mark.parametrize("name", PROTECTIONS)
async def test_a_protection_that_nothing_enforces_cannot_be_switched_on(alice: Caller, name: str) -> None:
    with pytest.raises(Precondition, match=name) as refused:
        await alice.projects.UpdateProject(
            project_service_pb2.UpdateProjectRequest(project=TEAM, metadata={name: "true"})
        )
    assert "there is no scanner" in refused.value.message or "nothing verifies" in refused.value.message
    with pytest.raises(Precondition, match=name):
        await alice.make_project("other", metadata={name: "true"})
    if name != "auto_sbom_generation":
        with pytest.raises(Precondition, match=name):
            await put(alice, name, **{name: "true"})
    await alice.projects.UpdateProject(project_service_pb2.UpdateProjectRequest(project=TEAM, metadata={name: "false"}))
    assert (await listed(alice))[name] == "false"


async def test_a_retention_policy_and_a_registry_that_do_not_exist_are_refused(
    alice: Caller, authsvc: AuthService
) -> None:
    with pytest.raises(Invalid, match="retention_id"):
        await alice.make_project("other", metadata={"retention_id": "7"})
    with pytest.raises(Invalid, match="retention_id"):
        await alice.projects.UpdateProject(
            project_service_pb2.UpdateProjectRequest(project=TEAM, metadata={"retention_id": "7"})
        )
    with pytest.raises(Denied, match="Only system admin can create proxy cache project"):
        await alice.make_project("other", registry_id=7)
    with pytest.raises(Invalid, match="failed to get the registry 7"):
        await authsvc.admin.make_project("other", registry_id=7)
    with pytest.raises(Invalid, match="0 is invalid value of registry_id"):
        await authsvc.admin.make_project("other", registry_id=0)


async def test_a_limit_at_creation_is_the_administrators(alice: Caller, authsvc: AuthService) -> None:
    await authsvc.admin.configuration.UpdateConfigurations(UpdateConfigurationsRequest(storage_per_project_bytes=4096))

    async def limit_of(name: str) -> int:
        answer = await authsvc.admin.projects.GetProject(
            project_service_pb2.GetProjectRequest(project=ProjectRef(name=name))
        )
        return int(answer.project.initial_storage_limit_bytes)

    await alice.make_project("zero", storage_limit_bytes=0)
    await alice.make_project("unlimited", storage_limit_bytes=-1)
    await authsvc.admin.make_project("big", storage_limit_bytes=2**50)
    await authsvc.admin.make_project("free", storage_limit_bytes=-1)
    assert [await limit_of(name) for name in ("zero", "unlimited", "big", "free")] == [4096, 4096, 2**50, -1]
    with pytest.raises(Denied):
        await alice.make_project("more", storage_limit_bytes=8192)
    # A robot that may create projects counts as an administrator there, as in Harbor.
    made = await authsvc.admin.make_system_robot("maker", permission_group("/", "project:create"))
    machine = await authsvc.log_in(made.name, made.secret)
    await machine.make_project("by-robot", storage_limit_bytes=8192)
    assert await limit_of("by-robot") == 8192
    for wrong in (2**50 + 1, -2):
        with pytest.raises(Invalid):
            await authsvc.admin.make_project("more", storage_limit_bytes=wrong)
    # Without quotas there is no limit, whatever is asked for.
    await authsvc.admin.configuration.UpdateConfigurations(UpdateConfigurationsRequest(quota_per_project_enable=False))
    await authsvc.admin.make_project("more", storage_limit_bytes=8192)
    assert await limit_of("more") == -1


def allowlist(*cve_ids: str, **fields: Any) -> CveAllowlist:
    return CveAllowlist(items=[CveAllowlistItem(cve_id=cve_id) for cve_id in cve_ids], **fields)


async def test_a_project_keeps_its_allowlist_until_it_is_set_again(alice: Caller, authsvc: AuthService) -> None:
    first = (await project(alice)).cve_allowlist
    assert (first.project_id, list(first.items)) == ((await project(alice)).id, [])
    assert not first.HasField("create_time")
    update = project_service_pb2.UpdateProjectRequest(
        project=TEAM, cve_allowlist=allowlist("CVE-2", "CVE-1", expire_time_unix_seconds=1_900_000_000)
    )
    await alice.projects.UpdateProject(update)
    kept = (await project(alice)).cve_allowlist
    assert [item.cve_id for item in kept.items] == ["CVE-2", "CVE-1"]
    assert kept.expire_time_unix_seconds == 1_900_000_000
    assert kept.HasField("create_time")
    etag = (await project(alice)).etag
    await alice.projects.UpdateProject(update)
    assert (await project(alice)).etag == etag
    await put(alice, "severity", severity="high")
    assert (await project(alice)).cve_allowlist == kept
    [shown] = (await alice.projects.ListProjects(project_service_pb2.ListProjectsRequest(name="team"))).projects
    assert shown.cve_allowlist == kept
    await alice.make_project("other", cve_allowlist=allowlist("CVE-3"))
    await alice.projects.UpdateProject(
        project_service_pb2.UpdateProjectRequest(project=TEAM, cve_allowlist=CveAllowlist())
    )
    emptied = (await project(alice)).cve_allowlist
    assert not emptied.items
    assert not emptied.HasField("expire_time_unix_seconds")
    assert emptied.create_time == kept.create_time


async def test_a_wrong_allowlist_is_refused(alice: Caller, authsvc: AuthService) -> None:
    for wrong in (
        allowlist("CVE-1", "CVE-1"),
        allowlist(""),
        allowlist("CVE 1"),
        allowlist("x" * 65),
        allowlist("CVE-1", project_id=1),
        allowlist("CVE-1", expire_time_unix_seconds=-1),
        allowlist(*(f"CVE-{number}" for number in range(1001))),
    ):
        with pytest.raises(Invalid):
            await alice.projects.UpdateProject(
                project_service_pb2.UpdateProjectRequest(project=TEAM, cve_allowlist=wrong)
            )
        with pytest.raises(Invalid):
            await authsvc.admin.allowlists.UpdateSystemCveAllowlist(
                cve_allowlist_service_pb2.UpdateSystemCveAllowlistRequest(allowlist=wrong)
            )
    assert not (await project(alice)).cve_allowlist.items


async def test_a_deleted_project_takes_its_allowlist_along(
    alice: Caller, authsvc: AuthService, migrated_database: Database
) -> None:
    project_id = await alice.make_project("gone", cve_allowlist=allowlist("CVE-1"))
    async with authsvc.acting_channel("metasvc") as channel:
        await ProjectServiceStub(channel).DeleteProject(project_service_pb2.DeleteProjectRequest(project_id=project_id))
    async with migrated_database.read() as conn:
        assert not await SqlCveAllowlists(conn).of_projects([project_id])


async def test_administrators_set_the_list_of_the_system_and_users_read_it(alice: Caller, authsvc: AuthService) -> None:
    update = cve_allowlist_service_pb2.UpdateSystemCveAllowlistRequest(allowlist=allowlist("CVE-1"))
    with pytest.raises(Denied):
        await alice.allowlists.UpdateSystemCveAllowlist(update)
    await authsvc.admin.allowlists.UpdateSystemCveAllowlist(update)
    read = cve_allowlist_service_pb2.GetSystemCveAllowlistRequest()
    shown = (await alice.allowlists.GetSystemCveAllowlist(read)).allowlist
    assert (shown.id, shown.project_id, [item.cve_id for item in shown.items]) == (0, 0, ["CVE-1"])
    again = (await authsvc.admin.allowlists.UpdateSystemCveAllowlist(update)).allowlist
    assert again == shown
    with pytest.raises(Unauthenticated):
        await authsvc.anonymous.allowlists.GetSystemCveAllowlist(read)


async def test_who_may_not_see_the_project_may_not_see_its_settings(alice: Caller, authsvc: AuthService) -> None:
    bob = await authsvc.user("bob")
    for call in (listed(bob), add(bob, prevent_vul="false"), put(bob, "public", public="true"), delete(bob, "public")):
        with pytest.raises(DomainError) as refused:
            await call
        assert refused.value.reason == "PROJECT_UNKNOWN"
    await alice.add_member("team", bob, "maintainer")
    assert await listed(bob) == {"public": "false", "severity": "low"}
    with pytest.raises(Denied):
        await put(bob, "public", public="true")

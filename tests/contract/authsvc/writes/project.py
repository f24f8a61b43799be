"""The RPCs that write projects, their members and settings, and what holds everywhere, and what they must record.

Written by hand.
"""

from __future__ import annotations

from authsvc.domain.change import ChangeKind
from roadstead.auth.v1 import (
    configuration_service_pb2,
    cve_allowlist_service_pb2,
    member_service_pb2,
    project_metadata_service_pb2,
    project_service_pb2,
)
from roadstead.auth.v1.cve_allowlist_pb2 import CveAllowlist, CveAllowlistItem
from roadstead.auth.v1.member_pb2 import MemberUser
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from tests.contract.authsvc.writes.write import TEAM, World, Write


async def delete_project(world: World) -> None:
    """As metasvc does it on behalf of alice."""
    async with world.authsvc.service_channel("metasvc") as channel:
        await ProjectServiceStub(channel).DeleteProject(
            project_service_pb2.DeleteProjectRequest(project_id=world.project_id), metadata=world.alice.metadata
        )


PROJECT_WRITES = [
    Write(
        "ProjectService/CreateProject",
        lambda world: world.bob.projects.CreateProject(
            project_service_pb2.CreateProjectRequest(
                name="new", public=True, metadata={"reuse_sys_cve_allowlist": "true"}
            )
        ),
        ChangeKind.PROJECT_CREATED,
        "new",
        new={"initial_storage_limit_bytes": -1, "metadata": {"public": "true", "reuse_sys_cve_allowlist": "true"}},
        by="bob",
    ),
    Write(
        "ProjectService/UpdateProject",
        lambda world: world.alice.projects.UpdateProject(
            project_service_pb2.UpdateProjectRequest(
                project=TEAM, public=True, metadata={"severity": "high", "reuse_sys_cve_allowlist": "true"}
            )
        ),
        ChangeKind.PROJECT_CHANGED,
        "team",
        old={"metadata": {"public": "false", "severity": "low"}},
        new={"metadata": {"public": "true", "severity": "high", "reuse_sys_cve_allowlist": "true"}},
        id_of=lambda world: world.project_id,
    ),
    Write(
        "ProjectService/DeleteProject",
        delete_project,
        ChangeKind.PROJECT_DELETED,
        "team",
        old={"initial_storage_limit_bytes": -1, "metadata": {"public": "false", "severity": "low"}},
        id_of=lambda world: world.project_id,
    ),
    Write(
        "MemberService/CreateMember",
        lambda world: world.alice.members.CreateMember(
            member_service_pb2.CreateMemberRequest(project=TEAM, role_id=2, member_user=MemberUser(username="admin"))
        ),
        ChangeKind.MEMBER_CREATED,
        "admin",
        new={"user_id": 1, "role_id": 2, "role_name": "developer"},
    ),
    Write(
        "MemberService/UpdateMember",
        lambda world: world.alice.members.UpdateMember(
            member_service_pb2.UpdateMemberRequest(project=TEAM, member_id=world.member_id, role_id=4)
        ),
        ChangeKind.MEMBER_ROLE_CHANGED,
        "bob",
        old={"role_id": 3, "role_name": "guest"},
        new={"role_id": 4, "role_name": "maintainer"},
        id_of=lambda world: world.member_id,
    ),
    Write(
        "MemberService/DeleteMember",
        lambda world: world.alice.members.DeleteMember(
            member_service_pb2.DeleteMemberRequest(project=TEAM, member_id=world.member_id)
        ),
        ChangeKind.MEMBER_DELETED,
        "bob",
        old={"role_id": 3, "role_name": "guest"},
        id_of=lambda world: world.member_id,
    ),
    Write(
        "ProjectMetadataService/AddProjectMetadata",
        lambda world: world.alice.project_metadata.AddProjectMetadata(
            project_metadata_service_pb2.AddProjectMetadataRequest(project=TEAM, metadata={"prevent_vul": "false"})
        ),
        ChangeKind.PROJECT_CHANGED,
        "team",
        old={"metadata": None},
        new={"metadata": {"prevent_vul": "false"}},
        id_of=lambda world: world.project_id,
    ),
    Write(
        "ProjectMetadataService/UpdateProjectMetadata",
        lambda world: world.alice.project_metadata.UpdateProjectMetadata(
            project_metadata_service_pb2.UpdateProjectMetadataRequest(
                project=TEAM, meta_name="severity", metadata={"severity": "HIGH"}
            )
        ),
        ChangeKind.PROJECT_CHANGED,
        "team",
        old={"metadata": {"severity": "low"}},
        new={"metadata": {"severity": "high"}},
        id_of=lambda world: world.project_id,
    ),
    Write(
        "ProjectMetadataService/DeleteProjectMetadata",
        lambda world: world.alice.project_metadata.DeleteProjectMetadata(
            project_metadata_service_pb2.DeleteProjectMetadataRequest(project=TEAM, meta_name="severity")
        ),
        ChangeKind.PROJECT_CHANGED,
        "team",
        old={"metadata": {"severity": "low"}},
        new={"metadata": None},
        id_of=lambda world: world.project_id,
    ),
    Write(
        "CveAllowlistService/UpdateSystemCveAllowlist",
        lambda world: world.authsvc.admin.allowlists.UpdateSystemCveAllowlist(
            cve_allowlist_service_pb2.UpdateSystemCveAllowlistRequest(
                allowlist=CveAllowlist(items=[CveAllowlistItem(cve_id="CVE-2019-10164")])
            )
        ),
        ChangeKind.SYSTEM_CVE_ALLOWLIST_CHANGED,
        "CVEAllowlist",
        old={"expires_at": None, "items": []},
        new={"expires_at": None, "items": ["CVE-2019-10164"]},
        by="admin",
        in_project=False,
        id_of=lambda _world: 1,
    ),
    Write(
        "ConfigurationService/UpdateConfigurations",
        lambda world: world.authsvc.admin.configuration.UpdateConfigurations(
            configuration_service_pb2.UpdateConfigurationsRequest(robot_token_duration_days=7, self_registration=False)
        ),
        ChangeKind.CONFIGURATION_CHANGED,
        "configuration",
        old={"robot_token_duration_days": 30},
        new={"robot_token_duration_days": 7},
        by="admin",
        in_project=False,
        id_of=lambda _world: 1,
    ),
]

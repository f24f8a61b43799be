"""Every RPC of authsvc that writes, and the change that it must record: written by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from authsvc.domain.change import Change, ChangeKind
from authsvc.store.tables import change_log
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import (
    configuration_service_pb2,
    cve_allowlist_service_pb2,
    member_service_pb2,
    project_metadata_service_pb2,
    project_service_pb2,
    robot_pb2,
    robot_service_pb2,
    user_group_service_pb2,
    user_service_pb2,
)
from roadstead.auth.v1.cve_allowlist_pb2 import CveAllowlist, CveAllowlistItem
from roadstead.auth.v1.member_pb2 import MemberUser
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from svckit.change import LogPosition
from svckit.sql.database import Database
from tests.harness.authsvc import PASSWORD, AuthService, Caller, permission_group

TEAM = ProjectRef(name="team")
SECRET = "Chosen-secret-1"
NEW_PASSWORD = "Battery-staple-2"


@dataclass
class World:
    """Who and what there is before an RPC is called."""

    authsvc: AuthService
    database: Database
    position: LogPosition = field(init=False)
    alice: Caller = field(init=False)
    bob: Caller = field(init=False)
    project_id: int = 0
    member_id: int = 0
    group_id: int = 0
    robot_id: int = 0

    async def settle(self) -> None:
        """From here on, changes count."""
        async with self.database.read() as conn:
            self.position = await change_log.position(conn)

    async def changes(self) -> list[Change]:
        """What has been changed since."""
        async with self.database.read() as conn:
            page = await change_log.read(conn, self.position)
        return [committed.change for committed in page.changes]


async def delete_project(world: World) -> None:
    """As metasvc does it on behalf of alice."""
    async with world.authsvc.service_channel("metasvc") as channel:
        await ProjectServiceStub(channel).DeleteProject(
            project_service_pb2.DeleteProjectRequest(project_id=world.project_id), metadata=world.alice.metadata
        )


@dataclass
class Write:
    """An RPC that writes, and the change that it must record.

    Attributes:
        rpc: its name.
        call: calls it.
        kind: of the change.
        name: of what was changed.
        by: who calls, of `World`: "alice", "admin".
        in_project: whether it belongs to the project.
        old: before.
        new: after.
        id_of: the id of what was changed; None where the call makes it.
    """

    rpc: str
    call: Callable[[World], Awaitable[Any]]
    kind: ChangeKind
    name: str
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    by: str = "alice"
    in_project: bool = True
    id_of: Callable[[World], int] | None = None


def users(call: Callable[[World, Any], Awaitable[Any]]) -> Callable[[World], Awaitable[Any]]:
    return lambda world: call(world, world.authsvc.admin.users)


def groups(call: Callable[[World, Any], Awaitable[Any]]) -> Callable[[World], Awaitable[Any]]:
    return lambda world: call(world, world.authsvc.admin.groups)


PROFILE = {"email": "bob@example.org", "realname": "bob", "comment": "", "administrator": False, "disabled": False}
WRITES = [
    Write(
        "UserService/CreateUser",
        users(
            lambda _world, stub: stub.CreateUser(
                user_service_pb2.CreateUserRequest(
                    username="dora", password=PASSWORD, email="dora@example.org", realname="Dora", comment="new"
                )
            )
        ),
        ChangeKind.USER_CREATED,
        "dora",
        new={**PROFILE, "email": "dora@example.org", "realname": "Dora", "comment": "new"},
        by="admin",
        in_project=False,
    ),
    Write(
        "UserService/UpdateUser",
        lambda world: world.bob.users.UpdateUser(
            user_service_pb2.UpdateUserRequest(user_id=world.bob.id, email="b@example.org", realname="bob")
        ),
        ChangeKind.USER_PROFILE_CHANGED,
        "bob",
        old={"email": "bob@example.org"},
        new={"email": "b@example.org"},
        by="bob",
        in_project=False,
        id_of=lambda world: world.bob.id,
    ),
    Write(
        "UserService/SetUserDisabled",
        users(
            lambda world, stub: stub.SetUserDisabled(
                user_service_pb2.SetUserDisabledRequest(user_id=world.bob.id, disabled=True)
            )
        ),
        ChangeKind.USER_DISABLED,
        "bob",
        old={"disabled": False},
        new={"disabled": True},
        by="admin",
        in_project=False,
        id_of=lambda world: world.bob.id,
    ),
    Write(
        "UserService/SetUserAdministrator",
        users(
            lambda world, stub: stub.SetUserAdministrator(
                user_service_pb2.SetUserAdministratorRequest(user_id=world.bob.id, administrator=True)
            )
        ),
        ChangeKind.USER_ADMINISTRATOR_SET,
        "bob",
        old={"administrator": False},
        new={"administrator": True},
        by="admin",
        in_project=False,
        id_of=lambda world: world.bob.id,
    ),
    Write(
        "UserService/ChangeUserPassword",
        lambda world: world.bob.users.ChangeUserPassword(
            user_service_pb2.ChangeUserPasswordRequest(
                user_id=world.bob.id, old_password=PASSWORD, new_password=NEW_PASSWORD
            )
        ),
        ChangeKind.USER_PASSWORD_CHANGED,
        "bob",
        by="bob",
        in_project=False,
        id_of=lambda world: world.bob.id,
    ),
    Write(
        "UserService/DeleteUser",
        users(lambda world, stub: stub.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=world.bob.id))),
        ChangeKind.USER_DELETED,
        "bob",
        old=PROFILE,
        by="admin",
        in_project=False,
        id_of=lambda world: world.bob.id,
    ),
    Write(
        "UserGroupService/CreateUserGroup",
        groups(
            lambda _world, stub: stub.CreateUserGroup(
                user_group_service_pb2.CreateUserGroupRequest(group_name="ops", group_type=2)
            )
        ),
        ChangeKind.USER_GROUP_CREATED,
        "ops",
        new={"name": "ops", "type": 2, "ldap_group_dn": ""},
        by="admin",
        in_project=False,
    ),
    Write(
        "UserGroupService/UpdateUserGroup",
        groups(
            lambda world, stub: stub.UpdateUserGroup(
                user_group_service_pb2.UpdateUserGroupRequest(group_id=world.group_id, group_name="team")
            )
        ),
        ChangeKind.USER_GROUP_CHANGED,
        "team",
        old={"name": "crew"},
        new={"name": "team"},
        by="admin",
        in_project=False,
        id_of=lambda world: world.group_id,
    ),
    Write(
        "UserGroupService/AddUserGroupMember",
        groups(
            lambda world, stub: stub.AddUserGroupMember(
                user_group_service_pb2.AddUserGroupMemberRequest(group_id=world.group_id, username="alice")
            )
        ),
        ChangeKind.USER_GROUP_MEMBER_ADDED,
        "crew",
        new={"user_id": 2, "username": "alice"},
        by="admin",
        in_project=False,
        id_of=lambda world: world.group_id,
    ),
    Write(
        "UserGroupService/RemoveUserGroupMember",
        groups(
            lambda world, stub: stub.RemoveUserGroupMember(
                user_group_service_pb2.RemoveUserGroupMemberRequest(group_id=world.group_id, user_id=world.bob.id)
            )
        ),
        ChangeKind.USER_GROUP_MEMBER_REMOVED,
        "crew",
        old={"user_id": 3, "username": "bob"},
        by="admin",
        in_project=False,
        id_of=lambda world: world.group_id,
    ),
    Write(
        "UserGroupService/DeleteUserGroup",
        groups(
            lambda world, stub: stub.DeleteUserGroup(
                user_group_service_pb2.DeleteUserGroupRequest(group_id=world.group_id)
            )
        ),
        ChangeKind.USER_GROUP_DELETED,
        "crew",
        old={"name": "crew", "type": 3, "ldap_group_dn": ""},
        by="admin",
        in_project=False,
        id_of=lambda world: world.group_id,
    ),
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
    Write(
        "RobotService/CreateRobot",
        lambda world: world.alice.make_robot("team", "cd", "tag:list", "repository:pull", secret=SECRET),
        ChangeKind.ROBOT_CREATED,
        "robot$team+cd",
        new={
            "description": "",
            "disabled": False,
            "duration_days": -1,
            "permissions": {"team": ["repository:pull", "tag:list"]},
        },
    ),
    Write(
        "RobotService/CreateProjectRobot",
        lambda world: world.alice.robots.CreateProjectRobot(
            robot_service_pb2.CreateProjectRobotRequest(
                project=TEAM,
                name="old",
                expire_time_unix_seconds=-1,
                access=[
                    robot_pb2.RobotAccess(resource=f"/project/{world.project_id}/tag", action="list", effect="allow")
                ],
            )
        ),
        ChangeKind.ROBOT_CREATED,
        "robot$team+old",
        new={"description": "", "disabled": False, "duration_days": -1, "permissions": {"team": ["tag:list"]}},
    ),
    Write(
        "RobotService/UpdateProjectRobot",
        lambda world: world.alice.robots.UpdateProjectRobot(
            robot_service_pb2.UpdateProjectRobotRequest(project=TEAM, robot_id=world.robot_id, disabled=True)
        ),
        ChangeKind.ROBOT_CHANGED,
        "robot$team+ci",
        old={"disabled": False},
        new={"disabled": True},
        id_of=lambda world: world.robot_id,
    ),
    Write(
        "RobotService/UpdateRobot",
        lambda world: world.alice.robots.UpdateRobot(
            robot_service_pb2.UpdateRobotRequest(
                robot_id=world.robot_id,
                disabled=True,
                permissions=robot_pb2.RobotPermissions(permissions=[permission_group("team", "repository:push")]),
            )
        ),
        ChangeKind.ROBOT_CHANGED,
        "robot$team+ci",
        old={"disabled": False, "permissions": {"team": ["repository:pull"]}},
        new={"disabled": True, "permissions": {"team": ["repository:push"]}},
        id_of=lambda world: world.robot_id,
    ),
    Write(
        "RobotService/RefreshRobotSecret",
        lambda world: world.alice.robots.RefreshRobotSecret(
            robot_service_pb2.RefreshRobotSecretRequest(robot_id=world.robot_id, secret=SECRET)
        ),
        ChangeKind.ROBOT_SECRET_CHANGED,
        "robot$team+ci",
        id_of=lambda world: world.robot_id,
    ),
    Write(
        "RobotService/DeleteRobot",
        lambda world: world.alice.robots.DeleteRobot(robot_service_pb2.DeleteRobotRequest(robot_id=world.robot_id)),
        ChangeKind.ROBOT_DELETED,
        "robot$team+ci",
        old={"description": "", "disabled": False, "duration_days": 7, "permissions": {"team": ["repository:pull"]}},
        id_of=lambda world: world.robot_id,
    ),
]

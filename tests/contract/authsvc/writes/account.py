"""The RPCs that write users, groups and robots, and what they must record: written by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from authsvc.domain.change import ChangeKind
from roadstead.auth.v1 import robot_pb2, robot_service_pb2, user_group_service_pb2, user_service_pb2
from tests.contract.authsvc.writes.write import SECRET, TEAM, World, Write
from tests.harness.authsvc import PASSWORD, permission_group

NEW_PASSWORD = "Battery-staple-2"
PROFILE = {"email": "bob@example.org", "realname": "bob", "comment": "", "administrator": False, "disabled": False}


def users(call: Callable[[World, Any], Awaitable[Any]]) -> Callable[[World], Awaitable[Any]]:
    return lambda world: call(world, world.authsvc.admin.users)


def groups(call: Callable[[World, Any], Awaitable[Any]]) -> Callable[[World], Awaitable[Any]]:
    return lambda world: call(world, world.authsvc.admin.groups)


ACCOUNT_WRITES = [
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

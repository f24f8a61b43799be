"""Texts with U+0000, which PostgreSQL does not take: they are refused before the database sees them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2 as access_pb
from roadstead.auth.v1 import member_service_pb2 as member_pb
from roadstead.auth.v1 import project_service_pb2 as project_pb
from roadstead.auth.v1 import user_group_service_pb2 as group_pb
from roadstead.auth.v1 import user_service_pb2 as user_pb
from roadstead.auth.v1.member_pb2 import MemberGroup, MemberUser
from svckit.errors import Invalid, NotFound
from tests.harness.authsvc import AuthService, Caller, permission_group

NUL = "a\0b"
LIBRARY = ProjectRef(name="library")

CALLS: dict[str, Callable[[Caller], Awaitable[Any]]] = {
    "users by name": lambda admin: admin.users.ListUsers(user_pb.ListUsersRequest(username=NUL)),
    "users by mail address": lambda admin: admin.users.ListUsers(user_pb.ListUsersRequest(email=NUL)),
    "users by q": lambda admin: admin.users.ListUsers(user_pb.ListUsersRequest(q=f"username=~{NUL}")),
    "search of users": lambda admin: admin.users.SearchUsers(user_pb.SearchUsersRequest(username=NUL)),
    "scope": lambda admin: admin.users.ListCurrentUserPermissions(
        user_pb.ListCurrentUserPermissionsRequest(scope=f"/project/{NUL}")
    ),
    "groups by name": lambda admin: admin.groups.ListUserGroups(group_pb.ListUserGroupsRequest(group_name=NUL)),
    "groups by distinguished name": lambda admin: admin.groups.ListUserGroups(
        group_pb.ListUserGroupsRequest(ldap_group_dn=NUL)
    ),
    "search of groups": lambda admin: admin.groups.SearchUserGroups(group_pb.SearchUserGroupsRequest(group_name=NUL)),
    "user of a group": lambda admin: admin.groups.AddUserGroupMember(
        group_pb.AddUserGroupMemberRequest(group_id=1, username=NUL)
    ),
    "member by user": lambda admin: admin.members.CreateMember(
        member_pb.CreateMemberRequest(project=LIBRARY, role_id=3, member_user=MemberUser(username=NUL))
    ),
    "member by group": lambda admin: admin.members.CreateMember(
        member_pb.CreateMemberRequest(
            project=LIBRARY, role_id=3, member_group=MemberGroup(group_name=NUL, group_type=3)
        )
    ),
    "member by distinguished name": lambda admin: admin.members.CreateMember(
        member_pb.CreateMemberRequest(project=LIBRARY, role_id=3, member_group=MemberGroup(ldap_group_dn=NUL))
    ),
    "members by name": lambda admin: admin.members.ListMembers(
        member_pb.ListMembersRequest(project=LIBRARY, entity_name=NUL)
    ),
    "project": lambda admin: admin.projects.GetProject(project_pb.GetProjectRequest(project=ProjectRef(name=NUL))),
    "project of members": lambda admin: admin.members.ListMembers(
        member_pb.ListMembersRequest(project=ProjectRef(name=NUL))
    ),
    "name of a project": lambda admin: admin.projects.CheckProjectName(
        project_pb.CheckProjectNameRequest(project_name=NUL)
    ),
    "projects by name": lambda admin: admin.projects.ListProjects(project_pb.ListProjectsRequest(name=NUL)),
    "projects by owner": lambda admin: admin.projects.ListProjects(project_pb.ListProjectsRequest(owner=NUL)),
    "resource": lambda admin: admin.access.CheckAccess(
        access_pb.CheckAccessRequest(project=LIBRARY, resource=NUL, action="read")
    ),
    "action": lambda admin: admin.access.CheckSystemAccess(
        access_pb.CheckSystemAccessRequest(resource="user", action=NUL)
    ),
    "projects by permission": lambda admin: admin.access.ListAccessibleProjects(
        access_pb.ListAccessibleProjectsRequest(resource=NUL, action="read")
    ),
    "namespace of a robot": lambda admin: admin.make_system_robot("ci", permission_group(NUL, "repository:pull")),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_text_with_nul_is_refused_as_wrong_or_unknown(authsvc: AuthService, name: str) -> None:
    await authsvc.admin.make_group("crew")
    with pytest.raises((Invalid, NotFound)):
        await CALLS[name](authsvc.admin)

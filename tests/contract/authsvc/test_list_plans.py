"""Which lists are read in the order of an index, so that a page costs the same wherever it is."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import (
    project_service_pb2,
    refresh_token_service_pb2,
    robot_service_pb2,
    user_group_service_pb2,
    user_service_pb2,
)
from svckit.sql.database import Database
from tests.contract.metasvc.statements import sent_statements
from tests.harness.authsvc import ADMIN_PASSWORD, PASSWORD, AuthService, permission_group


def users(sort: str) -> Callable[[AuthService, str], Awaitable[Any]]:
    return lambda authsvc, token: authsvc.admin.users.ListUsers(
        user_service_pb2.ListUsersRequest(sort=sort, page_size=1, page_token=token)
    )


def groups(sort: str) -> Callable[[AuthService, str], Awaitable[Any]]:
    return lambda authsvc, token: authsvc.admin.groups.ListUserGroups(
        user_group_service_pb2.ListUserGroupsRequest(sort=sort, page_size=1, page_token=token)
    )


def projects(sort: str) -> Callable[[AuthService, str], Awaitable[Any]]:
    return lambda authsvc, token: authsvc.admin.projects.ListProjects(
        project_service_pb2.ListProjectsRequest(sort=sort, page_size=1, page_token=token)
    )


def robots(project: ProjectRef | None, sort: str) -> Callable[[AuthService, str], Awaitable[Any]]:
    return lambda authsvc, token: authsvc.admin.robots.ListRobots(
        robot_service_pb2.ListRobotsRequest(project=project, sort=sort, page_size=1, page_token=token)
    )


def users_of_a_group(authsvc: AuthService, token: str) -> Awaitable[Any]:
    request = user_group_service_pb2.ListUserGroupMembersRequest(group_id=1, page_size=1, page_token=token)
    answer: Awaitable[Any] = authsvc.admin.groups.ListUserGroupMembers(request)
    return answer


def refresh_tokens_of_a_user(authsvc: AuthService, token: str) -> Awaitable[Any]:
    request = refresh_token_service_pb2.ListUserRefreshTokensRequest(user_id=1, page_size=1, page_token=token)
    answer: Awaitable[Any] = authsvc.admin.refresh_tokens.ListUserRefreshTokens(request)
    return answer


def refresh_tokens_of_a_robot(authsvc: AuthService, token: str) -> Awaitable[Any]:
    request = refresh_token_service_pb2.ListRobotRefreshTokensRequest(robot_id=1, page_size=1, page_token=token)
    answer: Awaitable[Any] = authsvc.admin.refresh_tokens.ListRobotRefreshTokens(request)
    return answer


LISTS: dict[str, tuple[str, Callable[[AuthService, str], Awaitable[Any]]]] = {
    **{
        f"users by {sort}": ("user", users(sort))
        for sort in ("username", "-username", "email", "realname", "creation_time", "-update_time", "user_id")
    },
    **{f"groups by {sort}": ("user_group", groups(sort)) for sort in ("group_name", "-creation_time", "id")},
    **{
        f"projects by {sort}": ("project", projects(sort))
        for sort in ("name", "-creation_time", "update_time", "project_id")
    },
    **{
        f"robots of {level} by {sort}": ("robot", robots(project, sort))
        for level, project in (("a project", ProjectRef(id=1)), ("the system level", None))
        for sort in ("name", "-name", "creation_time", "-update_time", "id")
    },
    "users of a group": ("user_group_member", users_of_a_group),
    "refresh tokens of a user": ("refresh_token", refresh_tokens_of_a_user),
    "refresh tokens of a robot": ("refresh_token", refresh_tokens_of_a_robot),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_is_read_in_the_order_of_an_index(
    authsvc: AuthService, migrated_database: Database, name: str
) -> None:
    table, call = LISTS[name]
    made = [await authsvc.user(each) for each in ("alice", "bob", "carol")]
    await authsvc.admin.make_project("team")
    for group in ("crew", "ops", "team"):
        await authsvc.admin.make_group(group, *made)
        await authsvc.admin.make_robot("library", group, "repository:pull", secret=PASSWORD)
        await authsvc.admin.make_system_robot(group, permission_group("*", "repository:pull"))
    for _ in range(3):
        await authsvc.refresh_token("admin", ADMIN_PASSWORD)
        await authsvc.refresh_token("robot$library+crew")
    first = await call(authsvc, "")
    with sent_statements("SELECT") as sent:
        await call(authsvc, first.next_page_token)
    quoted = (f'FROM "{table}"', f"FROM {table}")
    [page] = [each for each in sent if any(each_from in each for each_from in quoted) and "LIMIT" in each]
    async with migrated_database.read() as conn:
        if migrated_database.dialect == "sqlite":
            rows = (await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {page}", (1,) * page.count("?"))).mappings().all()
            steps = [str(row["detail"]) for row in rows]
            assert not [step for step in steps if "TEMP B-TREE" in step], (page, steps)
            assert any(f"{table} USING" in step for step in steps), (page, steps)
            return
        # With so few rows PostgreSQL would rather sort. So it may not, unless no index has the order.
        for switch in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
            await conn.exec_driver_sql(f"SET {switch} = off")
        parts = re.split(r"%\(\w+\)s", page)
        generic = parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], 1))
        plan = [str(row[0]) for row in await conn.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {generic}")]
        # An incremental sort compares the rows that are equal by the index, and names are unique.
        assert not [line for line in plan if "Sort  (" in line and "Incremental" not in line], (page, plan)

"""A page of each list fits into a message, whatever clients store: it is computed from the bounds of the contracts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from authsvc.convert import from_robot
from authsvc.domain.grant import MAXIMUM_ACCESSES, Access, Effect, Grant, Scope
from authsvc.domain.model import Robot
from authsvc.domain.permission import ROBOT_PROJECT_PERMISSIONS
from authsvc.domain.project_settings import SETTINGS
from roadstead.auth.v1 import (
    member_pb2,
    member_service_pb2,
    project_service_pb2,
    robot_service_pb2,
    user_group_service_pb2,
    user_service_pb2,
)
from roadstead.auth.v1.cve_allowlist_pb2 import CveAllowlist, CveAllowlistItem
from svckit.bounds import read_bounds
from svckit.listing import MAXIMUM_PAGE_SIZE
from svckit.rpc.late_requests import MAXIMUM_MESSAGE_BYTES

# The character with the most bytes.
WIDE = "\U0001f600"
LARGE_INT = {FieldDescriptor.CPPTYPE_INT32: 2**31 - 1, FieldDescriptor.CPPTYPE_INT64: 2**63 - 1}
# Texts that requests do not set under the same name, by the field of a request that they come from, or by their length.
SOURCES: dict[str, Any] = {
    "Project.owner_name": user_service_pb2.CreateUserRequest.DESCRIPTOR.fields_by_name["username"],
    "Member.entity_name": member_pb2.MemberUser.DESCRIPTOR.fields_by_name["username"],
    "Project.etag": 64,
    "User.etag": 64,
    "UserGroup.etag": 64,
    "Member.etag": 64,
    "Member.role_name": 64,
    "Member.entity_type": 1,
}
EFFECTS: tuple[Effect, ...] = ("", "allow", "deny")
CVE_ITEMS: Any = CveAllowlist.DESCRIPTOR.fields_by_name["items"]
CVE_ID: Any = CveAllowlistItem.DESCRIPTOR.fields_by_name["cve_id"]
# The roles that one caller may have in one project.
ROLES = 16


def longest(bound: Any) -> str:
    """The longest text that a request's field allows, or one of that length."""
    if isinstance(bound, int):
        return WIDE * bound
    limits = read_bounds(bound)
    assert limits is not None, bound.full_name
    assert limits.max_length, bound.full_name
    return WIDE * limits.max_length


def map_bounds(field: FieldDescriptor) -> tuple[int, int, int]:
    """The most entries of a map, and the most characters of a key and of a value."""
    limits = read_bounds(field)
    assert limits is not None, field.full_name
    assert limits.max_items is not None
    assert limits.keys is not None
    assert limits.keys.max_length is not None
    assert limits.values is not None
    assert limits.values.max_length is not None
    return limits.max_items, limits.keys.max_length, limits.values.max_length


def fill(row: Message, *requests: Any) -> None:
    """Makes each field of a row as large as requests may make it. A text whose bound is not known is a failure."""
    for field in row.DESCRIPTOR.fields:
        sources = [found for each in requests if (found := each.DESCRIPTOR.fields_by_name.get(field.name)) is not None]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            assert sources, f"{field.full_name}: say what bounds it"
            items, key, value = (max(each) for each in zip(*map(map_bounds, sources), strict=True))
            for number in range(items):
                getattr(row, field.name)[WIDE * (key - 1) + chr(0x1F600 + number)] = WIDE * value
        elif field.full_name == "roadstead.auth.v1.CveAllowlist.items":
            limits, item = read_bounds(CVE_ITEMS), read_bounds(CVE_ID)
            assert limits is not None
            assert item is not None
            assert limits.max_items
            assert item.max_length
            # Its pattern allows ASCII only.
            row.items.extend([CveAllowlistItem(cve_id="x" * item.max_length)] * limits.max_items)  # type: ignore[attr-defined]
        elif field.full_name == "roadstead.auth.v1.Project.cve_allowlist":
            fill(row.cve_allowlist)  # type: ignore[attr-defined]
        elif field.is_repeated:
            assert field.name == "current_user_role_ids", field.full_name
            getattr(row, field.name).extend([2**31 - 1] * ROLES)
        elif field.message_type is not None:
            getattr(row, field.name).FromDatetime(datetime.max.replace(tzinfo=UTC))
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            named = SOURCES.get(f"{row.DESCRIPTOR.name}.{field.name}")
            texts = [longest(named)] if named is not None else [longest(source) for source in sources]
            assert texts, f"{field.full_name}: say what bounds it"
            setattr(row, field.name, max(texts, key=len))
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            setattr(row, field.name, True)
        else:
            setattr(row, field.name, LARGE_INT[field.cpp_type])


@pytest.mark.parametrize(
    ("response", "requests"),
    [
        (
            project_service_pb2.ListProjectsResponse,
            (project_service_pb2.CreateProjectRequest, project_service_pb2.UpdateProjectRequest),
        ),
        (
            user_service_pb2.ListUsersResponse,
            (user_service_pb2.CreateUserRequest, user_service_pb2.UpdateUserRequest),
        ),
        (member_service_pb2.ListMembersResponse, ()),
        (user_group_service_pb2.ListUserGroupsResponse, (user_group_service_pb2.CreateUserGroupRequest,)),
        (user_group_service_pb2.SearchUserGroupsResponse, (user_group_service_pb2.CreateUserGroupRequest,)),
        (user_group_service_pb2.ListUserGroupMembersResponse, (user_service_pb2.CreateUserRequest,)),
        (user_service_pb2.SearchUsersResponse, (user_service_pb2.CreateUserRequest,)),
    ],
    ids=["projects", "users", "members", "groups", "found groups", "users of a group", "found users"],
)
def test_the_largest_page_fits_into_a_message(response: Any, requests: tuple[Any, ...]) -> None:
    page = response(next_page_token="x" * 4096, total_size=2**63 - 1)
    rows = next(field.name for field in page.DESCRIPTOR.fields if field.is_repeated)
    row = getattr(page, rows).add()
    fill(row, *requests)
    getattr(page, rows).extend([row] * (MAXIMUM_PAGE_SIZE - 1))
    assert page.ByteSize() < MAXIMUM_MESSAGE_BYTES


def test_the_largest_page_of_robots_fits_into_a_message() -> None:
    request = robot_service_pb2.CreateRobotRequest.DESCRIPTOR.fields_by_name
    limits = read_bounds(request["permissions"])
    assert limits is not None
    assert limits.max_items
    moment = datetime.max.replace(tzinfo=UTC)
    name = longest(request["name"])
    # The longest names, in as many projects as one robot may have permissions in.
    accesses = sorted(Access(permission, effect) for permission in ROBOT_PROJECT_PERMISSIONS for effect in EFFECTS)
    accesses.sort(key=lambda access: -len(f"{access.permission.resource}{access.permission.action}{access.effect}"))
    per_grant = MAXIMUM_ACCESSES // limits.max_items
    grants = tuple(
        Grant(Scope("project", 2**63 - number), f"{number:0255}", frozenset(accesses[:per_grant]))
        for number in range(1, limits.max_items + 1)
    )
    robot = Robot(
        id=2**63 - 1,
        project_id=0,
        project_name="",
        name=name,
        full_name=f"{WIDE * 255}{name}",
        description=longest(request["description"]),
        disabled=True,
        duration_days=36500,
        expire_time=moment,
        creator_kind="robot",
        creator_id=2**63 - 1,
        version=2**63 - 1,
        create_time=moment,
        update_time=moment,
        grants=grants,
    )
    assert sum(len(grant.accesses) for grant in grants) == MAXIMUM_ACCESSES
    page = robot_service_pb2.ListRobotsResponse(robots=[from_robot(robot)] * MAXIMUM_PAGE_SIZE)
    assert page.ByteSize() < MAXIMUM_MESSAGE_BYTES


def test_a_project_may_have_all_settings_at_once() -> None:
    for request in (project_service_pb2.CreateProjectRequest, project_service_pb2.UpdateProjectRequest):
        limits = read_bounds(request.DESCRIPTOR.fields_by_name["metadata"])
        assert limits is not None
        assert limits.max_items is not None
        assert len(SETTINGS) < limits.max_items

"""What a service says is wrong, by the names that JSON has."""

import pytest

from gateway.transcode.violations import json_path, with_json_names
from roadstead.auth.v1.project_service_pb2 import CreateProjectRequest
from roadstead.auth.v1.robot_service_pb2 import CreateRobotRequest, UpdateRobotRequest
from svckit.errors import FieldViolation, Invalid, NotFound


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("duration_days", "duration"),
        ("permissions[0].access[12].resource", "permissions[0].access[12].resource"),
        ("disabled", "disable"),
        # What a service does not name by its contract stays.
        ("duration", "duration"),
        ("disabled.more", "disable.more"),
        ("no such path", "no such path"),
        ("", ""),
    ],
)
def test_a_path_is_written_by_json_names(path: str, expected: str) -> None:
    assert json_path(CreateRobotRequest.DESCRIPTOR, path) == expected


def test_keys_of_a_map_stay() -> None:
    assert json_path(CreateProjectRequest.DESCRIPTOR, "metadata['a.b']") == "metadata['a.b']"


def test_all_else_that_an_error_says_stays() -> None:
    told = Invalid(
        "NAME_INVALID",
        "invalid request",
        metadata={"a": "b"},
        retry_after_seconds=3,
        violations=[FieldViolation("storage_limit_bytes", "must be at least -1"), FieldViolation("name", "is wrong")],
    )
    error = with_json_names(CreateProjectRequest.DESCRIPTOR, told)
    assert (error.reason, error.message, error.metadata, error.retry_after_seconds) == (
        "NAME_INVALID",
        "invalid request",
        {"a": "b"},
        3,
    )
    assert [each.field for each in error.violations] == ["storage_limit", "project_name"]


def test_an_error_that_names_no_field_is_left_alone() -> None:
    error = NotFound("PROJECT_UNKNOWN")
    assert with_json_names(CreateProjectRequest.DESCRIPTOR, error) is error


def test_a_list_that_json_writes_in_the_place_of_its_message_is_named_as_json_has_it() -> None:
    path = "permissions.permissions[0].access[1].effect"
    assert json_path(UpdateRobotRequest.DESCRIPTOR, path) == "permissions[0].access[1].effect"
    assert json_path(UpdateRobotRequest.DESCRIPTOR, "permissions.permissions") == "permissions"

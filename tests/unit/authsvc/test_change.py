"""What an entry of the change log holds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.grant import EVERY_PROJECT, Access, Grant, Scope
from authsvc.domain.model import Project, Robot
from authsvc.domain.permission import Permission
from svckit.access.actor import ChangeOrigin
from svckit.actor import Actor

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ORIGIN = ChangeOrigin(Actor("user", 7, "alice"))
PROJECT = Project(
    id=3,
    name="team",
    owner_id=7,
    owner_name="alice",
    public=False,
    initial_storage_limit_bytes=-1,
    version=1,
    create_time=NOW,
    update_time=NOW,
    settings={"severity": "low", "auto_scan": "true"},
)
ROBOT = Robot(
    id=5,
    project_id=3,
    project_name="team",
    name="ci",
    full_name="robot$team+ci",
    description="",
    disabled=False,
    duration_days=7,
    expire_time=NOW,
    creator_kind="user",
    creator_id=7,
    version=1,
    create_time=NOW,
    update_time=NOW,
    grants=(
        Grant(
            Scope("project", 3),
            "team",
            frozenset({Access(Permission("tag", "list"), "allow"), Access(Permission("repository", "pull"))}),
        ),
        Grant(EVERY_PROJECT, "*", frozenset({Access(Permission("tag", "delete"), "deny")})),
    ),
)


def test_of_a_change_only_what_differs_is_kept_in_settings_too() -> None:
    changed = replace(PROJECT, version=2, settings={"severity": "high", "prevent_vul": "true"})
    change = change_of(ChangeKind.PROJECT_CHANGED, ORIGIN, NOW, old=PROJECT, new=changed)
    assert change.old == {"metadata": {"severity": "low", "auto_scan": "true"}}
    assert change.new == {"metadata": {"severity": "high", "prevent_vul": "true"}}
    assert (change.project_id, change.resource_id, change.resource_name) == (3, 3, "team")


def test_a_new_version_alone_sets_no_field() -> None:
    change = change_of(ChangeKind.ROBOT_SECRET_CHANGED, ORIGIN, NOW, old=ROBOT, new=replace(ROBOT, version=2))
    assert (change.old, change.new) == (None, None)
    assert (change.project_id, change.resource_id, change.resource_name) == (3, 5, "robot$team+ci")


def test_what_was_created_or_deleted_is_kept_as_a_whole() -> None:
    created = change_of(ChangeKind.ROBOT_CREATED, ORIGIN, NOW, new=ROBOT)
    deleted = change_of(ChangeKind.ROBOT_DELETED, ORIGIN, NOW, old=ROBOT)
    assert (created.old, deleted.new) == (None, None)
    assert created.new == deleted.old
    assert created.new is not None
    assert created.new["permissions"] == {"team": ["repository:pull", "tag:list"], "*": ["deny tag:delete"]}


def test_a_change_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="a state before or after"):
        change_of(ChangeKind.USER_CREATED, ORIGIN, NOW)

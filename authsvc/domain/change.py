"""What authsvc's change log says of its users, projects, members and robots.

An entry holds the fields that were set, before and after: all of them for what was created or deleted, and for a change
those that differ. Passwords, secrets and their hashes are no fields of these types, so they cannot get there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from authsvc.domain.model import Member, Project, Robot, User
from svckit.change import Change as LoggedChange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from svckit.access.actor import ChangeOrigin

    Fields: TypeAlias = Mapping[str, object]


class ChangeKind(StrEnum):
    """What happened to what. Names stay: consumers read them from rows that are years old."""

    USER_CREATED = "user_created"
    USER_PROFILE_CHANGED = "user_profile_changed"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_ADMINISTRATOR_SET = "user_administrator_set"
    USER_PASSWORD_CHANGED = "user_password_changed"  # noqa: S105 - the name of a kind
    USER_DELETED = "user_deleted"
    """Its memberships went with it, and its projects have no owner any more."""
    PROJECT_CREATED = "project_created"
    """Its owner is its first member, as a project administrator."""
    PROJECT_CHANGED = "project_changed"
    """Its settings, "public" among them."""
    PROJECT_DELETED = "project_deleted"
    """Its members and robots went with it."""
    MEMBER_CREATED = "member_created"
    MEMBER_ROLE_CHANGED = "member_role_changed"
    MEMBER_DELETED = "member_deleted"
    ROBOT_CREATED = "robot_created"
    ROBOT_CHANGED = "robot_changed"
    ROBOT_SECRET_CHANGED = "robot_secret_changed"  # noqa: S105 - the name of a kind
    ROBOT_DELETED = "robot_deleted"


Change: TypeAlias = LoggedChange[ChangeKind]
Subject: TypeAlias = User | Project | Member | Robot


def change_of(
    kind: ChangeKind,
    origin: ChangeOrigin,
    time: datetime,
    *,
    old: Subject | None = None,
    new: Subject | None = None,
) -> Change:
    """The entry of a change.

    Args:
        kind: what happened.
        origin: who caused it, and by which request.
        time: when.
        old: the state before; None of what was created.
        new: the state after; None of what was deleted.
    """
    subject = old if new is None else new
    if subject is None:
        raise ValueError("a change has a state before or after it")
    before, after = _differences(None if old is None else _fields(old), None if new is None else _fields(new))
    project_id, name = _place(subject)
    return LoggedChange(
        kind=kind,
        origin=origin,
        time=time,
        project_id=project_id,
        resource_id=subject.id,
        resource_name=name,
        old=before,
        new=after,
    )


def _place(subject: Subject) -> tuple[int, str]:
    """The project that it belongs to, 0 for none, and its name."""
    match subject:
        case User():
            return 0, subject.username
        case Project():
            return subject.id, subject.name
        case Member():
            return subject.project_id, subject.username
        case Robot():
            return subject.project_id, subject.full_name


def _fields(subject: Subject) -> Fields:
    match subject:
        case User():
            return {
                "email": subject.email,
                "realname": subject.realname,
                "comment": subject.comment,
                "administrator": subject.is_administrator,
                "disabled": subject.disabled,
            }
        case Project():
            return {
                "owner_id": subject.owner_id,
                "initial_storage_limit_bytes": subject.initial_storage_limit_bytes,
                # By Harbor's names, as the API has them. "public" is one of them there.
                "metadata": {**subject.settings, "public": "true" if subject.public else "false"},
            }
        case Member():
            return {"user_id": subject.user_id, "role_id": subject.role_id, "role_name": subject.role_name}
        case Robot():
            return {
                "description": subject.description,
                "disabled": subject.disabled,
                "duration_days": subject.duration_days,
                "permissions": [f"{granted.resource}:{granted.action}" for granted in sorted(subject.permissions)],
            }


def _differences(old: Fields | None, new: Fields | None) -> tuple[Fields | None, Fields | None]:
    """What of the two states to keep; of nested fields, such as a project's settings, again those that differ."""
    if old is None or new is None:
        return old, new
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            was, now = _differences(was, now)
        # Without the name where there is nothing, so that a setting that came or went is told from an empty one.
        if name in old:
            before[name] = was
        if name in new:
            after[name] = now
    return before or None, after or None

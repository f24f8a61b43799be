"""The entries of authsvc's change log: changes of users, projects, members, robots and the runtime configuration.

An entry holds field values before and after the change. For a create or a delete it holds all fields; for an update,
only those that differ. Passwords, secrets and their hashes are not fields of these types, so they are never logged.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from authsvc.domain.cve_allowlist import NOTHING, CveAllowlist
from authsvc.domain.model import GroupMember, Member, Project, RefreshToken, Robot, User, UserGroup
from svckit.change import Change as LoggedChange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from authsvc.domain.grant import Access
    from svckit.access.actor import ChangeOrigin

    Fields: TypeAlias = Mapping[str, object]


class ChangeKind(StrEnum):
    """What happened to what. These names must not change: consumers find them in rows that are years old."""

    USER_CREATED = "user_created"
    USER_PROFILE_CHANGED = "user_profile_changed"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_ADMINISTRATOR_SET = "user_administrator_set"
    USER_PASSWORD_CHANGED = "user_password_changed"  # noqa: S105 - the name of a kind
    USER_DELETED = "user_deleted"
    """The user's memberships were deleted too. The user's projects have no owner any more."""
    PROJECT_CREATED = "project_created"
    """The owner is its first member, as a project administrator."""
    PROJECT_CHANGED = "project_changed"
    """The project's settings changed. "public" is one of them."""
    PROJECT_DELETED = "project_deleted"
    """The project's members and robots were deleted too."""
    USER_GROUP_CREATED = "user_group_created"
    USER_GROUP_CHANGED = "user_group_changed"
    USER_GROUP_DELETED = "user_group_deleted"
    """The group's memberships in projects were deleted too."""
    USER_GROUP_MEMBER_ADDED = "user_group_member_added"
    """A user came into a group. The entry's resource is the group."""
    USER_GROUP_MEMBER_REMOVED = "user_group_member_removed"
    MEMBER_CREATED = "member_created"
    MEMBER_ROLE_CHANGED = "member_role_changed"
    MEMBER_DELETED = "member_deleted"
    ROBOT_CREATED = "robot_created"
    ROBOT_CHANGED = "robot_changed"
    ROBOT_SECRET_CHANGED = "robot_secret_changed"  # noqa: S105 - the name of a kind
    ROBOT_DELETED = "robot_deleted"
    REFRESH_TOKEN_REVOKED = "refresh_token_revoked"  # noqa: S105 - the name of a kind
    """Somebody has ended a refresh token. The entry has the name of the user or robot that it was given to. There is no
    entry for giving one, because that is a log-in."""
    SYSTEM_CVE_ALLOWLIST_CHANGED = "system_cve_allowlist_changed"
    CONFIGURATION_CHANGED = "configuration_changed"
    """Values of the runtime configuration. `domain.configuration_change` makes its entry."""


Change: TypeAlias = LoggedChange[ChangeKind]
Subject: TypeAlias = User | UserGroup | GroupMember | Project | Member | Robot | RefreshToken


def change_of(
    kind: ChangeKind,
    origin: ChangeOrigin,
    time: datetime,
    *,
    old: Subject | None = None,
    new: Subject | None = None,
    name: str = "",
    project_id: int = 0,
) -> Change:
    """The entry of a change.

    Args:
        kind: what happened.
        origin: who caused it, and by which request.
        time: when.
        old: the state before; None for a create.
        new: the state after; None for a delete.
        name: the name of the resource, for subjects that do not know it; `project_id` likewise.
    """
    subject = old if new is None else new
    if subject is None:
        raise ValueError("a change needs a state before or after it")
    before, after = _differences(None if old is None else _fields(old), None if new is None else _fields(new))
    own_project_id, resource_id, own_name = _place(subject)
    return LoggedChange(
        kind=kind,
        origin=origin,
        time=time,
        project_id=project_id or own_project_id,
        resource_id=resource_id,
        resource_name=name or own_name,
        old=before,
        new=after,
    )


def _place(subject: Subject) -> tuple[int, int, str]:
    """The id of the project that the subject belongs to, 0 for none, and the id and the name of the resource."""
    match subject:
        case User():
            return 0, subject.id, subject.username
        case UserGroup():
            return 0, subject.id, subject.name
        case GroupMember():
            return 0, subject.group_id, ""
        case Project():
            return subject.id, subject.id, subject.name
        case Member():
            return subject.project_id, subject.id, subject.entity_name
        case Robot():
            return subject.project_id, subject.id, subject.full_name
        case RefreshToken():
            return 0, subject.id, ""


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
        case UserGroup():
            return {"name": subject.name, "type": subject.type, "ldap_group_dn": subject.ldap_group_dn}
        case GroupMember():
            return {"user_id": subject.user_id, "username": subject.username}
        case Project():
            return {
                "owner_id": subject.owner_id,
                "initial_storage_limit_bytes": subject.initial_storage_limit_bytes,
                # As in the API: by Harbor's names, with "public" among them.
                "metadata": {**subject.settings, "public": "true" if subject.public else "false"},
                **(
                    {}
                    if subject.cve_allowlist == NOTHING
                    else {"cve_allowlist": allowlist_fields(subject.cve_allowlist)}
                ),
            }
        case Member():
            entity = {f"{subject.entity.kind}_id": subject.entity.id}
            return {**entity, "role_id": subject.role_id, "role_name": subject.role_name}
        case Robot():
            return {
                "description": subject.description,
                "disabled": subject.disabled,
                "duration_days": subject.duration_days,
                # By project; "*" for every project, "/" for the system level.
                "permissions": {grant.namespace: [*map(_access, sorted(grant.accesses))] for grant in subject.grants},
            }
        case RefreshToken():
            return {
                f"{subject.holder.kind}_id": subject.holder.id,
                "client_id": subject.client_id,
                "service": subject.service,
                "create_address": subject.create_address,
                "last_use_address": subject.last_use_address,
            }


def _access(access: Access) -> str:
    text = f"{access.permission.resource}:{access.permission.action}"
    return f"deny {text}" if access.denies else text


def allowlist_fields(allowlist: CveAllowlist) -> dict[str, object]:
    """The fields of a list of accepted vulnerabilities, as in the API."""
    return {"expires_at": allowlist.expire_time_unix_seconds, "items": list(allowlist.cve_ids)}


def _differences(old: Fields | None, new: Fields | None) -> tuple[Fields | None, Fields | None]:
    """The fields of both states that differ. Nested fields, such as a project's settings, are compared one by one."""
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
        # A missing field is left out, so that an added or removed setting differs from an empty one.
        if name in old:
            before[name] = was
        if name in new:
            after[name] = now
    return before or None, after or None

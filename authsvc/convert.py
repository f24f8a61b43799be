"""Converts between the messages of `auth.v1` and the domain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain.cve_allowlist import CveAllowlist, parse_allowlist
from authsvc.domain.grant import Access, AskedGrant, merge_asked
from authsvc.domain.member import NamedEntity
from authsvc.domain.model import Identity, Requester
from authsvc.domain.permission import Permission
from authsvc.domain.project_robot import AskedAccess, AskedProjectRobot
from authsvc.domain.refresh_login import PresentedToken
from authsvc.domain.robot import FOR_EVER, NewRobot, RobotChange
from authsvc.domain.token import PasswordCredentials
from authsvc.domain.user_group import NewUserGroup
from roadstead.auth.v1 import (
    cve_allowlist_pb2,
    member_pb2,
    project_pb2,
    refresh_token_pb2,
    robot_pb2,
    token_pb2,
    user_group_pb2,
    user_pb2,
)
from svckit.access.decision import ProjectKey
from svckit.convert import from_time
from svckit.errors import Unauthenticated
from svckit.keys import public_jwk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from authsvc.domain.access import HeldPermission
    from authsvc.domain.grant import Effect, Grant, Kind
    from authsvc.domain.model import GroupMember, GroupType, Member, Project, RefreshToken, Robot, User, UserGroup
    from authsvc.domain.project import SeenProject
    from authsvc.domain.robot import Catalogue, NewSecret
    from roadstead.access.v1.project_ref_pb2 import ProjectRef
    from roadstead.auth.v1 import member_service_pb2, robot_service_pb2, token_service_pb2, user_group_service_pb2
    from svckit.access.call import Call
    from svckit.access.principal import Principal
    from svckit.tokens import Access as TokenAccess
    from svckit.trust import TrustedKey


_ENTITY_TYPES = {"user": "u", "group": "g"}
# The contract allows these words only. An empty one means the first.
_KINDS: dict[str, Kind] = {"": "project", "project": "project", "system": "system"}
_EFFECTS: dict[str, Effect] = {"": "", "allow": "allow", "deny": "deny"}
# Harbor calls users "local".
_CREATOR_TYPES = {"user": "local", "robot": "robot"}


def identity_of(principal: Principal) -> Identity | None:
    """The identity that the caller's identity token names; None for a caller without one."""
    token = principal.identity
    return None if token is None else Identity(token.kind, token.id)


def known_identity(principal: Principal) -> Identity:
    """The identity that the caller's identity token names. The caller must have one.

    Raises:
        DomainError: UNAUTHORIZED.
    """
    identity = identity_of(principal)
    if identity is None:
        raise Unauthenticated
    return identity


def to_requester(call: Call) -> Requester:
    """Who asks for a change, and with which request. Raises as `known_identity`."""
    return Requester(known_identity(call.principal), call.origin)


def to_credentials(message: token_pb2.Credentials) -> PasswordCredentials | None:
    """The credentials of a request; None if it has none."""
    if message.WhichOneof("method") != "password":
        return None
    return PasswordCredentials(message.password.username, message.password.secret)


def to_login(message: token_service_pb2.CreateRegistryTokenRequest) -> PasswordCredentials | PresentedToken | None:
    """How the caller of a request logs in; None if it does not."""
    if message.WhichOneof("who") == "refresh_token":
        return PresentedToken(message.refresh_token.token_secret, message.refresh_token.client_id)
    return to_credentials(message.credentials)


def from_refresh_token(token: RefreshToken) -> refresh_token_pb2.RefreshToken:
    """A refresh token, without its text."""
    return refresh_token_pb2.RefreshToken(
        id=token.id,
        client_id=token.client_id,
        service=token.service,
        create_time=from_time(token.create_time),
        create_address=token.create_address,
        last_use_time=from_time(token.last_use_time),
        last_use_address=token.last_use_address,
        expire_time=from_time(token.expire_time),
    )


def from_seconds(seconds: int) -> Timestamp:
    """The timestamp for a number of seconds since the epoch."""
    return Timestamp(seconds=seconds)


def from_user(user: User) -> user_pb2.User:
    """A user."""
    return user_pb2.User(
        id=user.id,
        username=user.username,
        email=user.email,
        realname=user.realname,
        comment=user.comment,
        administrator=user.is_administrator,
        disabled=user.disabled,
        create_time=from_time(user.create_time),
        update_time=from_time(user.update_time),
        etag=user.etag,
    )


def from_found_user(user: User) -> user_pb2.FoundUser:
    """What everybody who has logged in may know about a user."""
    return user_pb2.FoundUser(id=user.id, username=user.username)


def to_new_group(request: user_group_service_pb2.CreateUserGroupRequest) -> NewUserGroup:
    """The group to create.

    Raises:
        DomainError: BAD_REQUEST; it is a group of LDAP, or has what only those have.
    """
    # Its bounds are those of the type.
    return NewUserGroup(request.group_name, cast("GroupType", request.group_type), request.ldap_group_dn)


def from_group(group: UserGroup) -> user_group_pb2.UserGroup:
    """A group of users."""
    return user_group_pb2.UserGroup(
        id=group.id,
        group_name=group.name,
        group_type=group.type,
        ldap_group_dn=group.ldap_group_dn,
        etag=group.etag,
    )


def from_found_group(group: UserGroup) -> user_group_pb2.FoundUserGroup:
    """What everybody who has logged in may know about a group."""
    return user_group_pb2.FoundUserGroup(id=group.id, group_name=group.name, group_type=group.type)


def from_group_member(member: GroupMember) -> user_group_pb2.UserGroupMember:
    """A user in a group."""
    return user_group_pb2.UserGroupMember(
        group_id=member.group_id,
        user_id=member.user_id,
        username=member.username,
        create_time=from_time(member.create_time),
    )


def from_held(permission: HeldPermission) -> user_pb2.Permission:
    """A permission that the caller holds."""
    return user_pb2.Permission(resource=permission.resource, action=permission.action)


def to_allowlist(message: cve_allowlist_pb2.CveAllowlist, project_id: int) -> CveAllowlist:
    """A list of accepted vulnerabilities for a project; 0 for the system, and for a project that is being created.

    Raises:
        DomainError: BAD_REQUEST.
    """
    return parse_allowlist(
        [item.cve_id for item in message.items],
        message.expire_time_unix_seconds if message.HasField("expire_time_unix_seconds") else None,
        stated_project_id=message.project_id,
        project_id=project_id,
    )


def from_allowlist(project_id: int, allowlist: CveAllowlist) -> cve_allowlist_pb2.CveAllowlist:
    """A list of accepted vulnerabilities; its project id is 0 for the system."""
    return cve_allowlist_pb2.CveAllowlist(
        id=project_id,
        project_id=project_id,
        expire_time_unix_seconds=allowlist.expire_time_unix_seconds,
        items=[cve_allowlist_pb2.CveAllowlistItem(cve_id=cve_id) for cve_id in allowlist.cve_ids],
        create_time=None if allowlist.create_time is None else from_time(allowlist.create_time),
        update_time=None if allowlist.update_time is None else from_time(allowlist.update_time),
    )


def from_project(project: Project, role_ids: Sequence[int] = ()) -> project_pb2.Project:
    """A project, with the caller's roles."""
    return project_pb2.Project(
        id=project.id,
        name=project.name,
        owner_id=project.owner_id,
        owner_name=project.owner_name,
        create_time=from_time(project.create_time),
        update_time=from_time(project.update_time),
        metadata={**project.settings, "public": "true" if project.public else "false"},
        current_user_role_id=role_ids[0] if role_ids else 0,
        current_user_role_ids=role_ids,
        initial_storage_limit_bytes=project.initial_storage_limit_bytes,
        etag=project.etag,
        cve_allowlist=from_allowlist(project.id, project.cve_allowlist),
    )


def from_seen(seen: SeenProject) -> project_pb2.Project:
    """A project as the caller sees it."""
    return from_project(seen.project, seen.role_ids)


def to_named_entity(request: member_service_pb2.CreateMemberRequest) -> NamedEntity:
    """The user or group to make a member.

    Raises:
        DomainError: BAD_REQUEST; the request names none, or two.
    """
    user, group = request.member_user, request.member_group
    return NamedEntity(
        user_id=user.user_id,
        username=user.username,
        group_id=group.id,
        group_name=group.group_name,
        group_type=group.group_type,
        ldap_group_dn=group.ldap_group_dn,
    )


def from_member(member: Member) -> member_pb2.Member:
    """A membership."""
    return member_pb2.Member(
        id=member.id,
        project_id=member.project_id,
        entity_name=member.entity_name,
        role_name=member.role_name,
        role_id=member.role_id,
        entity_id=member.entity.id,
        entity_type=_ENTITY_TYPES[member.entity.kind],
        etag=member.etag,
    )


def from_access(entry: TokenAccess) -> token_pb2.GrantedScope:
    """What a registry token allows on one resource."""
    return token_pb2.GrantedScope(type=entry.type, name=entry.name, actions=sorted(entry.actions))


def from_key(key: TrustedKey) -> token_pb2.PublicKey:
    """A public key."""
    return token_pb2.PublicKey(
        kid=key.kid, service=key.service, jwk_json=json.dumps(public_jwk(key.public_key), sort_keys=True)
    )


def to_new_robot(request: robot_service_pb2.CreateRobotRequest) -> NewRobot:
    """The robot to create.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """
    return NewRobot(
        level=_KINDS[request.level],
        name=request.name,
        grants=to_asked_grants(request.permissions),
        description=request.description,
        duration_days=request.duration_days,
        disabled=request.disabled,
    )


def to_project_robot(request: robot_service_pb2.CreateProjectRobotRequest) -> AskedProjectRobot:
    """The robot that Harbor's older request asks for."""
    return AskedProjectRobot(
        request.name,
        tuple(AskedAccess(access.resource, access.action, _EFFECTS[access.effect]) for access in request.access),
        request.description,
        request.expire_time_unix_seconds,
    )


def to_project_key(project: ProjectRef) -> ProjectKey | None:
    """The project that a request names; None if it names none."""
    return None if project.WhichOneof("ref") is None else named_project(project)


def named_project(project: ProjectRef) -> ProjectKey:
    """The project that a request names by id or by name. The contract requires it."""
    return ProjectKey(id=project.id) if project.HasField("id") else ProjectKey(name=project.name)


def to_robot_change(request: robot_service_pb2.UpdateRobotRequest) -> RobotChange:
    """What to change of a robot. Raises as `to_new_robot`."""
    return RobotChange(
        grants=to_asked_grants(request.permissions.permissions) if request.HasField("permissions") else None,
        description=request.description if request.HasField("description") else None,
        duration_days=request.duration_days if request.HasField("duration_days") else None,
        disabled=request.disabled if request.HasField("disabled") else None,
        name=request.name if request.HasField("name") else None,
        level=request.level if request.HasField("level") else None,
        etag=request.etag,
    )


def to_asked_grants(permissions: Iterable[robot_pb2.RobotPermission]) -> tuple[AskedGrant, ...]:
    """The grants that a request asks for; one for each scope. Raises as `to_new_robot`."""
    return merge_asked(
        AskedGrant(_KINDS[group.kind], group.namespace, frozenset(map(_to_access, group.access)))
        for group in permissions
    )


def _to_access(message: robot_pb2.RobotAccess) -> Access:
    return Access(Permission(message.resource, message.action), _EFFECTS[message.effect])


def from_robot(robot: Robot) -> robot_pb2.Robot:
    """A robot, without its secret."""
    return robot_pb2.Robot(
        id=robot.id,
        name=robot.full_name,
        description=robot.description,
        level=robot.level,
        duration_days=robot.duration_days,
        editable=True,
        disabled=robot.disabled,
        expire_time_unix_seconds=_expiry(robot),
        permissions=map(_from_grant, robot.grants),
        creator_type=_CREATOR_TYPES[robot.creator_kind],
        creator_id=robot.creator_id,
        create_time=from_time(robot.create_time),
        update_time=from_time(robot.update_time),
        etag=robot.etag,
    )


def from_created_robot(created: NewSecret) -> robot_pb2.CreatedRobot:
    """A robot that was just created, with its secret."""
    return robot_pb2.CreatedRobot(
        id=created.robot.id,
        name=created.robot.full_name,
        secret=created.secret,
        create_time=from_time(created.robot.create_time),
        expire_time_unix_seconds=_expiry(created.robot),
    )


def from_catalogue(catalogue: Catalogue) -> robot_pb2.RobotPermissionCatalogue:
    """The permissions that robots may be given."""
    return robot_pb2.RobotPermissionCatalogue(
        system=map(_from_permission, sorted(catalogue.system)), project=map(_from_permission, sorted(catalogue.project))
    )


def _from_permission(permission: Permission) -> robot_pb2.RobotAccess:
    return robot_pb2.RobotAccess(resource=permission.resource, action=permission.action)


def _from_grant(grant: Grant) -> robot_pb2.RobotPermission:
    return robot_pb2.RobotPermission(
        kind=grant.scope.kind,
        namespace=grant.namespace,
        access=[
            robot_pb2.RobotAccess(
                resource=access.permission.resource, action=access.permission.action, effect=access.effect
            )
            for access in sorted(grant.accesses)
        ],
    )


def _expiry(robot: Robot) -> int:
    return FOR_EVER if robot.expire_time is None else int(robot.expire_time.timestamp())

"""Users, projects, members and robots, as the store returns them. Names were checked when they were written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from authsvc.domain.cve_allowlist import NOTHING, CveAllowlist

if TYPE_CHECKING:
    from datetime import datetime

    from authsvc.domain.grant import Grant, Kind
    from svckit.access.actor import ChangeOrigin

GroupType: TypeAlias = Literal[1, 2, 3]
"""Harbor's types of groups: LDAP, HTTP (an authenticating proxy), OIDC."""
LDAP_GROUP: Literal[1] = 1

_SUBJECT = re.compile(r"(?P<kind>user|robot):(?P<id>[1-9][0-9]{0,17})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """The user or robot that a verified identity token names. `identify` finds out whether it may still call.

    Attributes:
        kind: "user" or "robot".
        id: the user's or the robot's id.
    """

    kind: Literal["user", "robot"]
    id: int

    @classmethod
    def of_subject(cls, subject: str) -> Self | None:
        """The user or robot that the subject of a token names, such as "user:7"; None if it names neither."""
        match = _SUBJECT.fullmatch(subject)
        if match is None:
            return None
        return cls("user" if match["kind"] == "user" else "robot", int(match["id"]))


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for a change, and what the change log records about it.

    Attributes:
        identity: the user or robot that the request's identity token names.
        origin: the actor, the request and the address.
    """

    identity: Identity
    origin: ChangeOrigin


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that is not disabled or expired, as the store knows it now.

    Attributes:
        kind: "anonymous", "user" or "robot".
        id: the user's or the robot's id; 0 for an anonymous caller.
        name: the name used to log in; empty for an anonymous caller.
        is_administrator: whether everything is allowed.
        in_groups: whether the user is in a group, whose roles have to be looked for.
        credential_version: of the password or secret. A refresh token is for one version.
        refresh_token_id: the refresh token that it has logged in with; 0 for none.
    """

    kind: Literal["anonymous", "user", "robot"]
    id: int = 0
    name: str = ""
    is_administrator: bool = False
    in_groups: bool = False
    credential_version: int = field(default=0, compare=False)
    refresh_token_id: int = field(default=0, compare=False)

    @property
    def subject(self) -> str:
        """The caller's name in tokens and logs: "user:7", "robot:12", "anonymous"."""
        return "anonymous" if self.kind == "anonymous" else f"{self.kind}:{self.id}"

    @property
    def user_id(self) -> int:
        """The user's id; 0 for robots and anonymous callers."""
        return self.id if self.kind == "user" else 0


ANONYMOUS = Caller("anonymous")


class Versioned:
    """Something that has an etag, so that an update can say which state its caller has read (`svckit.etag`)."""

    __slots__ = ()

    id: int
    version: int

    @property
    def etag(self) -> str:
        """An update that names this etag is refused if another change came first."""
        return f"{self.id}-{self.version}"


@dataclass(frozen=True, slots=True)
class User(Versioned):
    """A person who can log in.

    Attributes:
        id: never used for another user.
        username: the name used to log in.
        email: empty if unknown.
        realname: for people to read.
        comment: free text.
        is_administrator: a system administrator.
        disabled: may not log in.
        version: grows with every change.
        create_time: when it was created; `update_time` when it was last changed.
        in_groups: is in a group.
        credential_version: grows with each new password, and when the user is disabled.
    """

    id: int
    username: str
    email: str
    realname: str
    comment: str
    is_administrator: bool
    disabled: bool
    version: int
    create_time: datetime
    update_time: datetime
    in_groups: bool = False
    credential_version: int = 1

    @property
    def caller(self) -> Caller:
        """The user as a caller, who must not be disabled."""
        return Caller("user", self.id, self.username, self.is_administrator, self.in_groups, self.credential_version)


@dataclass(frozen=True, slots=True)
class UserGroup(Versioned):
    """Users who get roles in projects together.

    Attributes:
        id: never used for another group.
        name: unique among the groups of its type.
        type: where its users come from, as in Harbor: 1 LDAP, 2 HTTP, 3 OIDC.
        ldap_group_dn: the distinguished name of a group of LDAP, in lower case; empty for others.
        version: grows with every change.
        create_time: when it was created.
    """

    id: int
    name: str
    type: GroupType
    ldap_group_dn: str
    version: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A user in a group.

    Attributes:
        group_id: the group's.
        user_id: the user's; `username` is its name.
        create_time: when the user came into the group.
    """

    group_id: int
    user_id: int
    username: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Entity:
    """The user or group that a membership is about.

    Attributes:
        kind: "user" or "group". A user and a group may have the same id, and the same name.
        id: the user's or the group's id.
    """

    kind: Literal["user", "group"]
    id: int


@dataclass(frozen=True, slots=True)
class Project(Versioned):
    """A project.

    Attributes:
        id: never used for another project.
        name: does not change.
        owner_id: the user who owns it; 0 if that user was deleted.
        owner_name: the owner's login name; empty if that user was deleted.
        public: whether anybody may pull.
        settings: by Harbor's names, without "public".
        initial_storage_limit_bytes: the first limit of metasvc's quota; -1 for no limit.
        version: grows with every change.
        create_time: when it was created; `update_time` when it was last changed.
        cve_allowlist: the vulnerabilities that it accepts.
    """

    id: int
    name: str
    owner_id: int
    owner_name: str
    public: bool
    initial_storage_limit_bytes: int
    version: int
    create_time: datetime
    update_time: datetime
    settings: Mapping[str, str] = field(default_factory=dict)
    cve_allowlist: CveAllowlist = NOTHING


@dataclass(frozen=True, slots=True)
class Member(Versioned):
    """The role of a user or group in a project.

    Attributes:
        id: of the membership.
        project_id: the project's.
        entity: the user or group.
        entity_name: its name.
        role_id: Harbor's id of the role.
        role_name: Harbor's name of it.
        version: grows with every change.
        create_time: when it became a member.
    """

    id: int
    project_id: int
    entity: Entity
    entity_name: str
    role_id: int
    role_name: str
    version: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class RobotState:
    """What a robot's log-in depends on.

    Attributes:
        id: the robot's.
        full_name: the name used to log in.
        disabled: may not log in.
        expire_time: when it expires; None for never.
        credential_version: see `Robot`.
    """

    id: int
    full_name: str
    disabled: bool
    expire_time: datetime | None
    credential_version: int = 1

    def is_refused(self, now: datetime) -> bool:
        """Whether it may not log in at this moment."""
        return _is_refused(self.disabled, self.expire_time, now)

    @property
    def caller(self) -> Caller:
        """The robot as a caller, which must not be disabled or expired."""
        return Caller("robot", self.id, self.full_name, credential_version=self.credential_version)


@dataclass(frozen=True, slots=True)
class Robot(Versioned):
    """A robot of a project, or of the system level.

    Attributes:
        id: never used for another robot.
        project_id: the project's, 0 on the system level; `project_name` its name, empty on the system level.
        name: the short name.
        full_name: the name used to log in, such as "robot$library+builder", or "robot$builder" on the system level.
        description: free text.
        disabled: may not log in.
        duration_days: how long it is valid from its creation; -1 for ever.
        expire_time: when it expires; None for never.
        creator_kind: "user" or "robot"; `creator_id` is its id.
        version: grows with every change, also of the secret.
        create_time: when it was created; `update_time` when it was last changed.
        grants: what it may do, one for each scope. A robot of a project has one, for its project. A robot of the system
            level may have none left, if its projects were deleted.
        credential_version: grows with each new secret, and when the robot is disabled, or is valid again.
    """

    id: int
    project_id: int
    project_name: str
    name: str
    full_name: str
    description: str
    disabled: bool
    duration_days: int
    expire_time: datetime | None
    creator_kind: Literal["user", "robot"]
    creator_id: int
    version: int
    create_time: datetime
    update_time: datetime
    grants: tuple[Grant, ...] = ()
    credential_version: int = 1

    @property
    def level(self) -> Kind:
        """Where it belongs: "project" or "system"."""
        return "project" if self.project_id else "system"

    def is_refused(self, now: datetime) -> bool:
        """Whether it may not log in at this moment."""
        return _is_refused(self.disabled, self.expire_time, now)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token of a user or robot. Its text is not stored.

    Attributes:
        id: never used for another token.
        holder: the user or robot that it was given to, by a client.
        credential_version: of the holder's password or secret when it was given. It is good for this version only.
        client_id: the client, as it called itself.
        service: the token service that gave it.
        create_time: when it was given; `create_address` is the address of the client.
        last_use_time: when it was last used, to the hour; `last_use_address` is the address of the client.
        expire_time: when it ends, unless it is used before.
    """

    id: int
    holder: Identity
    credential_version: int
    client_id: str
    service: str
    create_time: datetime
    create_address: str
    last_use_time: datetime
    last_use_address: str
    expire_time: datetime


def _is_refused(disabled: bool, expire_time: datetime | None, now: datetime) -> bool:
    return disabled or (expire_time is not None and expire_time <= now)

"""The ports of the domain: a store with units of work, a hasher, a signer, a clock.

Each noun has a port of its own. A row that a `lock…` method returns cannot be changed by others until the unit ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from authsvc.domain.change import Change
    from authsvc.domain.cve_allowlist import CveAllowlist
    from authsvc.domain.grant import Grant
    from authsvc.domain.model import (
        Caller,
        Entity,
        GroupMember,
        GroupType,
        Member,
        Project,
        Robot,
        RobotState,
        User,
        UserGroup,
    )
    from authsvc.domain.permission import Permission, Role
    from svckit.idempotency import IdempotencyRows
    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.tokens import Claims

T = TypeVar("T")
C = TypeVar("C", bound="Claims")
C_co = TypeVar("C_co", bound="Claims", covariant=True)


class Clock(Protocol):
    """Gives the time."""

    def __call__(self) -> datetime:
        """Now, in UTC."""


class Hasher(Protocol):
    """Hashes passwords, slowly and a few at a time."""

    async def hash(self, password: str) -> str:
        """The hash of a password, as text.

        Raises:
            DomainError: OVERLOADED.
        """

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether this is the password of that hash. Raises as `hash`."""

    async def verify_dummy(self, password: str) -> None:
        """Takes as long as `verify`, so that the time does not show whether an account exists. Raises as `hash`."""


class SignedText(Protocol, Generic[C_co]):
    """A token and its claims."""

    @property
    def text(self) -> str:
        """The token."""

    @property
    def claims(self) -> C_co:
        """Its claims."""


class Signer(Protocol):
    """Signs tokens."""

    def sign(self, claims: C, *, lifetime_seconds: int | None = None) -> SignedText[C]:
        """Makes a token of these claims, which is valid for this time."""


class RobotAccess(Protocol):
    """Checks what the caller may do to robots. A failed check raises UNAUTHORIZED, PROJECT_UNKNOWN or FORBIDDEN."""

    def require_identity(self) -> None:
        """Refuses a caller without an identity, before anything is looked up for it."""

    async def check_named(self, project_name: str, action: str) -> int:
        """Checks the action on robots of the project of that name. Returns the project's id."""

    async def check_id(self, project_id: int, action: str) -> int:
        """Checks the action on robots of the project of that id. Returns the id."""

    async def check_system(self, action: str) -> None:
        """Checks the action on robots that belong to no project."""


class UserRows(Protocol):
    """The rows of users."""

    async def get(self, user_id: int) -> User | None:
        """Reads a user."""

    async def lock(self, user_id: int) -> User | None:
        """Reads a user, locked."""

    async def by_name(self, username: str) -> User | None:
        """Reads a user by its login name."""

    async def any_begins_with(self, prefix: str) -> bool:
        """Whether the login name of any user begins with a text."""

    async def credentials(self, username: str) -> tuple[User, str] | None:
        """Reads a user and its password's hash, by its login name."""

    async def credentials_by_email(self, email: str) -> tuple[User, str] | None:
        """Reads a user and its password's hash, by its mail address."""

    async def page(self, selection: Selection) -> list[User]:
        """Reads a page."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def add(
        self,
        *,
        username: str,
        email: str,
        realname: str,
        comment: str,
        password_hash: str,
        is_administrator: bool,
        now: datetime,
    ) -> int | None:
        """Adds a user and returns its id; None if the name or the mail address is taken."""

    async def update(self, user: User) -> bool:
        """Writes the fields of a locked user that can change. False if the mail address is taken."""

    async def set_password(self, user: User, password_hash: str) -> None:
        """Sets the password hash of a locked user, with the version and time of this change."""

    async def lock_administrators(self) -> list[int]:
        """Locks the administrators who are not disabled, and returns their ids."""

    async def remove(self, user_id: int) -> None:
        """Deletes a user and its memberships."""


class UserGroupRows(Protocol):
    """The rows of groups, and of the users in them."""

    async def get(self, group_id: int) -> UserGroup | None:
        """Reads a group."""

    async def lock(self, group_id: int) -> UserGroup | None:
        """Reads a group, locked."""

    async def by_name(self, name: str, group_type: GroupType) -> UserGroup | None:
        """Reads a group by its name and type."""

    async def by_ldap_group_dn(self, ldap_group_dn: str) -> UserGroup | None:
        """Reads a group of LDAP by its distinguished name, which is in lower case."""

    async def page(self, selection: Selection) -> list[UserGroup]:
        """Reads a page."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def add(self, *, name: str, group_type: GroupType, ldap_group_dn: str, now: datetime) -> int | None:
        """Adds a group and returns its id; None if the name or the distinguished name is taken."""

    async def update(self, group: UserGroup, now: datetime) -> bool:
        """Writes the name of a locked group. False if it is taken."""

    async def remove(self, group_id: int) -> None:
        """Deletes a group, its memberships in projects, and the rows of its users."""

    async def member(self, group_id: int, user_id: int) -> GroupMember | None:
        """Reads a user in a group."""

    async def member_page(self, selection: Selection) -> list[GroupMember]:
        """Reads a page; a clause names the group."""

    async def member_count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def add_member(self, group_id: int, user_id: int, now: datetime) -> bool:
        """Takes a user into a group. False if it is in it already.

        Raises:
            DomainError: NOT_FOUND; the group or the user was deleted at this moment.
        """

    async def remove_member(self, group_id: int, user_id: int) -> bool:
        """Takes a user out of a group. False if it is not in it."""


class ProjectRows(Protocol):
    """The rows of projects and their settings."""

    async def get(self, project_id: int) -> Project | None:
        """Reads a project."""

    async def by_name(self, name: str) -> Project | None:
        """Reads a project by its name."""

    async def lock(self, project_id: int) -> Project | None:
        """Reads a project, locked."""

    async def page(self, caller: Caller | None, selection: Selection) -> list[Project]:
        """Reads a page of the projects that the caller may see; None for all projects."""

    async def count(self, caller: Caller | None, clauses: Sequence[Clause]) -> int:
        """Counts all projects that match and that the caller may see; None for all projects."""

    async def visible_ids(self, caller: Caller, names: Collection[str]) -> Mapping[str, int]:
        """The ids of those of these projects that the caller may see, by name. One query."""

    async def add(
        self,
        *,
        name: str,
        owner_id: int,
        public: bool,
        settings: Mapping[str, str],
        initial_storage_limit_bytes: int,
        now: datetime,
    ) -> int | None:
        """Adds a project and returns its id; None if the name is taken.

        Raises:
            DomainError: USER_UNKNOWN; the owner was deleted at this moment.
        """

    async def update(self, project: Project) -> None:
        """Writes the fields of a locked project that can change: visibility, settings, version, time."""

    async def remove(self, project_id: int) -> None:
        """Deletes a project with its settings, members and robots."""


class MemberRows(Protocol):
    """The rows of memberships."""

    async def get(self, project_id: int, member_id: int) -> Member | None:
        """Reads a membership of that project."""

    async def lock(self, project_id: int, member_id: int) -> Member | None:
        """Reads a membership of that project, locked."""

    async def page(self, selection: Selection) -> list[Member]:
        """Reads a page; a clause names the project."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def add(self, project_id: int, entity: Entity, role_id: int, now: datetime) -> int | None:
        """Adds a membership and returns its id; None if the user or group is a member already.

        Raises:
            DomainError: NOT_FOUND; the project, the user or the group was deleted at this moment.
        """

    async def update(self, member: Member) -> None:
        """Writes the role of a locked membership."""

    async def remove(self, member: Member) -> None:
        """Deletes a locked membership."""

    async def roles_of(self, caller: Caller, project_ids: Sequence[int]) -> Mapping[int, tuple[int, ...]]:
        """The caller's roles in these projects, its own and its groups', by project, strongest first. One query."""


class RobotRows(Protocol):
    """The rows of robots and their permissions."""

    async def get(self, robot_id: int) -> Robot | None:
        """Reads a robot."""

    async def lock(self, robot_id: int) -> Robot | None:
        """Reads a robot, locked."""

    async def state(self, robot_id: int) -> RobotState | None:
        """Reads what a robot's log-in depends on."""

    async def credentials(self, project_name: str, name: str) -> tuple[RobotState, str] | None:
        """Reads what a robot's log-in depends on, and the hash of its secret.

        Args:
            project_name: the name of the robot's project; empty for a robot of the system level.
            name: the short name.
        """

    async def page(self, selection: Selection) -> list[Robot]:
        """Reads a page."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def add(
        self,
        *,
        project_id: int,
        name: str,
        description: str,
        disabled: bool,
        duration_days: int,
        expire_time: datetime | None,
        secret_hash: str,
        creator_kind: Literal["user", "robot"],
        creator_id: int,
        grants: Sequence[Grant],
        now: datetime,
    ) -> int | None:
        """Adds a robot and returns its id; None if the project, or the system level, has a robot of that name.

        Args:
            project_id: the project's; 0 on the system level.
            name: the short name.
            description: free text.
            disabled: may not log in.
            duration_days: how long it is valid.
            expire_time: when it expires.
            secret_hash: the hash of its secret.
            creator_kind: who creates it; `creator_id` is its id.
            creator_id: see `creator_kind`.
            grants: what it may do.
            now: the time.

        Raises:
            DomainError: PROJECT_UNKNOWN; a project was deleted at this moment.
        """

    async def update(self, robot: Robot) -> None:
        """Writes the fields of a locked robot that can change. Raises as `add`."""

    async def set_secret(self, robot: Robot, secret_hash: str) -> None:
        """Sets the secret hash of a locked robot, with the version and time of this change."""

    async def remove(self, robot_id: int) -> None:
        """Deletes a robot."""


class FoundProject(NamedTuple):
    """A project, and what one caller may do with it."""

    project_id: int
    project_name: str
    visible: bool
    allowed: bool


class RoleRows(Protocol):
    """The rows of roles and their permissions, and what callers may do by their roles."""

    async def get(self, role_id: int) -> Role | None:
        """Reads a role."""

    async def permissions(self, role_id: int) -> frozenset[Permission]:
        """What a role allows."""

    async def allows(self, role_id: int, permission: Permission) -> bool:
        """Whether a role has this permission, or the permission for everything."""

    async def in_project(
        self, caller: Caller, project_id: int | None, project_name: str | None, permission: Permission
    ) -> FoundProject | None:
        """Finds a project by id or by name, with what the caller may do in it. One query."""

    async def held(self, caller: Caller, project_id: int) -> frozenset[Permission]:
        """All permissions that the caller holds in a project."""

    async def on_system(self, caller: Caller) -> frozenset[Permission]:
        """All permissions that a robot was given on the system level. None for other callers."""

    async def everywhere(self, caller: Caller, permission: Permission) -> bool:
        """Whether a robot was given the permission for every project, and it is denied in none."""

    async def any_project(self, caller: Caller, permission: Permission) -> int | None:
        """One project in which a caller that is not an administrator holds the permission; None without one."""

    async def project_ids(self, caller: Caller, permission: Permission) -> frozenset[int]:
        """The projects in which a caller that is not an administrator holds the permission. One query."""

    async def repository_actions(
        self, caller: Caller, project_names: Collection[str]
    ) -> Mapping[str, tuple[int, frozenset[str]]]:
        """What the caller may do with the repositories of these projects. One query.

        Returns the project's id and the allowed actions, by project name. Projects that do not exist, or in which
        nothing is allowed, are left out.
        """


class CveAllowlistRows(Protocol):
    """The lists of accepted vulnerabilities: the system's, whose project id is 0, and those of projects."""

    async def get(self, project_id: int) -> CveAllowlist:
        """Reads a list; an empty one if none was set."""

    async def lock_system(self) -> None:
        """Waits until no other unit is changing the list of the system. For a project's list, lock the project."""

    async def put(self, project_id: int, allowlist: CveAllowlist) -> None:
        """Writes a list with its times."""


class ConfigurationRows(Protocol):
    """The rows of the runtime configuration: the values that somebody has changed."""

    async def read(self) -> Mapping[str, bool | int | str]:
        """The stored values by name."""

    async def lock(self) -> None:
        """Waits until no other unit is changing the configuration."""

    async def write(self, values: Mapping[str, bool | int | str], now: datetime) -> None:
        """Writes values. At least one."""


class InstallationRows(Protocol):
    """The single row that exists once the first start has ended, and the first rows of other tables."""

    async def robot_secret_key(self) -> bytes | None:
        """The key of robots' secrets; None before the first start has ended."""

    async def lock(self) -> None:
        """Waits until no other replica is in its first start."""

    async def add(self, robot_secret_key: bytes, now: datetime) -> None:
        """Adds the row, which marks the first start as ended."""

    async def add_first_user(self, username: str, password_hash: str, now: datetime) -> int:
        """Adds an administrator with the id 1."""

    async def add_first_project(self, name: str, owner_id: int, storage_limit_bytes: int, now: datetime) -> int:
        """Adds a public project with the id 1."""


class Unit(Protocol):
    """A unit that reads."""

    @property
    def users(self) -> UserRows:
        """Users."""

    @property
    def user_groups(self) -> UserGroupRows:
        """Groups of users."""

    @property
    def projects(self) -> ProjectRows:
        """Projects."""

    @property
    def members(self) -> MemberRows:
        """Memberships."""

    @property
    def robots(self) -> RobotRows:
        """Robots."""

    @property
    def roles(self) -> RoleRows:
        """Roles."""

    @property
    def cve_allowlists(self) -> CveAllowlistRows:
        """Lists of accepted vulnerabilities."""

    @property
    def configuration(self) -> ConfigurationRows:
        """The runtime configuration."""

    @property
    def installation(self) -> InstallationRows:
        """The first start."""


class UnitOfWork(Unit, Protocol):
    """A unit that writes. Leaving it without a commit rolls back."""

    @property
    def idempotency(self) -> IdempotencyRows:
        """The results of first calls with an idempotency key."""

    def record(self, change: Change) -> None:
        """Adds an entry for the change log, which `commit` writes. A unit that changes nothing records nothing."""

    async def commit(self) -> None:
        """Commits the unit's changes and the recorded entries of the change log."""


class Store(Protocol):
    """Gives out units."""

    def read(self, *, short: bool = False) -> AbstractAsyncContextManager[Unit]:
        """A unit that reads. A short one reads few rows by indexes, and few bytes."""

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit that writes. No other unit may be begun in it."""

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a whole unit of work, and runs it again if it conflicted with another one."""

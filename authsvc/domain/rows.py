"""The ports of rows, the units of work that have them, and the store that gives out units.

Each noun has a port of its own. A row that a `lock…` method returns cannot be changed by others until the unit ends.
The units stand here beside the rows, so that a new noun changes one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from authsvc.domain.account_rows import RefreshTokenRows, RevocationRows, RobotRows, UserGroupRows, UserRows
    from authsvc.domain.change import Change
    from authsvc.domain.cve_allowlist import CveAllowlist
    from authsvc.domain.model import Caller, Entity, Member, Project
    from authsvc.domain.permission import Permission, Role
    from svckit.idempotency import IdempotencyRows
    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.tokens.revocation import Loss

T = TypeVar("T")


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


class FoundProject(NamedTuple):
    """A project, and what one caller may do with it."""

    project_id: int
    project_name: str
    visible: bool
    allowed: bool


class RepositoryActions(NamedTuple):
    """What one caller may do with the repositories of a project.

    Attributes:
        project_id: the project's.
        actions: what is allowed; at least one.
        public_actions: those of them that are allowed only because the project is public.
    """

    project_id: int
    actions: frozenset[str]
    public_actions: frozenset[str]


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
    ) -> Mapping[str, RepositoryActions]:
        """What the caller may do with the repositories of these projects, by project name. One query.

        Projects that do not exist, or in which nothing is allowed, are left out.
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
    def refresh_tokens(self) -> RefreshTokenRows:
        """Refresh tokens."""

    @property
    def revocations(self) -> RevocationRows:
        """Revocations of registry tokens."""

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

    def revoke(self, loss: Loss | None) -> None:
        """Says who loses rights by the recorded changes, so that their registry tokens are refused; None for nobody.

        A unit has one loss at most, and a change beside it.
        """

    async def commit(self) -> None:
        """Commits the unit's changes, the recorded entries of the change log, and the loss."""


class Store(Protocol):
    """Gives out units."""

    def read(self, *, short: bool = False) -> AbstractAsyncContextManager[Unit]:
        """A unit that reads. A short one reads few rows by indexes, and few bytes."""

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit that writes. No other unit may be begun in it."""

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a whole unit of work, and runs it again if it conflicted with another one."""

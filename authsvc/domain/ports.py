"""What the domain needs of the world: a store with units of work, a hasher, a signer, a clock.

One role for each noun. Methods called `lock…` keep others from changing what they read until the unit ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from authsvc.domain.change import Change
    from authsvc.domain.model import Caller, Member, Project, Robot, RobotState, User
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

    async def verify_nobody(self, password: str) -> None:
        """Takes as long as `verify`. Raises as `hash`."""


class SignedText(Protocol, Generic[C_co]):
    """A token, and what it says."""

    @property
    def text(self) -> str:
        """The token."""

    @property
    def claims(self) -> C_co:
        """What it says."""


class Signer(Protocol):
    """Signs tokens."""

    def sign(self, claims: C, *, lifetime_seconds: int | None = None) -> SignedText[C]:
        """Signs what a token says, for so long."""


class RobotAccess(Protocol):
    """What the caller may do to the robots of a project. Each check raises where it may not: UNAUTHORIZED,
    PROJECT_UNKNOWN, FORBIDDEN.
    """  # noqa: D205 - one sentence

    def require_identity(self) -> None:
        """Refuses who has not proved who it is, before anything is looked up for it."""

    async def check_named(self, project_name: str, action: str) -> int:
        """Checks in the project of that name, and gives its id."""

    async def check_id(self, project_id: int, action: str) -> int:
        """Checks in the project of that id, and gives its id."""

    async def check_system(self, action: str) -> None:
        """Checks for the robots that belong to no project."""


class UserRows(Protocol):
    """The rows of users."""

    async def get(self, user_id: int) -> User | None:
        """Reads a user."""

    async def lock(self, user_id: int) -> User | None:
        """Reads a user, locked."""

    async def by_name(self, username: str) -> User | None:
        """Reads a user by its login name."""

    async def credentials(self, username: str) -> tuple[User, str] | None:
        """Reads a user and its password's hash, by its login name."""

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
        """Adds a user and gives its id; None where the name or the mail address is taken."""

    async def update(self, user: User) -> bool:
        """Writes what can change of a user that was locked. False where the mail address is taken."""

    async def set_password(self, user: User, password_hash: str) -> None:
        """Sets the password's hash of a user that was locked, with the version and time of this change."""

    async def lock_administrators(self) -> list[int]:
        """The ids of the administrators who are not disabled, locked."""

    async def remove(self, user_id: int) -> None:
        """Deletes a user and its memberships."""


class ProjectRows(Protocol):
    """The rows of projects and their settings."""

    async def get(self, project_id: int) -> Project | None:
        """Reads a project."""

    async def by_name(self, name: str) -> Project | None:
        """Reads a project by its name."""

    async def lock(self, project_id: int) -> Project | None:
        """Reads a project, locked."""

    async def page(self, caller: Caller, selection: Selection) -> list[Project]:
        """Reads a page of those that the caller may see."""

    async def count(self, caller: Caller, clauses: Sequence[Clause]) -> int:
        """Counts all that match and the caller may see."""

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
        """Adds a project and gives its id; None where the name is taken.

        Raises:
            DomainError: USER_UNKNOWN; the owner was deleted at this moment.
        """

    async def update(self, project: Project) -> None:
        """Writes what can change of a project that was locked: visibility, settings, version, time."""

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

    async def add(self, project_id: int, user_id: int, role_id: int, now: datetime) -> int | None:
        """Adds a membership and gives its id; None where the user is a member already.

        Raises:
            DomainError: NOT_FOUND; the project or the user was deleted at this moment.
        """

    async def update(self, member: Member) -> None:
        """Writes the role of a membership that was locked."""

    async def remove(self, member: Member) -> None:
        """Ends a membership that was locked."""

    async def roles_of(self, user_id: int, project_ids: Sequence[int]) -> Mapping[int, tuple[int, ...]]:
        """The user's roles in these projects, by project, strongest first. One query."""


class RobotRows(Protocol):
    """The rows of robots and their permissions."""

    async def get(self, robot_id: int) -> Robot | None:
        """Reads a robot."""

    async def lock(self, robot_id: int) -> Robot | None:
        """Reads a robot, locked."""

    async def state(self, robot_id: int) -> RobotState | None:
        """Reads what a robot's log-in depends on."""

    async def credentials(self, project_name: str, name: str) -> tuple[RobotState, str] | None:
        """Reads what a robot's log-in depends on and its secret's hash, by its names."""

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
        permissions: frozenset[Permission],
        now: datetime,
    ) -> int | None:
        """Adds a robot and gives its id; None where the project has one of that name.

        Raises:
            DomainError: NOT_FOUND; the project was deleted at this moment.
        """

    async def update(self, robot: Robot) -> None:
        """Writes what can change of a robot that was locked."""

    async def set_secret(self, robot: Robot, secret_hash: str) -> None:
        """Sets the secret's hash of a robot that was locked, with the version and time of this change."""

    async def remove(self, robot_id: int) -> None:
        """Deletes a robot."""


class FoundProject(NamedTuple):
    """A project, and what one caller may do with it."""

    project_id: int
    project_name: str
    visible: bool
    allowed: bool


class RoleRows(Protocol):
    """Roles, what they allow, and who holds what by them."""

    async def get(self, role_id: int) -> Role | None:
        """Reads a role."""

    async def permissions(self, role_id: int) -> frozenset[Permission]:
        """What a role allows."""

    async def allows(self, role_id: int, permission: Permission) -> bool:
        """Whether a role allows this, by itself or because it allows anything."""

    async def in_project(
        self, caller: Caller, project_id: int | None, project_name: str | None, permission: Permission
    ) -> FoundProject | None:
        """A project by id or by name, and whether the caller may see it and holds the permission in it. One query."""

    async def held(self, caller: Caller, project_id: int) -> frozenset[Permission]:
        """All that the caller may do in a project."""

    async def project_ids(self, caller: Caller, permission: Permission) -> frozenset[int]:
        """The projects in which a caller, who is no administrator, holds the permission. One query."""

    async def repository_actions(
        self, caller: Caller, project_names: Collection[str]
    ) -> Mapping[str, tuple[int, frozenset[str]]]:
        """What the caller may do with the repositories of these projects: id and actions, by name. One query.

        Projects that do not exist, or in which nothing is allowed, are left out.
        """


class InstallationRows(Protocol):
    """The one row that says that the first start is behind us."""

    async def robot_secret_key(self) -> bytes | None:
        """The key of robots' secrets; None before the first start has ended."""

    async def lock(self) -> None:
        """Waits for every other replica that is at its first start."""

    async def add(self, robot_secret_key: bytes, now: datetime) -> None:
        """Says that the first start has ended."""

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
    def installation(self) -> InstallationRows:
        """The first start."""


class UnitOfWork(Unit, Protocol):
    """A unit that writes. Leaving it without a commit rolls back."""

    @property
    def idempotency(self) -> IdempotencyRows:
        """What first calls with an idempotency key have made."""

    def record(self, change: Change) -> None:
        """Has the commit write a change into the change log. A unit that changes nothing records nothing."""

    async def commit(self) -> None:
        """Makes it stay, with what was recorded."""


class Store(Protocol):
    """Gives out units."""

    def read(self) -> AbstractAsyncContextManager[Unit]:
        """A unit that reads."""

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit that writes. No other unit may be begun in it."""

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does a whole unit of work, from its beginning, and does it again where another one was in its way."""

"""The ports of the rows of who can log in, and of groups: users, user groups, robots, refresh tokens.

A row that a `lock…` method returns cannot be changed by others until the unit ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from authsvc.domain.grant import Grant
    from authsvc.domain.model import (
        Caller,
        GroupMember,
        GroupType,
        Identity,
        RefreshToken,
        Robot,
        RobotState,
        User,
        UserGroup,
    )
    from svckit.listing import Selection
    from svckit.log_position import LogPosition
    from svckit.query import Clause
    from svckit.tokens.revocation import Revocation


class UserRows(Protocol):
    """The rows of users."""

    async def get(self, user_id: int) -> User | None:
        """Reads a user."""

    async def lock(self, user_id: int) -> User | None:
        """Reads a user, locked."""

    async def by_name(self, username: str) -> User | None:
        """Reads a user by its login name."""

    async def name_that_begins_with(self, prefix: str) -> str | None:
        """A login name that begins with a text; None without one."""

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

    async def user_ids(self, group_id: int) -> tuple[int, ...]:
        """The ids of all users in a group."""

    async def project_ids(self, group_id: int) -> tuple[int, ...]:
        """The ids of all projects in which a group is a member."""


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


class RefreshTokenRows(Protocol):
    """The rows of refresh tokens."""

    async def by_hash(self, token_hash: str) -> RefreshToken | None:
        """Reads a token by the hash of its text."""

    async def lock(self, token_id: int) -> RefreshToken | None:
        """Reads a token, locked."""

    async def page(self, selection: Selection) -> list[RefreshToken]:
        """Reads a page; clauses name the holder."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def add(
        self,
        *,
        token_hash: str,
        holder: Caller,
        client_id: str,
        service: str,
        address: str,
        now: datetime,
        expire_time: datetime,
    ) -> int:
        """Adds a token and returns its id. It is good for the holder's password or secret of this version.

        Args:
            token_hash: the hash of its text.
            holder: the user or robot.
            client_id: the client that it is given to.
            service: the token service that gives it.
            address: the client's address.
            now: the time.
            expire_time: when it ends, unless it is used before.

        Raises:
            DomainError: UNAUTHORIZED; the holder was deleted at this moment.
        """

    async def note_use(
        self, token_id: int, address: str, now: datetime, expire_time: datetime, every: timedelta
    ) -> None:
        """Writes that a token was used, and when it ends now, unless it was written within the last `every`."""

    async def remove(self, token_id: int) -> None:
        """Deletes a token."""

    async def remove_idle(self, holder: Identity, before: datetime) -> bool:
        """Deletes the token of a holder that was used longest ago. False if all were used since `before`."""

    async def remove_of(self, holder: Identity) -> int:
        """Deletes all tokens of a holder. Returns their number."""

    async def remove_expired(self, now: datetime, most: int) -> int:
        """Deletes tokens that have ended, so many at most. Returns their number."""


class RevocationRows(Protocol):
    """The revocations of registry tokens. `UnitOfWork.revoke` adds them."""

    async def position(self) -> LogPosition:
        """The newest position of the change log."""

    async def behind(self, revision: int) -> tuple[tuple[Revocation, ...], bool]:
        """Reads revocations with a higher revision, the oldest first, and whether there are more."""

    async def remove_older(self, time: datetime, limit: int) -> int:
        """Deletes revocations that were made before a time. Returns how many there were; at most the limit."""

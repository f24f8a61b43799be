"""The entries of a service's change log. The log itself is `svckit.sql.change_log`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from svckit.access.actor import ChangeOrigin

K = TypeVar("K", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[K]):
    """A change that a unit of work has made. It gets its revision at the commit.

    Attributes:
        kind: the kind of change, such as "tag_put". Each service has an enum of its kinds.
        origin: its actor and its request.
        time: when it was made.
        project_id: the project that it belongs to; 0 for none.
        resource_id: the id of the changed repository, project, user, member, robot or role; 0 without one.
        resource_name: the name of the resource: a repository's full name, or the name of a project, user, robot, …. For
            a member, it is the user's name.
        reference: the name of a tag, of a label on an artifact, or the digest of a manifest, within the repository;
            empty for other kinds.
        digest: for tags and manifests, the digest that the reference has (or had, if it was deleted); else empty.
        old: the values before, by field, if fields were set. The writer must leave out secrets.
        new: the values after, in the same form.
    """

    kind: K
    origin: ChangeOrigin
    time: datetime
    project_id: int = 0
    resource_id: int = 0
    resource_name: str = ""
    reference: str = ""
    digest: str = ""
    old: Mapping[str, object] | None = None
    new: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedChange(Generic[K]):
    """A change with its revision. The order of revisions is the order of commits."""

    revision: int
    change: Change[K]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """A position in a change log.

    Attributes:
        epoch: the epoch of the log. It is new after each restore from a backup. Revisions of different epochs cannot be
            compared.
        revision: the revision of the newest change; 0 before the first one.
    """

    epoch: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage(Generic[K]):
    """One page of changes, oldest first.

    Attributes:
        changes: the changes that match.
        position: the position at which the next page begins. If newer changes did not match, its revision is higher
            than that of the last change.
    """

    changes: tuple[CommittedChange[K], ...]
    position: LogPosition

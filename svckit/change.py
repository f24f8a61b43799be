"""Changes, as a service's change log keeps them. The log itself is `svckit.sql.change_log`."""

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
    """Something that a unit of work changed. The commit gives it its revision.

    Attributes:
        kind: what happened to what, such as "tag_put"; each service has an enum of its kinds.
        origin: who caused it, and by which request.
        time: when.
        project_id: the project that it belongs to; 0 for none.
        resource_id: what was changed: the id of a repository, project, user, member, robot or role; 0 without one.
        resource_name: its name: a repository's in full, a project's, a user's, a robot's, …; for a member, the user's.
        reference: of tags the tag, of manifests the digest, within the repository; else empty.
        digest: of tags and manifests, what the reference names (named, where it was deleted); else empty.
        old: what was set before, by field, where fields were set; without secrets, which the writer leaves out.
        new: what is set now, likewise.
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
    """A change with its revision: the order of revisions is the order of commits."""

    revision: int
    change: Change[K]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """Where a log stands.

    Attributes:
        epoch: new after each restore from a backup. Revisions of two epochs cannot be compared.
        revision: of the newest change; 0 before the first.
    """

    epoch: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage(Generic[K]):
    """Some changes, oldest first.

    Attributes:
        changes: those that match.
        position: where to go on. Its revision lies behind the last of `changes` where the newer ones did not match.
    """

    changes: tuple[CommittedChange[K], ...]
    position: LogPosition

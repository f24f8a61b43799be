"""The entries of a service's change log. The log itself is `svckit.sql.change_log`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import orjson

from svckit.errors import Invalid
from svckit.log_position import LogPosition as LogPosition  # noqa: PLC0414 - readers of logs import it from here

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from svckit.access.actor import ChangeOrigin

K = TypeVar("K", bound=StrEnum)

_FIXED_BYTES = 300


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
class ChangeFilter(Generic[K]):
    """Which changes a reader wants.

    Attributes:
        kinds: only these kinds; None for all.
        project_id: only changes of this project; None for all.
        resource_name: only changes of resources of this name; None for all. Names are unique within a kind of resource,
            so `kinds` must go with it.
    """

    kinds: AbstractSet[K] | None = None
    project_id: int | None = None
    resource_name: str | None = None

    def matches(self, change: Change[K]) -> bool:
        """Whether the reader wants this change."""
        return (
            (self.project_id is None or change.project_id == self.project_id)
            and (self.kinds is None or change.kind in self.kinds)
            and (self.resource_name is None or change.resource_name == self.resource_name)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage(Generic[K]):
    """One page of changes, oldest first.

    Attributes:
        changes: the changes that match.
        position: the position at which the next page begins. If newer changes did not match, its revision is higher
            than that of the last change.
        newest: the newest revision of the log.
        compacted_to: the changes up to this revision are deleted.
    """

    changes: tuple[CommittedChange[K], ...]
    position: LogPosition
    newest: int
    compacted_to: int

    @property
    def has_more(self) -> bool:
        """Whether the log goes on behind this page."""
        return self.position.revision < self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A named position, which a service keeps so that compaction does not overtake it.

    Attributes:
        name: its name.
        position: what its holder has read.
        holder: the service that keeps it.
        put_time: when the holder put it last.
    """

    name: str
    position: LogPosition
    holder: str
    put_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """The state of a log.

    Attributes:
        epoch: its epoch.
        newest: its newest revision.
        compacted_to: the changes up to this revision are deleted.
    """

    epoch: str
    newest: int
    compacted_to: int

    @property
    def position(self) -> LogPosition:
        """The newest position."""
        return LogPosition(epoch=self.epoch, revision=self.newest)

    @property
    def oldest(self) -> LogPosition:
        """The position before the oldest change that is kept."""
        return LogPosition(epoch=self.epoch, revision=self.compacted_to)

    def lag(self, position: LogPosition) -> int:
        """How many changes lie behind a position; 0 for one of another epoch, whose reader begins anew in any case."""
        return max(0, self.newest - position.revision) if position.epoch == self.epoch else 0

    def check(self, position: LogPosition) -> None:
        """Raises unless a reader can go on from a position.

        Raises:
            DomainError: EPOCH_MISMATCH if the log was restored from a backup; REVISION_COMPACTED if changes behind the
                position were deleted; REVISION_AHEAD if the log has no such revision yet.
        """
        if position.epoch != self.epoch:
            raise Invalid("EPOCH_MISMATCH", metadata={"epoch": self.epoch})
        if position.revision < self.compacted_to:
            raise Invalid("REVISION_COMPACTED", metadata={"oldest_revision": str(self.compacted_to)})
        if position.revision > self.newest:
            raise Invalid("REVISION_AHEAD", metadata={"newest_revision": str(self.newest)})


def byte_estimate(committed: CommittedChange[K]) -> int:
    """About how many bytes a change has as a message. What is counted in full are the parts that can be large."""
    change = committed.change
    fields = sum(len(orjson.dumps(part, default=str)) for part in (change.old, change.new) if part is not None)
    return _FIXED_BYTES + fields + len(change.resource_name) + len(change.reference) + len(change.digest)

"""The rows that a recount of quotas compares and corrects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from metasvc.domain.model import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeDifference:
    """A digest whose uses in a project were counted wrong.

    Attributes:
        digest: the digest.
        old_count: how often it was counted; 0 if the project was not charged for it.
        new_count: how many charged links and manifests there are. At 0, the project is no longer charged for it.
        old_size: the bytes that were charged; 0 if it was not charged.
        new_size: the bytes that are charged now.
    """

    digest: str
    old_count: int
    new_count: int
    old_size: int
    new_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedUsage:
    """The usage of a project, by its own row and by its charges, in one state of the database.

    Attributes:
        used_bytes: what the row of the project says.
        charged_bytes: the sizes of all its charged digests.
    """

    used_bytes: int
    charged_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRange:
    """A range of the digests for which a project is charged.

    Attributes:
        after: the digest before the range; empty for the beginning.
        last: the last digest; None for all up to the end.
        digest_count: how many charged digests it has.
    """

    after: str
    last: str | None
    digest_count: int


class QuotaRecountRows(Protocol):
    """The rows that a recount compares and corrects."""

    async def next_project(self, after_id: int) -> Project | None:
        """The active project with the next greater id."""

    async def remaining(self, from_id: int) -> int:
        """How many active projects have this id or a greater one."""

    async def range_after(self, project_id: int, digest: str, limit: int) -> ChargeRange:
        """The range of so many charged digests after this one."""

    async def differences(self, project_id: int, charges: ChargeRange, limit: int) -> list[ChargeDifference]:
        """What is counted wrong in a range, by digest. It locks nothing."""

    async def usage(self, project_id: int) -> CountedUsage:
        """The usage of a project. It locks nothing."""

    async def correct(self, project_id: int, digests: Sequence[str]) -> list[ChargeDifference]:
        """Counts the uses of digests anew, and writes what was wrong. Others that charge them wait until the commit.

        Returns:
            What was wrong, by digest.
        """

    async def correct_usage(self, project_id: int, now: datetime) -> CountedUsage:
        """Sets the usage of a project to the sizes of its charges. Pushes that change its usage wait until the commit.

        Returns:
            The old usage and the new one.
        """

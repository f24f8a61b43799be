"""Lists of vulnerabilities that a project, or the whole system, accepts. They are stored and shown, not yet checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from svckit.errors import FieldViolation, Invalid

if TYPE_CHECKING:
    from datetime import datetime

SYSTEM = 0
"""The `project_id` of the list of the system."""


@dataclass(frozen=True, slots=True)
class CveAllowlist:
    """A list.

    Attributes:
        cve_ids: the vulnerabilities, in the order in which they were given.
        expire_time_unix_seconds: when the list ends to count; None for never.
        create_time: when it was first set; None if it never was. `update_time` is when it was last set.
    """

    cve_ids: tuple[str, ...] = ()
    expire_time_unix_seconds: int | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None

    def says_the_same(self, other: CveAllowlist) -> bool:
        """Whether both accept the same for the same time."""
        return (self.cve_ids, self.expire_time_unix_seconds) == (other.cve_ids, other.expire_time_unix_seconds)

    def dated(self, before: CveAllowlist, now: datetime) -> CveAllowlist:
        """This list as it takes the place of another one."""
        if self.says_the_same(before):
            return before
        return replace(self, create_time=before.create_time or now, update_time=now)


NOTHING = CveAllowlist()
"""The list of a project, or of the system, until one is set."""


def parse_allowlist(
    cve_ids: Sequence[str], expire_time_unix_seconds: int | None, *, stated_project_id: int, project_id: int
) -> CveAllowlist:
    """Reads a list. The ids themselves are bounded by the contract.

    Args:
        cve_ids: the vulnerabilities.
        expire_time_unix_seconds: when the list ends to count; None for never.
        stated_project_id: what the list says whose it is; 0 if it does not say.
        project_id: whose it is; 0 for the system, and for a project that is being created.

    Raises:
        DomainError: BAD_REQUEST; it is another project's, or an id is listed twice.
    """
    if stated_project_id not in (0, project_id):
        _refuse("project_id", f"must be {project_id} but it's {stated_project_id}")
    if len(set(cve_ids)) < len(cve_ids):
        _refuse("items", "holds an id twice")
    return CveAllowlist(tuple(cve_ids), expire_time_unix_seconds)


def _refuse(field: str, description: str) -> NoReturn:
    raise Invalid(
        message=f"{field} in cve_allowlist {description}",
        violations=[FieldViolation(f"cve_allowlist.{field}", description)],
    )

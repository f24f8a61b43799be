"""Numbers of projects and repositories, as Harbor counts them for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from metasvc.domain.lists import Lists
    from metasvc.domain.ports import Ports


@dataclass(frozen=True, slots=True)
class Statistic:
    """What one caller sees. The totals are 0 unless the caller is an administrator."""

    private_projects: int
    private_repositories: int
    public_projects: int
    public_repositories: int
    total_projects: int = 0
    total_repositories: int = 0
    total_storage_bytes: int = 0


async def get_statistics(ports: Ports, *, is_user: bool) -> Statistic:
    """Counts projects and repositories.

    Args:
        ports: the ports of metasvc.
        is_user: whether the caller is a user. A robot has no private projects and sees no totals, as in Harbor.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone. UNAVAILABLE; authsvc cannot be asked.
    """
    public = (await ports.visible.public()).project_ids
    # Asked for robots as well: this refuses one that is disabled or has expired.
    visible = await ports.visible.listable()
    total_projects = await ports.visible.project_count() if is_user and visible.all else 0
    async with ports.store.lists() as lists:
        public_repositories = await _repositories(lists, public)
        if not is_user:
            return Statistic(0, 0, len(public), public_repositories)
        if visible.all:
            total = await lists.repositories.count(None, ())
            return Statistic(
                # What is public was asked first. It may have been deleted since.
                private_projects=max(total_projects - len(public), 0),
                private_repositories=max(total - public_repositories, 0),
                public_projects=len(public),
                public_repositories=public_repositories,
                total_projects=total_projects,
                total_repositories=total,
                total_storage_bytes=await lists.stored_bytes(),
            )
        private = visible.project_ids - public
        return Statistic(len(private), await _repositories(lists, private), len(public), public_repositories)


async def _repositories(lists: Lists, projects: AbstractSet[int]) -> int:
    return await lists.repositories.count(projects, ()) if projects else 0

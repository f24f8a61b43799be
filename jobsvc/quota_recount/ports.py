"""What the handler of the recount needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobsvc.quota_recount.domain import Step


class Recounter(Protocol):
    """Counts anew, step by step."""

    async def step(self, *, project_id: int, dry_run: bool, page_token: str) -> Step:
        """Looks at the next digests, and corrects what differs.

        Args:
            project_id: the only project; 0 for all.
            dry_run: whether differences are only reported.
            page_token: of the last step; empty for the first one.

        Raises:
            DomainError: PROJECT_UNKNOWN, UNAVAILABLE; also others.
        """

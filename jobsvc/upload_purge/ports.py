"""What the handler of the purge needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobsvc.upload_purge.domain import ExpiredPage


class Purger(Protocol):
    """Ends expired uploads."""

    async def purge(self, *, dry_run: bool, page_token: str) -> ExpiredPage:
        """Ends a page of them.

        Args:
            dry_run: only list them.
            page_token: of the last page; empty for the first one.

        Raises:
            DomainError: UNAVAILABLE; also others.
        """

"""What the handler of the compaction needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobsvc.change_log_compaction.domain import Compacted


class CompactedLog(Protocol):
    """The change log of one service."""

    @property
    def service(self) -> str:
        """The name of the service."""

    async def compact(self) -> Compacted:
        """Deletes a bounded number of changes that nobody needs any more.

        Raises:
            DomainError: UNAVAILABLE; also others.
        """

"""What the handler of the sweep needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobsvc.execution_sweep.domain import Swept


class Sweeper(Protocol):
    """Deletes what is not kept."""

    async def sweep(self) -> Swept:
        """Deletes a batch, and says what it was. Nothing, if nothing is left.

        Raises:
            DomainError: UNAVAILABLE; also others.
        """

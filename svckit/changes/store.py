"""The port of a change log and its cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from svckit.change import K

if TYPE_CHECKING:
    from datetime import datetime

    from svckit.change import ChangeFilter, ChangePage, Cursor, LogPosition, LogState


class ChangeStore(Protocol[K]):
    """A change log with its cursors. Every method is a unit of work of its own."""

    async def state(self) -> LogState:
        """The state of the log."""

    async def read(self, after: LogPosition, *, limit: int = 0, wanted: ChangeFilter[K] | None = None) -> ChangePage[K]:
        """Reads one page of changes. A page may have none although there are more.

        Raises:
            DomainError: EPOCH_MISMATCH, REVISION_COMPACTED, REVISION_AHEAD.
        """

    async def time_of(self, revision: int) -> datetime | None:
        """When the change with this revision was made; None if there is none."""

    async def delete_up_to(self, revision: int) -> int:
        """Deletes the changes up to a revision, in one transaction. Returns how many there were."""

    async def cursors(self) -> list[Cursor]:
        """All cursors, by name. There are `MOST_CURSORS` at most."""

    async def cursor(self, name: str) -> Cursor | None:
        """The cursor of that name."""

    async def put_cursor(self, cursor: Cursor) -> Cursor:
        """Puts a cursor. Within an epoch, it does not go back.

        Returns:
            The cursor as it is now.

        Raises:
            DomainError: CONFLICT, another service keeps a cursor of this name; PRECONDITION, there are too many; the
                errors of `read` for its position.
        """

    async def delete_cursor(self, name: str) -> bool:
        """Deletes a cursor. Returns whether there was one."""


MOST_CURSORS = 100
"""The most cursors of one log, so that each list of them is short."""

"""What a read writes before it is answered, such as a later date for a review (`domain.review`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from svckit.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork


Result = TypeVar("Result")


async def unless_disk_is_full(write: Callable[[], Awaitable[Result]]) -> Result | None:
    """Writes what a read has to write before it is answered; None if the disk is full.

    Reads go on while the disk is full. The push that a read may belong to is refused anyway.
    """
    try:
        return await write()
    except DomainError as error:
        if error.reason != "STORAGE_FULL":
            raise
        return None


async def write_for_read(ports: Ports, write: Callable[[UnitOfWork], Awaitable[None]]) -> None:
    """Writes what a read has to write before it is answered. On a full disk, nothing is written.

    Args:
        ports: the ports of metasvc.
        write: what is written, in a short unit (`domain.unit.Store.write`). It is committed afterwards.

    Raises:
        DomainError: UNAVAILABLE.
    """

    async def attempt() -> None:
        async with ports.store.write(short=True) as unit:
            await write(unit)
            await unit.commit()

    await unless_disk_is_full(lambda: ports.store.repeat(attempt))

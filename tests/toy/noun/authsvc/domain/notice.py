"""What the administrators tell everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.errors import Invalid, NotFound

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Notice


async def create_notice(ports: Ports, text: str) -> Notice:
    """Writes a notice. Whether the caller may is judged before.

    Raises:
        DomainError: BAD_REQUEST; it says nothing.
    """
    if not text.strip():
        raise Invalid(message="a notice says something")

    async def work() -> Notice:
        async with ports.store.write() as unit:
            notice = await unit.notices.add(text, ports.clock())
            await unit.commit()
            return notice

    return await ports.store.repeat(work)


async def get_notice(ports: Ports, notice_id: int) -> Notice:
    """Reads a notice.

    Raises:
        DomainError: NOT_FOUND.
    """
    async with ports.store.read() as unit:
        notice = await unit.notices.get(notice_id)
    if notice is None:
        raise NotFound
    return notice

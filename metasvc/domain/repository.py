"""Repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metasvc.domain.ports import Store

CATALOG_PAGE_SIZE = 100
MAX_CATALOG_PAGE_SIZE = 1000


async def list_catalog(store: Store, *, start_after: str, page_size: int) -> tuple[list[str], bool]:
    """Lists the full names of all repositories, sorted by their bytes: Docker's `_catalog`.

    Args:
        store: where the repositories are.
        start_after: only names that sort after this one.
        page_size: how many; `CATALOG_PAGE_SIZE` where it is 0, `MAX_CATALOG_PAGE_SIZE` at most.

    Returns:
        The names, and whether more follow.
    """
    limit = min(page_size or CATALOG_PAGE_SIZE, MAX_CATALOG_PAGE_SIZE)
    async with store.read() as unit:
        names = await unit.repositories.catalog(start_after, limit + 1)
    return names[:limit], len(names) > limit

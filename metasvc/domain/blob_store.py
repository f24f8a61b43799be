"""The blob store that this database belongs to.

If blobsvc starts while its disk is not mounted, it finds an empty folder and makes a new store there. Then every blob
would seem to be missing, and would be quarantined. So metasvc remembers the id of the store, and believes no other one.
If an operator replaces the store on purpose, metasvc is started once with `adopt_blob_store`, and forgets the old id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.errors import Unavailable

if TYPE_CHECKING:
    from metasvc.domain.ports import Ports


class OtherStoreError(Unavailable):
    """blobsvc has another store than the one that holds the blobs of this database."""

    def __init__(self) -> None:
        """Says what operators have to look for."""
        super().__init__(message="the blob store is not the one that holds the blobs of this registry")


async def require_store(ports: Ports, store_id: str) -> None:
    """Checks that blobsvc speaks of the right store. The first store that it ever speaks of is the right one.

    Raises:
        OtherStoreError: it speaks of another one.
    """
    if store_id == ports.store_memory.store_id:
        return

    async def attempt() -> str:
        async with ports.store.write() as unit:
            known = await unit.blobs.store_id(store_id)
            await unit.commit()
            return known

    known = await ports.store.repeat(attempt)
    if known != store_id:
        ports.blob_log.other_store(known, store_id)
        raise OtherStoreError
    ports.store_memory.store_id = known


async def forget_store(ports: Ports) -> None:
    """Forgets the known store, so that the next one that blobsvc speaks of is the right one.

    Blobs that the new store lacks are then found missing when somebody needs them.

    Raises:
        DomainError: UNAVAILABLE, STORAGE_FULL.
    """

    async def attempt() -> str | None:
        async with ports.store.write() as unit:
            known = await unit.blobs.forget_store()
            await unit.commit()
            return known

    known = await ports.store.repeat(attempt)
    ports.store_memory.store_id = None
    if known is not None:
        ports.blob_log.forgotten_store(known)

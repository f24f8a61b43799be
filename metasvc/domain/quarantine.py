"""Quarantine: a damaged generation is no longer served, and the next push of the digest replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.blob_store import require_store
from metasvc.domain.model import BlobKey, BlobState
from metasvc.domain.read_note import unless_disk_is_full

if TYPE_CHECKING:
    from metasvc.domain.blob_health import Health
    from metasvc.domain.ports import Ports
    from svckit.tokens import Damage, Finding


async def quarantine_blob(ports: Ports, key: BlobKey, damage: Damage, found_by: str) -> bool:
    """Quarantines a generation that blobsvc has found damaged, if it is the live one.

    Args:
        ports: the ports of metasvc.
        key: the damaged generation.
        damage: what is wrong with it.
        found_by: what has found it, for the log: "read", "mount", "manifest", "link", "copy", "addition".

    Returns:
        Whether it was live. A generation that was replaced in the meantime needs no quarantine.
    """

    async def attempt() -> bool:
        async with ports.store.write() as unit:
            held = await unit.blobs.lock_any(key.digest)
            if held is None or held.key != key or held.state is not BlobState.LIVE:
                return False
            await unit.blobs.quarantine(key.digest, ports.clock())
            await unit.commit()
            return True

    was_live = await ports.store.repeat(attempt)
    if was_live:
        ports.blob_log.damaged(key, damage, found_by)
    return was_live


async def quarantine_damaged(ports: Ports, health: Health, found_by: str) -> None:
    """Quarantines all blobs that were found damaged."""
    for blob, damage in health.damaged:
        await quarantine_blob(ports, blob.key, damage, found_by)


async def quarantine_found(ports: Ports, finding: Finding) -> bool:
    """Quarantines what a read has found damaged.

    Returns:
        Whether it was live, and is quarantined now. On a full disk nothing is written. The next read finds it again.

    Raises:
        DomainError: UNAVAILABLE; the finding is about another store than the one that holds the blobs.
    """

    async def quarantine() -> bool:
        await require_store(ports, finding.store_id)
        return await quarantine_blob(ports, BlobKey(finding.digest, finding.generation), finding.damage, "read")

    return bool(await unless_disk_is_full(quarantine))

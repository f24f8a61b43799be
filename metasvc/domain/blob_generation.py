"""Which generation of a digest is live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.blob_health import OtherGenerationError
from metasvc.domain.model import BlobState
from metasvc.domain.tombstone import TombstoneReason, write_tombstone
from svckit.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from metasvc.domain.blob_health import Health
    from metasvc.domain.model import Blob
    from metasvc.domain.unit import UnitOfWork


async def choose_generation(unit: UnitOfWork, uploaded: Blob, health: Health, now: datetime) -> Blob | None:
    """Decides which generation of a digest is live after an upload, and locks it against deletion.

    A live and healthy generation stays, and the uploaded one is surplus. If the digest is new, or its generation is
    damaged, condemned or quarantined, the uploaded generation becomes the live one. So a push repairs damaged blobs,
    and never waits for garbage collection.

    Args:
        unit: the unit of work.
        uploaded: the generation that was uploaded.
        health: what blobsvc has stated about the live generation.
        now: the time.

    Returns:
        The damaged generation that was live and is replaced; None if there was none.

    Raises:
        OtherGenerationError: another generation is live than blobsvc was asked about.
        DomainError: BLOB_UPLOAD_UNKNOWN; the uploaded generation is damaged, or will be deleted, and no other one is
            live. The client has to upload the bytes again.
    """
    digest = uploaded.digest
    if health.is_healthy(digest):
        # A shared lock, so that pushes of the same layer into many repositories do not wait for each other.
        live = await unit.blobs.lock_live(digest)
        if live is None:
            raise OtherGenerationError
        health.require(live.key)
        if live.generation != uploaded.generation:
            await write_tombstone(unit, uploaded.key, TombstoneReason.SURPLUS, now, was_live=False)
        return None
    await unit.blobs.lock_digest(digest)
    held = await unit.blobs.lock_any(digest)
    if held is not None and held.state is BlobState.LIVE:
        health.require(held.key)
    if (held is not None and held.generation == uploaded.generation) or await unit.tombstones.has(uploaded.key):
        raise NotFound("BLOB_UPLOAD_UNKNOWN", f"the bytes of {digest} are gone; upload them again")
    if held is None:
        await unit.blobs.add(uploaded, now)
        return None
    await unit.blobs.adopt(uploaded, now)
    # Also for a condemned one: garbage collection may have stopped before it deleted the bytes.
    await write_tombstone(unit, held.key, TombstoneReason.REPLACED, now, was_live=True)
    return held if held.state is BlobState.LIVE else None

"""Tombstones: generations that will never be live again, and are deleted.

A tombstone is committed before its generation is deleted, and only for a generation that is not live. A generation with
a tombstone never becomes live. So no delete can hit bytes that somebody relies on, whatever comes late or twice.

Tombstones stay after the deletion until no receipt for their generation can be valid any more, because a late receipt
must not make deleted bytes live.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from metasvc.domain.model import BlobState
from svckit.tokens import Grant, Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from metasvc.domain.model import BlobKey
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork

UNLINKED_AFTER = timedelta(hours=2)
"""After this time nobody can link a finished upload any more: a receipt is valid for an hour, and a repeated finish
does not extend it."""

# Readers may hold a grant for a generation that was live.
_READ_BEFORE_DELETE = timedelta(seconds=(Grant.lifetime_seconds or 300) + 60)
# Longer than any receipt that was signed before the tombstone was written, also if clocks differ.
_KEPT = timedelta(seconds=2 * (Receipt.lifetime_seconds or 3600))
# How soon a deletion is tried again after a failure, by this process or by another one.
_RETRY_AFTER = timedelta(seconds=30)
# A claim. Its deletions run at the same time.
_DELETED_AT_ONCE = 16
# Old rows that one round removes.
_FORGOTTEN_AT_ONCE = 500


class TombstoneReason(StrEnum):
    """Why a generation is deleted."""

    SURPLUS = "surplus"
    REFUSED = "refused"
    REPLACED = "replaced"
    UNLINKED = "unlinked"


async def write_tombstone(
    unit: UnitOfWork, key: BlobKey, reason: TombstoneReason, now: datetime, *, was_live: bool
) -> None:
    """Writes the tombstone of a generation that is not live.

    The caller has locked the digest (`BlobRows.lock_digest`) or its live row, so that the generation does not become
    live in another unit of work.

    Args:
        unit: the unit of work.
        key: the generation.
        reason: why it is deleted.
        now: the time.
        was_live: whether it was live before. Then it is deleted only when no grant for it can be valid.
    """
    wait = _READ_BEFORE_DELETE if was_live else timedelta()
    await unit.tombstones.add(key, reason.value, now + wait, now)


async def add_tombstones(ports: Ports, keys: Sequence[BlobKey], reason: TombstoneReason) -> None:
    """Writes the tombstones of those generations that are not live, in a unit of their own."""

    async def attempt() -> None:
        async with ports.store.write() as unit:
            now = ports.clock()
            for key in sorted(keys):
                await unit.blobs.lock_digest(key.digest)
                held = await unit.blobs.lock_any(key.digest)
                # A row that is not live any more: it is quarantined or condemned.
                was_live = held is not None and held.key == key
                if held is None or not was_live or held.state is not BlobState.LIVE:
                    await write_tombstone(unit, key, reason, now, was_live=was_live)
            await unit.commit()

    await ports.store.repeat(attempt)


async def delete_generations(ports: Ports) -> None:
    """Deletes the generations whose tombstones are due, and forgets old tombstones.

    A deletion is repeated until blobsvc has confirmed it. Several processes may do this at once.

    Raises:
        DomainError: UNAVAILABLE; blobsvc cannot be reached.
    """
    while keys := await _claim(ports):
        # One that cannot be deleted must not keep back the others.
        ends = await asyncio.gather(*(ports.bytes.delete(key) for key in keys), return_exceptions=True)
        if deleted := [key for key, end in zip(keys, ends, strict=True) if end is None]:
            await ports.bytes.settle(deleted)
            await _note_deleted(ports, deleted)
            ports.blob_log.deleted(len(deleted))
        for end in ends:
            if end is not None:
                raise end


async def _claim(ports: Ports) -> list[BlobKey]:
    # A unit that reads comes first, because on SQLite an idle loop must not wait for writers.
    now = ports.clock()
    async with ports.store.read() as unit:
        if not await unit.tombstones.any_to_do(now, now - _KEPT):
            return []

    async def attempt() -> list[BlobKey]:
        async with ports.store.write() as unit:
            await unit.tombstones.forget(now - _KEPT, _FORGOTTEN_AT_ONCE)
            keys = await unit.tombstones.claim(now, now + _RETRY_AFTER, _DELETED_AT_ONCE)
            await unit.commit()
            return keys

    return await ports.store.repeat(attempt)


async def _note_deleted(ports: Ports, keys: Sequence[BlobKey]) -> None:
    async def attempt() -> None:
        async with ports.store.write() as unit:
            await unit.tombstones.mark_deleted(keys, ports.clock())
            await unit.commit()

    await ports.store.repeat(attempt)


async def delete_unlinked(ports: Ports) -> None:
    """Finds finished uploads that nobody has linked in time, such as after a crash between finish and link.

    Those that are live are settled: metasvc has linked them, and died before it told blobsvc.

    Raises:
        DomainError: UNAVAILABLE; blobsvc cannot be reached.
    """
    page_token = ""
    while True:
        page = await ports.bytes.unlinked(ports.clock() - UNLINKED_AFTER, page_token)
        if page.keys:
            await add_tombstones(ports, page.keys, TombstoneReason.UNLINKED)
            await ports.bytes.settle(page.keys)
        page_token = page.next_page_token
        if not page_token:
            return

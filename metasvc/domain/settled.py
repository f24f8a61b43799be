"""Tells blobsvc which finished uploads are linked or will be deleted, so that they no longer count as unlinked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metasvc.domain.model import BlobKey

# What is lost here is found again: blobsvc lists uploads that stay unsettled.
_MOST_REMEMBERED = 10_000
_TOLD_AT_ONCE = 1000


class Settling(Protocol):
    """The part of `domain.ports.BlobBytes` that this needs."""

    async def settle(self, keys: Sequence[BlobKey]) -> None:
        """Tells blobsvc that these generations are linked or will be deleted."""


class SettledGenerations:
    """Collects generations and tells blobsvc in batches, so that a push does not wait for it."""

    def __init__(self, blobs: Settling) -> None:
        """Takes blobsvc."""
        self._blobs = blobs
        self._keys: dict[BlobKey, None] = {}

    def note(self, key: BlobKey) -> None:
        """Adds a generation, after the commit that decided about it."""
        if len(self._keys) < _MOST_REMEMBERED:
            self._keys[key] = None

    async def flush(self) -> None:
        """Tells blobsvc about all generations since the last call.

        Raises:
            DomainError: UNAVAILABLE. The generations are kept for the next call.
        """
        while self._keys:
            keys = list(self._keys)[:_TOLD_AT_ONCE]
            await self._blobs.settle(keys)
            for key in keys:
                self._keys.pop(key, None)

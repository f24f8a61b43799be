"""Pulls of manifests: one at a time, or many at once with one query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from metasvc.domain.model import StoredManifest
from metasvc.domain.read_note import write_for_read
from metasvc.domain.review import must_note_head, note_head
from svckit.alone import AloneBecause, ComeAlone
from svckit.errors import DomainError, NotFound
from svckit.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from metasvc.domain.model import WantedManifest
    from metasvc.domain.ports import Ports

LARGEST_IN_BATCH_BYTES = 32 * 1024
"""The largest manifest whose bytes a batch carries: an image with a hundred layers has 20 KiB. So the query of a full
batch reads at most 2 MiB, and the answer fits into a message. Alone, a larger one is read once its memory counts."""


async def resolve_manifest(ports: Ports, wanted: WantedManifest, hold: Callable[[int], None]) -> StoredManifest:
    """Finds the manifest that a tag or digest names, with or without its bytes. One query, two for a large manifest.

    Without its bytes, it is a HEAD: the caller may be about to push something that relies on the manifest. So this is
    noted (`domain.review`) if a deletion or garbage collection could remove it meanwhile.

    Args:
        ports: the ports.
        wanted: what is asked for.
        hold: counts memory for the call. It is called with the size of a large manifest, before that is read.

    Raises:
        DomainError: MANIFEST_UNKNOWN; what `hold` raises if there is no memory.
    """

    async def find(wanted: WantedManifest, content_bytes: int | None) -> StoredManifest:
        async with ports.store.read() as unit:
            (found,) = await unit.artifacts.find_manifests([wanted], content_bytes=content_bytes)
        if found is None:
            raise unknown_manifest(wanted.reference)
        return found

    found = await find(wanted, LARGEST_IN_BATCH_BYTES)
    if not wanted.content:
        now = ports.clock()
        if must_note_head(found, ports.review_policy, now):
            await write_for_read(ports, lambda unit: note_head(unit, found, ports.review_policy, now))
            # It may have been deleted before the HEAD was noted.
            found = await find(wanted, LARGEST_IN_BATCH_BYTES)
    elif found.content is None and found.digest != wanted.held_digest:
        hold(found.size)
        # By its digest: the tag may have been moved to a larger manifest.
        found = await find(replace(wanted, reference=Reference.parse(found.digest)), None)
    return found


async def resolve_manifests(
    ports: Ports, wanted: Sequence[WantedManifest]
) -> list[StoredManifest | DomainError | ComeAlone]:
    """Finds many manifests as `resolve_manifest` does, for callers who do not know of each other. One query for all.

    What the query alone does not answer must come alone: a HEAD that has to be noted, and a large manifest.
    """
    found = await ports.store.find_manifests(wanted, content_bytes=LARGEST_IN_BATCH_BYTES)
    return [_outcome(ports, each, one) for each, one in zip(wanted, found, strict=True)]


def _outcome(
    ports: Ports, wanted: WantedManifest, found: StoredManifest | None
) -> StoredManifest | DomainError | ComeAlone:
    if found is None:
        return unknown_manifest(wanted.reference)
    if wanted.content:
        is_missing = found.content is None and found.digest != wanted.held_digest
        return ComeAlone(AloneBecause.SIZE) if is_missing else found
    if must_note_head(found, ports.review_policy, ports.clock()):
        return ComeAlone(AloneBecause.WRITE)
    return found


def unknown_manifest(reference: Reference) -> NotFound:
    """The error for a tag or digest that does not exist."""
    return NotFound("MANIFEST_UNKNOWN", f"manifest {reference} is not known", metadata={"reference": str(reference)})

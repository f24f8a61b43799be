"""Reads of blobs: which repository serves which bytes, for one caller or for many at once with one query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.read_note import write_for_read
from metasvc.domain.review import postpone_blob
from svckit.alone import AloneBecause, ComeAlone
from svckit.errors import DomainError, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metasvc.domain.model import ServedBlob, WantedBlob
    from metasvc.domain.ports import Ports


async def resolve_blob(ports: Ports, wanted: WantedBlob) -> ServedBlob:
    """Finds a blob that a repository serves. One query, unless the blob's review is near. Then the review is postponed.

    Raises:
        DomainError: BLOB_UNKNOWN.
    """

    async def find() -> ServedBlob:
        async with ports.store.read(short=True) as unit:
            (served,) = await unit.blobs.find_served([wanted])
        if served is None:
            raise _unknown(wanted)
        return served

    served = await find()
    now = ports.clock()
    if ports.review_policy.is_near(served.review_due_time, now):
        await write_for_read(ports, lambda unit: postpone_blob(unit, wanted.digest, ports.review_policy, now))
        # The blob may have been condemned before its review was postponed.
        served = await find()
    return served


async def resolve_blobs(ports: Ports, wanted: Sequence[WantedBlob]) -> list[ServedBlob | DomainError | ComeAlone]:
    """Finds many blobs as `resolve_blob` does, for callers who do not know of each other. One query for all.

    A blob whose review has to be postponed must come alone.
    """
    found = await ports.store.find_served(wanted)
    return [_outcome(ports, each, served) for each, served in zip(wanted, found, strict=True)]


def _outcome(ports: Ports, wanted: WantedBlob, served: ServedBlob | None) -> ServedBlob | DomainError | ComeAlone:
    if served is None:
        return _unknown(wanted)
    if ports.review_policy.is_near(served.review_due_time, ports.clock()):
        return ComeAlone(AloneBecause.WRITE)
    return served


def _unknown(wanted: WantedBlob) -> NotFound:
    return NotFound("BLOB_UNKNOWN", metadata={"digest": wanted.digest})

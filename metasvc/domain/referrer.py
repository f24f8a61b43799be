"""What refers to a manifest (distribution-spec, "Listing Referrers").

Whatever is pushed with a subject is a referrer from then on, whether or not its client also keeps the fallback tag
(`sha256-<hex>`): so there is nothing to absorb from such an index but its children, which had to be here before it. An
index's word alone makes no referrer: the spec wants those with a valid subject field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metasvc.domain.model import Referrer
    from metasvc.domain.ports import Ports

MAX_PAGE_SIZE = 1000


async def list_referrers(
    ports: Ports, *, project_id: int, repository: str, subject: str, artifact_type: str, after: int, page_size: int
) -> tuple[list[Referrer], int]:
    """Lists what refers to a digest, oldest first. Neither it nor the repository need exist.

    Args:
        ports: the store.
        project_id: of the repository.
        repository: its full name.
        subject: the digest.
        artifact_type: only these; '' for all.
        after: where the last page ended; 0 for the first one.
        page_size: how many; `MAX_PAGE_SIZE` at most, and where it is 0.

    Returns:
        The referrers, and where the next page goes on; 0 where there is none.
    """
    limit = min(page_size or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    async with ports.store.read() as unit:
        found = await unit.artifacts.referrers(project_id, repository, subject, artifact_type, after, limit + 1)
    if len(found) <= limit:
        return found, 0
    return found[:limit], found[limit - 1].artifact_id

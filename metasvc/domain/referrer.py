"""What refers to a manifest (distribution-spec, "Listing Referrers").

Whatever is pushed with a subject is a referrer from then on, whether or not its client also keeps the fallback tag
(`sha256-<hex>`): so there is nothing to absorb from such an index but its children, which had to be here before it. An
index's word alone makes no referrer: the spec wants those with a valid subject field.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from svckit.listing import Listing, SortKey
from svckit.query import Order

if TYPE_CHECKING:
    from metasvc.domain.model import Referrer
    from metasvc.domain.ports import Ports
    from svckit.listing import ListRequest, Page

MAX_PAGE_SIZE = 1000

REFERRERS: Listing[Referrer] = Listing(
    "referrers",
    MappingProxyType({"artifact_id": SortKey(int, lambda row: row.artifact_id)}),
    (Order("artifact_id"),),
    unique_key="artifact_id",
    # Most clients ask for no page, and few follow the link to a second one.
    default_page_size=MAX_PAGE_SIZE,
    maximum_page_size=MAX_PAGE_SIZE,
)


async def list_referrers(
    ports: Ports, *, project_id: int, repository: str, subject: str, artifact_type: str, request: ListRequest
) -> Page[Referrer]:
    """Lists what refers to a digest, oldest first. Neither it nor the repository need exist.

    Args:
        ports: the store.
        project_id: of the repository.
        repository: its full name.
        subject: the digest.
        artifact_type: only these; '' for all.
        request: which page.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        return await REFERRERS.page(
            request,
            lambda selection: unit.artifacts.referrers(project_id, repository, subject, artifact_type, selection),
            lambda _: unit.artifacts.referrer_count(project_id, repository, subject, artifact_type),
            scope=(project_id, repository, subject, artifact_type),
        )

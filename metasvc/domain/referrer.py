"""The referrers of a manifest (distribution-spec, "Listing Referrers").

Every manifest that is pushed with a subject is a referrer, even if its client also maintains the fallback tag
(`sha256-<hex>`). The index under that tag needs no import, because its children had to be pushed before it. A child
without a subject field does not become a referrer: the spec requires a valid subject field.
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
PAGE_BYTES = 4 * 1024 * 1024
"""A page has at most about this many bytes, but at least one referrer. Clients read no larger index (distribution-spec,
"Pushing Manifests"), and a message of gRPC has a limit too."""

REFERRERS: Listing[Referrer] = Listing(
    "referrers",
    MappingProxyType({"artifact_id": SortKey(int, lambda row: row.artifact_id)}),
    (Order("artifact_id"),),
    unique_key="artifact_id",
    # Large by default, because most clients set no page size, and few follow the link to a second page.
    default_page_size=MAX_PAGE_SIZE,
    maximum_page_size=MAX_PAGE_SIZE,
    is_cut=lambda row: row.is_cut,
)


async def list_referrers(
    ports: Ports, *, project_id: int, repository: str, subject: str, artifact_type: str, request: ListRequest
) -> Page[Referrer]:
    """Lists the referrers of a digest, the oldest first. The digest and the repository need not exist.

    Args:
        ports: the ports of metasvc.
        project_id: the project of the repository.
        repository: the full name of the repository.
        subject: the digest.
        artifact_type: lists only referrers of this type; '' for all.
        request: which page.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        return await REFERRERS.page(
            request,
            lambda selection: unit.artifacts.referrers(
                project_id, repository, subject, artifact_type, selection, room_bytes=PAGE_BYTES
            ),
            lambda _: unit.artifacts.referrer_count(project_id, repository, subject, artifact_type),
            scope=(project_id, repository, subject, artifact_type),
        )

"""Lists of stored generations, in pages."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from blobsvc.domain.model import B, BlobKey, BlobPage, StoredBlob, UnlinkedBlob
from blobsvc.domain.ports import BlobAdmin
from svckit.errors import FieldViolation, Invalid
from svckit.listing import ListRequest, Page
from svckit.paging import PageToken, clamp_page_size, query_fingerprint

MAXIMUM_PAGE_SIZE = 1000
"""The largest page, and the default size of a page, because garbage collection reads all blobs."""
BLOBS = "blobs"
"""The list of all generations; its page tokens are valid for no other list. `UNLINKED` is the other one."""
UNLINKED = "unlinked"


async def list_blobs(admin: BlobAdmin, request: ListRequest, finished_before: datetime | None) -> Page[StoredBlob]:
    """Reads one page of the generations, in the order of their keys.

    There is no total, because it would need a walk through the whole store.

    Args:
        admin: the administration of the store.
        request: page size and page token. A list of blobs has no `q` and no `sort`.
        finished_before: leaves out blobs that were finished at this time or later; None for all blobs.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN; UNAVAILABLE.
    """
    return await _page(admin.list, BLOBS, request, finished_before)


async def list_unlinked(admin: BlobAdmin, request: ListRequest, finished_before: datetime | None) -> Page[UnlinkedBlob]:
    """Reads one page of the finished uploads that are not settled, the oldest upload first. As `list_blobs`."""
    return await _page(admin.list_unlinked, UNLINKED, request, finished_before)


async def _page(
    read: Callable[..., Awaitable[BlobPage[B]]], query: str, request: ListRequest, finished_before: datetime | None
) -> Page[B]:
    found = await read(
        after=position_of(request.page_token, query, finished_before) if request.page_token else None,
        limit=clamp_page_size(request.page_size, MAXIMUM_PAGE_SIZE, MAXIMUM_PAGE_SIZE),
        finished_before=finished_before,
    )
    # A page before the last one may be short, so its length does not tell whether another page follows.
    token = "" if found.next_after is None else token_after(found.next_after, query, finished_before)
    return Page(found.blobs, token)


def token_after(key: BlobKey, query: str, finished_before: datetime | None) -> str:
    """The token of the page that begins after a key; `query` is `BLOBS` or `UNLINKED`."""
    return PageToken((str(key.digest), key.generation.number)).encode(_fingerprint(query, finished_before))


def position_of(token: str, query: str, finished_before: datetime | None) -> BlobKey:
    """The key after which the page of a token begins.

    Raises:
        DomainError: INVALID_PAGE_TOKEN.
    """
    digest, number = PageToken.decode(token, _fingerprint(query, finished_before), (str, int)).values
    try:
        if isinstance(digest, str) and isinstance(number, int):
            return BlobKey.of(digest, number)
    except ValueError:
        pass
    raise Invalid("INVALID_PAGE_TOKEN", violations=[FieldViolation("page_token", "was not given for this query")])


def _fingerprint(query: str, finished_before: datetime | None) -> str:
    return query_fingerprint(query, None if finished_before is None else finished_before.isoformat())

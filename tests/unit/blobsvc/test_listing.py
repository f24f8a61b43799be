"""Page tokens of a list of blobs."""

from datetime import UTC, datetime

import pytest

from blobsvc.domain.generation import Generation
from blobsvc.domain.listing import BLOBS, MAXIMUM_PAGE_SIZE, UNLINKED, list_blobs, position_of, token_after
from blobsvc.domain.model import BlobKey, BlobPage, StoredBlob
from blobsvc.store.memory import MemoryBlobAdmin
from svckit.errors import DomainError
from svckit.listing import ListRequest
from svckit.oci.digest import Digest
from svckit.paging import KeysetValue, PageToken, query_fingerprint

KEY = BlobKey(Digest.of(b"x"), Generation(7))
TIME = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize("finished_before", [None, TIME])
def test_a_token_leads_back_to_its_key_in_its_own_list_only(finished_before: datetime | None) -> None:
    token = token_after(KEY, BLOBS, finished_before)
    assert position_of(token, BLOBS, finished_before) == KEY
    for query, time in ((BLOBS, TIME if finished_before is None else None), (UNLINKED, finished_before)):
        with pytest.raises(DomainError) as refused:
            position_of(token, query, time)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    "values", [("nonsense", 1), (str(KEY.digest), 0), (str(KEY.digest), None), (None, 1), (str(KEY.digest), True)]
)
def test_a_token_that_somebody_made_up_is_refused(values: tuple[KeysetValue, ...]) -> None:
    token = PageToken(values).encode(query_fingerprint("blobs", None))
    with pytest.raises(DomainError) as refused:
        position_of(token, BLOBS, None)
    assert refused.value.reason == "INVALID_PAGE_TOKEN"


class Asked(MemoryBlobAdmin):
    """A store that keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__({}, {}, {})
        self.limits: list[int] = []

    async def list(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[StoredBlob]:
        self.limits.append(limit)
        # A short page that is not the last one.
        return BlobPage((StoredBlob(KEY, 1, TIME),), KEY)


async def test_pages_are_as_large_as_asked_for_within_the_limit_and_the_store_says_what_follows() -> None:
    asked = Asked()
    for page_size in (0, 1, MAXIMUM_PAGE_SIZE + 1):
        page = await list_blobs(asked, ListRequest(page_size=page_size), None)
        assert page.next_page_token == token_after(KEY, BLOBS, None)
    assert asked.limits == [MAXIMUM_PAGE_SIZE, 1, MAXIMUM_PAGE_SIZE]

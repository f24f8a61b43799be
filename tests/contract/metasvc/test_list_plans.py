"""Pages of lists in large tables: what each statement reads, by the plans of both databases.

A page costs the same wherever it is. `tests/soak/test_large_lists.py` takes the time, with ten times as many rows.
"""

from collections.abc import Iterator

import pytest

from tests.harness.list_plans import CASES, OLDER_HALF, Case, Filled, large_database
from tests.harness.many_rows import Scale

PAGE_SIZE = 2
# What the rows of a page may cost: themselves, what decides whether they are shown, tags, children and accessories.
MOST_ROWS = 60 * PAGE_SIZE
# One page has more of these than another.
MORE_ROWS = 10 * PAGE_SIZE


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def filled(request: pytest.FixtureRequest) -> Iterator[Filled]:
    """1,000 projects, 10,000 repositories and 100,000 artifacts."""
    with large_database(request, request.param, Scale()) as database:
        yield database


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_page_reads_by_index_and_the_thousandth_as_much_as_the_first(filled: Filled, case: Case) -> None:
    first, thousandth = await filled.pages(case, PAGE_SIZE)

    assert first.items != thousandth.items
    assert len(first.items) == len(thousandth.items) == PAGE_SIZE
    assert not first.scans
    assert not thousandth.scans
    assert thousandth.cost <= 1.5 * first.cost + MORE_ROWS * filled.cost_of_row
    if case.reads_page_only:
        assert max(first.cost, thousandth.cost) <= MOST_ROWS * filled.cost_of_row


async def test_the_latest_of_a_repository_is_found_without_reading_it_for_each_of_its_artifacts(
    filled: Filled,
) -> None:
    page = await filled.first_page(OLDER_HALF, PAGE_SIZE)

    assert len(page.items) == 1
    # The page and the total look at all artifacts of the project, and twice at those that match.
    assert page.cost <= 40 * filled.scale.busiest * filled.cost_of_row

"""Lists in 10,000 projects, 100,000 repositories and 1,000,000 artifacts: page 1,000 is as quick as the first."""

import math
import sys
from collections.abc import Iterator

import pytest

from tests.harness.list_plans import CASES, Case, Filled, large_database
from tests.harness.many_rows import Scale

PAGE_SIZE = 10
ROUNDS = 15
# The least time of more rounds comes nearer to what a page costs. On a busy machine, one turn of rounds is not enough.
MOST_TURNS = 6
# Of a page that takes less than this, the time says nothing.
NOISE_SECONDS = 0.002


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def filled(request: pytest.FixtureRequest) -> Iterator[Filled]:
    """A database of each kind."""
    with large_database(request, request.param, Scale().times(10)) as database:
        yield database


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_thousandth_page_takes_as_long_as_the_first(
    filled: Filled, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    first = thousandth = math.inf
    for _ in range(MOST_TURNS):
        least = await filled.seconds(case, PAGE_SIZE, ROUNDS)
        first, thousandth = min(first, least[0]), min(thousandth, least[1])
        if thousandth <= 1.5 * first + NOISE_SECONDS:
            break

    with capsys.disabled():
        kind = "SQLite" if filled.is_sqlite else "PostgreSQL"
        sys.stdout.write(f"{kind}, {case}: {first * 1000:.1f} ms, {thousandth * 1000:.1f} ms\n")
    assert thousandth <= 1.5 * first + NOISE_SECONDS

"""Cron expressions: Harbor's six fields, in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobsvc.engine.domain.cron import check_cron, next_time, next_times
from svckit.errors import Invalid

FRIDAY = datetime(2026, 11, 27, 5, 20, 30, tzinfo=UTC)

NEXT = [
    ("0 0 * * * *", datetime(2026, 11, 27, 6, tzinfo=UTC)),
    ("0 0 0 * * *", datetime(2026, 11, 28, tzinfo=UTC)),
    ("0 0 0 * * 0", datetime(2026, 11, 29, tzinfo=UTC)),
    ("0 */7 * * * *", datetime(2026, 11, 27, 5, 21, tzinfo=UTC)),
    ("0 30 4 1 1 ?", datetime(2027, 1, 1, 4, 30, tzinfo=UTC)),
    ("0 0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
]

BAD = [
    "",
    "@daily",
    "0 0 * * *",
    "1 0 * * * *",
    "* 0 * * * *",
    "0 60 * * * *",
    "0 0 24 * * *",
    "0 0 0 32 * *",
    "0 0 0 31 2 *",
    "0 0 0 * 13 *",
    "0 0 0 * * 9",
    "0 x * * * *",
    "0 0 0 * * * *",
    "0 0/0 * * * *",
    "0 5-1 * * * *",
    "0 0 0 * * \N{SUPERSCRIPT TWO}",
    "0 " + ",".join(["0"] * 200) + " * * * *",
]


@pytest.mark.parametrize(("cron", "time"), NEXT)
def test_the_next_time_is_in_utc(cron: str, time: datetime) -> None:
    assert check_cron(cron) == cron
    assert next_time(cron, FRIDAY) == time
    assert next_time(cron, FRIDAY.astimezone(timezone(timedelta(hours=9)))) == time


def test_a_time_that_is_now_is_not_the_next_one() -> None:
    assert next_time("0 0 * * * *", datetime(2026, 11, 27, 6, tzinfo=UTC)) == datetime(2026, 11, 27, 7, tzinfo=UTC)


def test_the_next_five_times_are_shown() -> None:
    assert [time.hour for time in next_times("0 0 * * * *", FRIDAY)] == [6, 7, 8, 9, 10]


def test_spaces_do_not_matter() -> None:
    assert check_cron("  0  0 0 *\t* * ") == "0 0 0 * * *"


@pytest.mark.parametrize("cron", BAD)
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_cron(cron, "schedule.cron")
    assert [violation.field for violation in caught.value.violations] == ["schedule.cron"]

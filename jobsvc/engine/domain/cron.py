"""Cron expressions as Harbor has them: six fields, of which the first (the second) is 0. All times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from svckit.errors import Invalid

SHOWN_TIMES = 5
"""How many of the next times are shown."""

_FIELDS = 6
_LONGEST = 255
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def check_cron(cron: str, field: str = "cron") -> str:
    """Checks an expression, and returns it with single spaces.

    Raises:
        DomainError: BAD_REQUEST for the field.
    """
    parts = cron.split()
    if len(cron) > _LONGEST or len(parts) != _FIELDS:
        raise Invalid.of_field(field, "must have six fields: second, minute, hour, day of month, month, day of week")
    if parts[0] != "0":
        raise Invalid.of_field(field, "must have 0 as its first field, the second")
    checked = " ".join(parts)
    try:
        _simulator(checked, _ANY_TIME)
    except CronSimError:
        raise Invalid.of_field(field, f"is not a valid cron expression: {checked!a}") from None
    return checked


def next_time(cron: str, after: datetime) -> datetime | None:
    """The first time after another one; None if there is none within fifty years, such as for 30 February."""
    return next(_simulator(cron, after), None)


def next_times(cron: str, after: datetime, count: int = SHOWN_TIMES) -> tuple[datetime, ...]:
    """The first times after another one: `count`, or fewer if there are no more."""
    times = _simulator(cron, after)
    return tuple(time for _, time in zip(range(count), times, strict=False))


def _simulator(cron: str, after: datetime) -> CronSim:
    # A question mark is Quartz's way to leave a day open, which Harbor takes.
    fields = cron.replace("?", "*").split()[1:]
    return CronSim(" ".join(fields), after.astimezone(UTC))

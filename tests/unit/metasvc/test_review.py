"""When garbage collection looks at possible garbage."""

from datetime import UTC, datetime, timedelta

from metasvc.domain.review import ReviewPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_delay_decides_where_it_is_longer_than_a_push() -> None:
    policy = ReviewPolicy(delay_seconds=86_400, push_grace_seconds=3_600)

    assert policy.due_time(NOW) == NOW + timedelta(days=1)


def test_no_delay_shortens_what_a_push_may_rely_on() -> None:
    policy = ReviewPolicy(delay_seconds=0, push_grace_seconds=3_600)
    due_time = policy.due_time(NOW)

    assert due_time >= NOW + timedelta(hours=1)
    assert not policy.is_near(due_time, NOW)
    # However often it is asked for, it is postponed once in a grace period.
    assert not policy.is_near(due_time, NOW + timedelta(minutes=59))
    assert policy.is_near(due_time, NOW + timedelta(minutes=61))


def test_what_is_not_queued_is_never_near() -> None:
    assert not ReviewPolicy(delay_seconds=0, push_grace_seconds=3_600).is_near(None, NOW)

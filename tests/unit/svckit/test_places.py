"""Shares of places: by subject, by address, and for callers without credentials."""

import pytest

from svckit.errors import DomainError
from svckit.places import Places, Shares

SHARES = Shares(total=6, per_subject=2, per_address=4, per_address_without_credentials=3, without_credentials=4)


def reason_of(places: Places, subject: str | None, address: str) -> str:
    with pytest.raises(DomainError) as refused:
        places.take(subject, address)
    assert refused.value.retry_after_seconds == 1
    return refused.value.reason


def refused_by(seen: list[tuple[str, str]]) -> Places:
    return Places("streams", SHARES, lambda kind, reason: seen.append((kind, reason)))


def test_one_subject_holds_its_share_only_from_however_many_addresses() -> None:
    seen: list[tuple[str, str]] = []
    places = refused_by(seen)
    for host in (1, 2):
        places.take("user:7", f"192.0.2.{host}")
    assert reason_of(places, "user:7", "192.0.2.3") == "TOOMANYREQUESTS"
    places.take("user:8", "192.0.2.1")
    assert seen == [("streams", "subject")]


def test_one_address_holds_its_share_only_and_those_with_credentials_have_one_of_their_own() -> None:
    seen: list[tuple[str, str]] = []
    places = refused_by(seen)
    for _ in range(3):
        places.take(None, "192.0.2.1")
    assert reason_of(places, None, "192.0.2.1") == "TOOMANYREQUESTS"
    places.take("user:7", "192.0.2.1")
    places.take(None, "192.0.2.2")
    assert seen == [("streams", "address")]


def test_callers_without_credentials_leave_places_to_the_others() -> None:
    seen: list[tuple[str, str]] = []
    places = refused_by(seen)
    for host in range(4):
        places.take(None, f"192.0.2.{host}")
    assert reason_of(places, None, "192.0.2.9") == "TOOMANYREQUESTS"
    places.take("user:7", "192.0.2.9")
    places.take("user:8", "192.0.2.9")
    assert reason_of(places, "user:9", "192.0.2.9") == "OVERLOADED"
    assert seen == [("streams", "without_credentials"), ("streams", "all")]


def test_an_address_has_a_share_for_callers_with_credentials_however_many_they_are() -> None:
    seen: list[tuple[str, str]] = []
    places = refused_by(seen)
    for number in range(4):
        places.take(f"user:{number}", "192.0.2.1")
    assert reason_of(places, "user:9", "192.0.2.1") == "TOOMANYREQUESTS"
    places.take(None, "192.0.2.1")
    places.take("user:9", "192.0.2.2")
    assert seen == [("streams", "address")]


def test_a_service_that_acts_for_itself_may_take_all_places() -> None:
    places = Places("streams", SHARES)
    for _ in range(6):
        places.take("service:metasvc", "192.0.2.1")
    assert reason_of(places, "service:metasvc", "192.0.2.1") == "OVERLOADED"


def test_a_caller_who_is_not_known_yet_is_refused_when_no_place_is_free() -> None:
    places = Places("streams", SHARES)
    for number in range(6):
        places.check_free()
        places.take(f"user:{number}", f"192.0.2.{number}")
    with pytest.raises(DomainError) as refused:
        places.check_free()
    assert refused.value.reason == "OVERLOADED"


def test_places_that_are_given_back_leave_nothing_behind() -> None:
    places = Places("streams", SHARES)
    holders = [(None, "192.0.2.1"), (None, ""), ("user:7", "192.0.2.1"), ("user:7", ""), ("service:metasvc", "")]
    for _ in range(3):
        for subject, address in holders:
            places.take(subject, address)
        assert (places.taken, places.taken_without_credentials) == (5, 2)
        for subject, address in holders:
            places.give_back(subject, address)
    assert (places.taken, places.taken_without_credentials) == (0, 0)
    assert not places._of_subject
    assert not places._of_address


def test_an_unknown_address_has_no_share() -> None:
    places = Places("streams", SHARES)
    for _ in range(4):
        places.take(None, "")
    assert places.taken_without_credentials == 4


def test_a_place_that_was_left_is_free_again_once() -> None:
    places = Places("streams", SHARES)
    first = places.place("user:7", "192.0.2.1")
    places.take("user:7", "192.0.2.1")
    first.leave()
    first.leave()
    assert places.taken == 1
    places.take("user:7", "192.0.2.1")
    assert reason_of(places, "user:7", "192.0.2.1") == "TOOMANYREQUESTS"

"""Requests held against the bounds of their contract."""

from pathlib import Path
from typing import Any

import pytest

from svckit.bounds import BoundsError, request_check
from svckit.bounds.check import MAXIMUM_FINDINGS
from svckit.errors import DomainError, Invalid
from tests.harness.protoc import compile_contract

bounded_pb2, _ = compile_contract(Path(__file__).with_name("bounded.proto"))

CHECK = request_check(bounded_pb2.Request.DESCRIPTOR)


def request(**fields: Any) -> Any:
    """One within its bounds, but for `fields`."""
    good: dict[str, Any] = {"name": "n", "size": 0, "reference": {"id": 1}, "others": [{"id": 1}]}
    return bounded_pb2.Request(**good | fields)


def wrong(message: Any) -> dict[str, str]:
    """What is wrong with which field."""
    assert CHECK is not None
    try:
        CHECK(message, message.ByteSize())
    except DomainError as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "four"},
        # Characters, not bytes.
        {"name": "äöüß", "note": "äöüß"},
        {"comment": "ab"},
        {"data": bytes(8)},
        {"page": 9},
        {"size": -1},
        {"level": "system"},
        {"code": "abc", "digits": "123"},
        {"tags": ["abc", "abc"]},
        {"ids": [1, 2**63 - 1]},
        {"settings": {"abc": "abc", "x": ""}},
        {"reference": {"name": "four"}},
        {"others": [{"id": 1}] * 100},
        {"free": {"anything": "of any length"}},
    ],
)
def test_what_is_within_its_bounds_passes(fields: dict[str, Any]) -> None:
    assert wrong(request(**fields)) == {}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, {"name": "must have 1 to 4 characters"}),
        ({"name": "fünf5"}, {"name": "must have 1 to 4 characters"}),
        ({"note": "12345"}, {"note": "must have at most 4 characters"}),
        ({"comment": ""}, {"comment": "must have at least 2 characters"}),
        ({"data": bytes(9)}, {"data": "must have at most 8 bytes"}),
        ({"page": -1}, {"page": "must be from 0 to 9"}),
        ({"page": 10}, {"page": "must be from 0 to 9"}),
        ({"size": -2}, {"size": "must be at least -1"}),
        ({"size": None}, {"size": "must be set"}),
        ({"level": "other"}, {"level": "must be one of: project, system; or empty"}),
        ({"code": "a\n"}, {"code": "must have lower-case letters"}),
        # \d is the ASCII digits in RE2.
        ({"digits": "٣"}, {"digits": "must match \\d*"}),
        ({"tags": ["a", "b", "c"]}, {"tags": "must have at most 2 entries"}),
        ({"tags": ["a", "1234"]}, {"tags[1]": "must have at most 3 characters"}),
        ({"ids": [1, 0]}, {"ids[1]": "must be at least 1"}),
        ({"settings": {"a": "", "b": "", "c": ""}}, {"settings": "must have at most 2 entries"}),
        ({"settings": {"abcd": "x"}}, {"settings['abcd']": "must have at most 3 characters"}),
        ({"settings": {"a": "1234"}}, {"settings['a']": "must have at most 3 characters"}),
        ({"reference": None}, {"reference": "must be set"}),
        ({"reference": {}}, {"reference.ref": "must be set: id or name"}),
        ({"reference": {"id": 0}}, {"reference.id": "must be at least 1"}),
        ({"reference": {"name": "12345"}}, {"reference.name": "must have at most 4 characters"}),
        ({"others": []}, {"others": "must have at least 1 entry"}),
        ({"others": [{"id": 1}, {"id": -1}]}, {"others[1].id": "must be at least 1"}),
        ({"named": {"a": {"id": 1}, "b": {"id": 0}}}, {"named['b'].id": "must be at least 1"}),
        ({"name": "", "page": -1, "reference": {}}, None),
    ],
)
def test_what_is_beyond_its_bounds_is_named_in_words(fields: dict[str, Any], expected: dict[str, str] | None) -> None:
    found = wrong(request(**fields))
    assert found == expected if expected is not None else set(found) == {"name", "page", "reference.ref"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"page": -1}, "BAD_REQUEST"),
        ({"digest": "12345"}, "DIGEST_INVALID"),
        ({"tags": ["1234"]}, "TAG_INVALID"),
        # The first of several.
        ({"digest": "12345", "tags": ["1234"]}, "DIGEST_INVALID"),
    ],
)
def test_the_reason_is_the_one_that_the_contract_names(fields: dict[str, Any], reason: str) -> None:
    message = request(**fields)
    assert CHECK is not None
    with pytest.raises(Invalid) as caught:
        CHECK(message, message.ByteSize())
    assert caught.value.reason == reason


def test_a_bounded_number_of_violations_is_told() -> None:
    assert len(wrong(request(ids=[0] * 1000))) == MAXIMUM_FINDINGS
    assert len(wrong(request(settings={str(1000 + number): "" for number in range(1000)}))) == MAXIMUM_FINDINGS
    assert len(wrong(request(others=[{"id": 0}] * 1000))) == MAXIMUM_FINDINGS
    assert len(wrong(request(named={str(number): {"id": 0} for number in range(1000)}))) == MAXIMUM_FINDINGS


def test_a_long_key_is_shown_by_its_beginning() -> None:
    assert set(wrong(request(settings={"k" * 100_000: ""}))) == {f"settings[{'k' * 40!r}]"}


def test_a_type_without_bounds_costs_nothing() -> None:
    assert request_check(bounded_pb2.Unbounded.DESCRIPTOR) is None
    assert request_check(bounded_pb2.Below.DESCRIPTOR) is None


def test_a_message_that_holds_itself_is_checked_at_every_depth() -> None:
    check = request_check(bounded_pb2.Nested.DESCRIPTOR)
    message = bounded_pb2.Nested(inner={"inner": {"name": "12345"}})
    assert check is not None
    with pytest.raises(Invalid) as caught:
        check(message, message.ByteSize())
    assert [violation.field for violation in caught.value.violations] == ["inner.inner.name"]


class _Untouchable:
    """A request whose `data` must not be read."""

    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        assert name not in {"data", "note", "settings"}
        return getattr(self._message, name)


def test_a_field_that_cannot_be_too_long_is_not_read() -> None:
    message: Any = _Untouchable(request(data=b"x", note="x", settings={"a": "b"}))
    assert CHECK is not None
    # A request of two bytes on the wire would hold no more than that.
    CHECK(message, 2)
    with pytest.raises(AssertionError):
        CHECK(message, 1000)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("LengthOfNumber", "max_length cannot be used"),
        ("RangeOfText", "minimum cannot be used"),
        ("ItemsOfText", "max_items cannot be used"),
        ("KeysOfList", "keys cannot be used"),
        ("LengthOfList", "max_length cannot be used"),
        ("RequiredText", "required cannot be used"),
        ("RequiredItem", "required cannot be used"),
        ("UpsideDown", "min_length is more than max_length"),
        ("UnknownReason", "WRONG is not a reason"),
        ("BoundsNothing", "the bounds are empty"),
        ("LooksAhead", "pattern"),
        ("NamesGroup", "pattern"),
        ("RefersBack", "pattern"),
        ("IsAnchored", "pattern"),
        ("IsNoPattern", "pattern"),
    ],
)
def test_bounds_that_cannot_be_meant_are_refused(name: str, why: str) -> None:
    with pytest.raises(BoundsError, match=why) as caught:
        request_check(getattr(bounded_pb2, name).DESCRIPTOR)
    assert f"{name}.field" in str(caught.value)

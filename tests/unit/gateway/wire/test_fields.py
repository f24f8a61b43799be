"""Queries and forms."""

import pytest

from gateway.wire.fields import read_fields, read_pairs
from svckit.errors import DomainError


def test_fields_keep_all_their_values_in_order_and_blank_ones_too() -> None:
    raw = b"scope=a%3Ab&last=&scope=c+d"
    assert read_pairs(raw) == [("scope", "a:b"), ("last", ""), ("scope", "c d")]
    assert read_fields(raw) == {"scope": ["a:b", "c d"], "last": [""]}


def test_an_empty_query_has_no_fields() -> None:
    assert read_fields(b"") == {}


@pytest.mark.parametrize("raw", [b"a=%FF", "a=\u00e4".encode()])
def test_what_is_no_text_is_refused(raw: bytes) -> None:
    with pytest.raises(DomainError) as refused:
        read_fields(raw)
    assert (refused.value.reason, refused.value.message) == ("BAD_REQUEST", "the query cannot be read")


def test_a_form_may_hold_utf_8_as_it_is() -> None:
    assert read_fields("name=\u00e4".encode(), encoding="utf-8", what="form") == {"name": ["\u00e4"]}
    with pytest.raises(DomainError, match="the form cannot be read"):
        read_fields(b"name=\xff", encoding="utf-8", what="form")


def test_more_fields_than_are_allowed_are_refused() -> None:
    assert len(read_pairs(b"a=1&a=2", most=2)) == 2
    with pytest.raises(DomainError):
        read_pairs(b"a=1&a=2&a=3", most=2)

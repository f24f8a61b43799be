import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from svckit.errors import Invalid
from svckit.paging import KeysetValue, PageToken, clamp_page_size, query_fingerprint

QUERY = query_fingerprint("project", 3, {"q": "name=~a"}, ["-push_time", "id"])


def refused(text: str, fingerprint: str = QUERY, types: tuple[type, ...] = (str, int)) -> None:
    with pytest.raises(Invalid) as caught:
        PageToken.decode(text, fingerprint, types)
    assert caught.value.reason == "INVALID_PAGE_TOKEN"
    assert caught.value.violations[0].field == "page_token"


def forged(body: Any, fingerprint: str = QUERY) -> str:
    """What somebody makes who has read how tokens are made."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    check = hashlib.sha256(fingerprint.encode() + b"\0" + data).digest()[:9]
    return base64.urlsafe_b64encode(check + data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("values", "types"),
    [
        (("nginx", 7), (str, int)),
        ((), ()),
        (("ü'\"; DROP TABLE", -1), (str, int)),
        ((2**63 - 1, True), (int, bool)),
        ((None, None), (str, datetime)),
        ((datetime(2026, 11, 24, 12, 30, 0, 123456, tzinfo=UTC), 0), (datetime, int)),
    ],
)
def test_a_token_gives_back_what_it_holds(values: tuple[KeysetValue, ...], types: tuple[type, ...]) -> None:
    text = PageToken(values).encode(QUERY)
    assert PageToken.decode(text, QUERY, types).values == values
    assert text.isascii()
    assert not set(text) & set("+/=&?# ")


def test_a_time_is_the_same_moment_whatever_its_zone() -> None:
    there = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    [back] = PageToken.decode(PageToken((there,)).encode(QUERY), QUERY, (datetime,)).values
    assert back == there


@pytest.mark.parametrize(
    "other",
    [
        query_fingerprint("project", 4, {"q": "name=~a"}, ["-push_time", "id"]),
        query_fingerprint("project", 3, {"q": "name=~b"}, ["-push_time", "id"]),
        query_fingerprint("project", 3, {"q": "name=~a"}, ["push_time", "id"]),
        query_fingerprint("project", "3", {"q": "name=~a"}, ["-push_time", "id"]),
        query_fingerprint(),
    ],
)
def test_a_token_of_another_query_is_refused(other: str) -> None:
    refused(PageToken(("nginx", 7)).encode(other))


def test_parts_do_not_run_into_each_other() -> None:
    assert query_fingerprint("ab", "c") != query_fingerprint("a", "bc")
    assert query_fingerprint(["a"], []) != query_fingerprint([], ["a"])


def test_every_changed_character_is_noticed() -> None:
    text = PageToken(("nginx", 7)).encode(QUERY)
    for place in range(len(text)):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        refused(changed)
    for length in range(len(text)):
        refused(text[:length])


@pytest.mark.parametrize("text", ["", "A", "ü", "not base64!", "a+b/", "\ud800", "A" * 5_000, "AAAA====", "\n"])
def test_garbage_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "body",
    [
        [1, ["nginx"]],
        [1, ["nginx", 7, 8]],
        [1, [7, "nginx"]],
        [1, ["nginx", "7"]],
        [1, ["nginx", True]],
        [1, ["nginx", 7.5]],
        [1, ["nginx", 2**63]],
        [1, ["nginx", {"a": 1}]],
        [1, ["ng\0inx", 7]],
        [1, ["ng\ud800inx", 7]],
        [2, ["nginx", 7]],
        [1],
        {"a": 1, "b": 2},
        None,
        5,
        b"",
        b"{",
        b"\xff\xff",
        b"[" * 3_000,
    ],
)
def test_a_forged_token_brings_no_wrong_type_to_the_database(body: Any) -> None:
    refused(forged(body))


@pytest.mark.parametrize("value", ["yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+01:00", "", 5])
def test_a_forged_time_is_a_moment_or_refused(value: Any) -> None:
    refused(forged([1, [value]]), types=(datetime,))


@pytest.mark.parametrize("value", [1.5, b"bytes", ["list"], 2**63, object()])
def test_what_a_token_cannot_hold_is_an_error_of_ours(value: Any) -> None:
    with pytest.raises(TypeError):
        PageToken((value,)).encode(QUERY)
    with pytest.raises(TypeError):
        query_fingerprint(object())


@pytest.mark.parametrize(("requested", "size"), [(0, 10), (1, 1), (10, 10), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_a_page_is_as_large_as_asked_up_to_the_cap(requested: int, size: int) -> None:
    assert clamp_page_size(requested, default=10, maximum=100) == size

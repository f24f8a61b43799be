"""JSON from outside: what is refused, what it costs, and what is left in memory."""

import gc
import json
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from svckit.bounded_json import (
    DEFAULT_BOUNDS,
    INLINE_BYTES,
    MAX_DEPTH,
    JsonBounds,
    JsonError,
    count_values,
    read_in_thread_if_large,
    read_json,
)
from tests.harness.living import count_lists_of

MEBIBYTES_4 = 4 * 1024 * 1024


def filled(unit: bytes, last: bytes, begin: bytes = b'{"x":[', end: bytes = b"]}") -> bytes:
    """A document of 4 MiB that repeats one value."""
    return begin + unit * ((MEBIBYTES_4 - len(begin + last + end)) // len(unit)) + last + end


BOMBS = {
    "empty arrays": filled(b"[],", b"[]"),
    "empty objects": filled(b"{},", b"{}"),
    "numbers": filled(b"1,", b"1"),
    "empty strings": filled(b'"",', b'""'),
    "escaped quotes between arrays": filled(b'"\\"",[],', b"[]"),
    "arrays of one": filled(b"[1],", b"[1]"),
    "members": b"{" + b",".join(b'"%06x":0' % number for number in range(380_000)) + b"}",
    "nested arrays": b"[" * MEBIBYTES_4,
    "nested objects": b'{"a":' * (MEBIBYTES_4 // 5),
    "strings without separators": b'""' * (MEBIBYTES_4 // 2),
    "backslashes": b"\\" * MEBIBYTES_4,
    "one number": b'{"x":' + b"9" * MEBIBYTES_4 + b"}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_four_mebibytes_is_refused_for_milliseconds_and_little_memory(name: str) -> None:
    content = BOMBS[name]
    began = time.thread_time()
    with pytest.raises(JsonError):
        read_json(content)
    # With an unbounded reader, these take 100 to 400 ms each.
    assert time.thread_time() - began < 0.08

    tracemalloc.start()
    try:
        with pytest.raises(JsonError):
            read_json(content)
        assert tracemalloc.get_traced_memory()[1] < 3 * MEBIBYTES_4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1, "a": 1}',
        b'[{"a": {"b": 1, "\\u0062": 2}}]',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"\\ud800": 1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"{}\x00",
        b"[1,]",
        b"'a'",
        b"01",
        b"// a comment\n{}",
        b"",
    ],
)
def test_what_programs_could_read_differently_is_refused(content: bytes) -> None:
    with pytest.raises(JsonError) as refused:
        read_json(content)
    assert refused.value.message.startswith("is not JSON: ")
    refused.value.message.encode("ascii")


def test_the_message_is_short_and_plain_whatever_the_doubled_key() -> None:
    key = json.dumps("\x1b[2J\u202e" + "é" * 10_000)
    with pytest.raises(JsonError) as refused:
        read_json(f"{{{key}: 1, {key}: 2}}".encode())
    assert len(refused.value.message) < 2000
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_read_to_its_bound_and_no_deeper(open_: str, close: str) -> None:
    read_json((open_ * MAX_DEPTH + "0" + close * MAX_DEPTH).encode())
    with pytest.raises(JsonError):
        read_json((open_ * (MAX_DEPTH + 2) + "0" + close * (MAX_DEPTH + 2)).encode())


@pytest.mark.parametrize("make", [lambda n: list(range(n)), lambda n: {str(key): key for key in range(n)}])
def test_items_and_members_are_read_to_their_bound_and_no_more(make: Callable[[int], object]) -> None:
    bounds = JsonBounds(values=1000, items=10)
    for place in (lambda value: value, lambda value: {"a": [1, {"b": value}]}):
        allowed = place(make(10))
        assert read_json(json.dumps(allowed).encode(), bounds) == allowed
        with pytest.raises(JsonError, match="more than 10 items"):
            read_json(json.dumps(place(make(11))).encode(), bounds)


def test_values_are_read_to_their_bound_and_no_more() -> None:
    bounds = JsonBounds(values=30, items=10)
    allowed = [[1] * 9, [1] * 9, [1] * 8]  # 26 numbers, three arrays, and the array around them
    assert read_json(json.dumps(allowed).encode(), bounds) == allowed
    with pytest.raises(JsonError, match="more than 30 values"):
        read_json(json.dumps([*allowed, 1]).encode(), bounds)


def test_separators_in_strings_are_no_values() -> None:
    embedded = json.dumps([{}] * DEFAULT_BOUNDS.values) + "\\" + '\\"'
    document = {"annotations": {"sbom": embedded, 'k"[,\\': "\\\\"}}
    assert read_json(json.dumps(document).encode()) == document


def test_a_count_is_never_too_small_and_exact_but_for_empty_containers() -> None:
    generator = random.Random(11)

    def value(depth: int) -> object:
        kind = generator.randrange(6 if depth < 4 else 4)
        if kind == 4:
            return [value(depth + 1) for _ in range(generator.randrange(5))]
        if kind == 5:
            return {f'{key}"\\,[{{': value(depth + 1) for key in range(generator.randrange(5))}
        return [1, None, '"\\', "a,[b{c]\\"][kind]

    def count(document: object) -> tuple[int, int]:
        if not isinstance(document, list | dict):
            return 1, 0
        inner = [count(item) for item in (document.values() if isinstance(document, dict) else document)]
        return 1 + sum(values for values, _ in inner), (not inner) + sum(empty for _, empty in inner)

    for _ in range(500):
        document = value(0)
        values, empty = count(document)
        # A bound of zero makes it count what is outside of strings; small documents have few quotes.
        assert values <= count_values(json.dumps(document).encode(), 0) or values == 0
        counted = count_values(json.dumps(document).encode(), values + empty)
        assert values <= counted <= values + empty


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_nothing_of_a_refused_document_is_left() -> None:
    bounds = JsonBounds(values=100_000, items=10_000)
    content = b"[" + b"[7777],".join([b""] * 10_005)[:-1] + b"]"
    with without_garbage_collection():
        with pytest.raises(JsonError, match="10000 items") as kept:
            read_json(content, bounds)
        assert kept.value.__traceback__ is not None
        assert count_lists_of(7777) == 0


async def test_only_a_large_document_is_read_in_a_thread() -> None:
    here = threading.get_ident()
    assert await read_in_thread_if_large(INLINE_BYTES, threading.get_ident) == here
    assert await read_in_thread_if_large(INLINE_BYTES + 1, threading.get_ident) != here

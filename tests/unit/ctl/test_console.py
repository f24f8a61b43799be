"""What the supervisor and its children say comes out line by line, under their names."""

import asyncio
import json
import os
from collections import deque
from pathlib import Path

import pytest

from ctl.console import Console
from tests.unit.ctl.conftest import LONGEST_SECONDS, ReadableConsole


@pytest.fixture
async def json_console(tmp_path: Path) -> ReadableConsole:
    return ReadableConsole(tmp_path / "json", pretty=False)


def reader_of(*pieces: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return reader


async def test_people_see_who_says_what(console: ReadableConsole) -> None:
    await console.relay("metasvc", reader_of(b"one\ntw", b"o\n", b"rest"), deque())

    assert console.text() == "metasvc   | one\nmetasvc   | two\nmetasvc   | rest\n"


async def test_a_line_of_json_passes_as_it_is_and_anything_else_is_wrapped(json_console: ReadableConsole) -> None:
    own = b'{"event": "served", "service": "metasvc"}'

    await json_console.relay("metasvc", reader_of(own + b"\nTraceback \xff:\n"), deque())

    first, second = json_console.text().splitlines()
    assert first.encode() == own
    assert json.loads(second) == {"event": "Traceback \ufffd:", "level": "error", "service": "metasvc"}


async def test_own_lines_have_the_fields_of_the_services(json_console: ReadableConsole) -> None:
    json_console.log("warning", "ended", child="metasvc")

    line = json.loads(json_console.text())

    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "ended", "level": "warning", "service": "roadstead", "child": "metasvc"}


async def test_the_last_lines_are_kept(console: ReadableConsole) -> None:
    tail: deque[str] = deque(maxlen=2)

    await console.relay("metasvc", reader_of(b"1\n2\n", b"3\n4"), tail)

    assert list(tail) == ["3", "4"]


async def test_a_line_without_end_does_not_fill_the_memory(console: ReadableConsole) -> None:
    tail: deque[str] = deque(maxlen=100)

    await console.relay("metasvc", reader_of(b"x" * 1_000_000), tail)

    assert sum(map(len, tail)) == 1_000_000
    assert max(map(len, tail)) < 200_000


async def test_a_reader_that_does_not_read_holds_up_the_children_and_not_the_supervisor() -> None:
    ours, theirs = os.pipe()
    console = Console(theirs, pretty=True)
    endless = reader_of(b"\n".join([b"x" * 1000] * 20_000))

    relaying = asyncio.create_task(console.relay("metasvc", endless, deque()))
    finished, _ = await asyncio.wait({relaying}, timeout=0.2)
    assert not finished  # it waits, and we are here

    drain = asyncio.create_task(asyncio.to_thread(_read_all, ours, 20_000 * 1012))
    await asyncio.wait_for(relaying, LONGEST_SECONDS)
    await asyncio.wait_for(drain, LONGEST_SECONDS)
    os.close(theirs)
    os.close(ours)


async def test_nobody_reading_any_more_is_no_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    console = Console(theirs, pretty=True)

    await console.relay("metasvc", reader_of(b"one\n"), deque())
    console.flush(LONGEST_SECONDS)

    os.close(theirs)


def _read_all(descriptor: int, size: int) -> None:
    while size > 0:
        size -= len(os.read(descriptor, 1 << 20))

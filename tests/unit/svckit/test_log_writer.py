import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from svckit.log_writer import LineWriter
from tests.harness.waiting import wait_until

_PIPE_BYTES = 4096


class Pipe:
    """A pipe that holds one page. A write of more waits until somebody reads."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def read(self, size: int) -> bytes:
        """Reads exactly so many bytes."""
        data = b""
        while len(data) < size:
            data += os.read(self.reader, size - len(data))
        return data

    def read_until(self, end: bytes) -> bytes:
        """Reads until the text ends so."""
        data = b""
        while not data.endswith(end):
            data += os.read(self.reader, 65536)
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    # A thread that still writes is let go by this.
    for descriptor in (pipe.reader, pipe.writer):
        os.close(descriptor)


def _loss(count: int) -> bytes:
    return b"lost %d\n" % count


def _names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_lines_of_one_moment_are_written_together_and_in_their_order(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    write = os.write

    def noted(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", noted)
    writer = LineWriter(pipe.writer, _loss)

    for number in range(100):
        writer.put(b"%d\n" % number)

    assert writer.flush(10)
    expected = b"".join(b"%d\n" % number for number in range(100))
    assert pipe.read(len(expected)) == expected
    # One, or some if the machine was slow; not one for each line.
    assert len(writes) < 20
    writer.close(10)


def test_a_line_is_written_soon_without_a_flush(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss)
    for line in (b"first\n", b"second\n"):
        writer.put(line)
        assert pipe.read(len(line)) == line
    writer.close(10)


def test_an_important_line_takes_those_before_it_along_without_delay(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svckit.log_writer._GATHER_SECONDS", 3600.0)
    writer = LineWriter(pipe.writer, _loss)
    for number in range(3):
        writer.put(b"line %d\n" % number)
        writer.put(b"warning %d\n" % number, is_important=True)
        assert pipe.read(17) == b"line %d\nwarning %d\n" % (number, number)
    writer.put(b"last\n")
    writer.close(10)
    assert pipe.read(5) == b"last\n"


def test_each_thread_finds_its_lines_in_their_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss)

    def put(name: int) -> None:
        for number in range(500):
            writer.put(b"%d %d\n" % (name, number))

    threads = [threading.Thread(target=put, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    size = 4 * sum(len(b"0 %d\n" % number) for number in range(500))
    lines = [line.split() for line in pipe.read(size).splitlines()]
    for thread in threads:
        thread.join()
    assert writer.flush(10)
    for name in range(4):
        assert [int(number) for thread, number in lines if int(thread) == name] == list(range(500))
    writer.close(10)


def test_a_reader_that_stops_holds_up_nobody_and_learns_what_is_missing(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss, most_waiting_bytes=10_000, reserved_bytes=0)
    line = b"x" * 99 + b"\n"

    for _ in range(500):
        writer.put(line)  # it would block here

    assert not writer.flush(0.05)
    # What is in the pipe already counts no more.
    kept = 500 - writer.lost_lines
    assert 100 <= kept <= (10_000 + _PIPE_BYTES) // 100 + 1
    notice = _loss(writer.lost_lines)
    assert pipe.read(kept * 100) == line * kept
    assert pipe.read(len(notice)) == notice
    writer.put(b"again\n")
    assert pipe.read(6) == b"again\n"
    writer.close(10)


def test_the_missing_lines_are_noted_where_they_are_missing(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss, most_waiting_bytes=8000, reserved_bytes=0)
    writer.put(b"a" * 7999 + b"\n")
    for _ in range(3):
        writer.put(b"b" * 7999 + b"\n")  # too much, while the first one is not read
    wait_until(lambda: writer.lost_lines, "the loss", wanted=lambda count: count == 3)

    pipe.read(8000)
    assert writer.flush(10)
    writer.put(b"after\n")

    assert pipe.read_until(b"after\n") == b"lost 3\nafter\n"
    writer.close(10)


def test_a_line_that_is_too_long_is_missed_at_once(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss, most_waiting_bytes=100, reserved_bytes=0)
    writer.put(b"x" * 100 + b"\n")

    assert writer.flush(10)
    assert pipe.read(7) == b"lost 1\n"
    writer.put(b"x" * 100 + b"\n")
    writer.close(10)
    assert pipe.read(7) == b"lost 1\n"


def test_warnings_find_room_when_other_lines_do_not(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss, most_waiting_bytes=8000, reserved_bytes=1000)
    writer.put(b"a" * 7999 + b"\n")
    writer.put(b"dropped\n")
    writer.put(b"warning\n", is_important=True)
    writer.put(b"dropped\n")
    writer.put(b"w" * 2000 + b"\n", is_important=True)

    text = pipe.read_until(b"lost 2\n")

    assert text == b"a" * 7999 + b"\nlost 1\nwarning\nlost 2\n"
    assert writer.lost_lines == 3
    writer.close(10)


def test_closing_writes_all_and_ends_the_thread(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss)
    before = _names_of_threads().count("log-writer")
    writer.put(b"last\n")

    writer.close(10)

    assert pipe.read(5) == b"last\n"
    wait_until(lambda: _names_of_threads().count("log-writer"), "the thread's end", wanted=lambda count: count < before)
    writer.put(b"later\n")
    assert pipe.read(6) == b"later\n"


def test_closing_gives_up_on_a_reader_that_has_stopped(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer, _loss)
    writer.put(b"x" * 3 * _PIPE_BYTES)

    writer.close(0.05)
    writer.put(b"later\n")  # it would block here

    assert pipe.read(3 * _PIPE_BYTES) == b"x" * 3 * _PIPE_BYTES


def test_a_reader_that_has_gone_is_not_waited_for() -> None:
    reader, writing = os.pipe()
    os.close(reader)
    writer = LineWriter(writing, _loss)
    writer.put(b"nobody reads\n")

    assert writer.flush(10)
    writer.close(10)
    os.close(writing)


def test_a_pipe_that_does_not_block_gets_all(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    writer = LineWriter(pipe.writer, _loss)
    writer.put(b"x" * 5 * _PIPE_BYTES)

    time.sleep(0.05)  # the pipe is full by now, or will be; both must end well

    assert pipe.read(5 * _PIPE_BYTES) == b"x" * 5 * _PIPE_BYTES
    assert writer.flush(10)
    writer.close(10)


class Rendering:
    """Notes which records were rendered together, and by which thread."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.threads: set[str] = set()

    def __call__(self, records: Sequence[int]) -> bytes:
        self.groups.append(list(records))
        self.threads.add(threading.current_thread().name)
        if -1 in records:
            raise ValueError("cannot be rendered")
        return b"".join(b"r%d\n" % record for record in records)


def test_records_are_rendered_together_by_the_thread_that_writes_and_keep_their_place(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svckit.log_writer._GATHER_SECONDS", 3600.0)
    writer, render = LineWriter(pipe.writer, _loss), Rendering()

    writer.put(b"first\n")
    for number in range(3):
        writer.put_later(render, number, 100)
    writer.put(b"between\n")
    writer.put_later(render, 3, 100)
    assert render.groups == []
    writer.put(b"warning\n", is_important=True)

    expected = b"first\nr0\nr1\nr2\nbetween\nr3\nwarning\n"
    assert pipe.read(len(expected)) == expected
    assert render.groups == [[0, 1, 2], [3]]
    assert render.threads == {"log-writer"}
    writer.close(10)


def test_records_count_by_the_size_that_is_given_for_them(pipe: Pipe) -> None:
    writer, render = LineWriter(pipe.writer, _loss, most_waiting_bytes=8000, reserved_bytes=0), Rendering()
    writer.put(b"a" * 7799 + b"\n")
    writer.put_later(render, 1, 100)
    for number in range(2, 5):
        writer.put_later(render, number, 101)

    assert pipe.read_until(b"lost 3\n") == b"a" * 7799 + b"\nr1\nlost 3\n"
    assert writer.flush(10)
    assert writer.lost_lines == 3
    # All that was taken was given back.
    writer.put(b"b" * 7999 + b"\n")
    assert pipe.read(8000) == b"b" * 7999 + b"\n"
    writer.close(10)


def test_a_record_that_cannot_be_rendered_is_missed_alone_and_the_thread_goes_on(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svckit.log_writer._GATHER_SECONDS", 3600.0)
    writer, render = LineWriter(pipe.writer, _loss), Rendering()

    for number in (1, -1, 2):
        writer.put_later(render, number, 100)
    assert writer.flush(10)

    assert os.read(pipe.reader, 100) == b"r1\nr2\nlost 1\n"
    assert writer.lost_lines == 1
    writer.put_later(render, 5, 100)
    assert writer.flush(10)
    assert pipe.read(3) == b"r5\n"
    writer.close(10)


def test_a_record_that_comes_after_the_end_is_written_at_once(pipe: Pipe) -> None:
    writer, render = LineWriter(pipe.writer, _loss), Rendering()
    writer.put_later(render, 1, 100)
    writer.close(10)

    writer.put_later(render, 2, 100)

    assert pipe.read(6) == b"r1\nr2\n"


_PROGRAM = """
import asyncio, logging as stdlib, sys
from svckit import logging
logging.configure("metasvc", "info", "json")
log = logging.get_logger("a")
repeated = logging.RepeatedLine("c", "repeated", ["number"])
ways = [
    lambda number: log.info("event", number=number),
    lambda number: stdlib.getLogger("b").warning("%d", number),
    repeated.log,
    repeated.log,
]
async def main():
    for number in range(3000):
        ways[number % 4](number)
    {end}
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('nobody handles this')", 1, "ValueError: nobody handles this"),
        ("import atexit; atexit.register(log.info, 'at exit')", 0, "at exit"),
    ],
    ids=["end", "exit", "error", "at exit"],
)
def test_a_process_that_ends_by_itself_loses_no_line(end: str, status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(end=end)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == status
    assert said in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    numbers = [line.get("number", line["event"]) for line in lines if line["event"] != "at exit"]
    assert [int(number) for number in numbers] == list(range(3000))

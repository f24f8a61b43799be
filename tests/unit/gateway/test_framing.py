"""Chunked bodies: where they end is the same as h11 says, for every input and however it is cut."""

import random
from collections.abc import Iterable

import h11
import pytest

from gateway.servers.hypercorn.framing import LONGEST_LINE, ChunkedBody, SizedBody

MOST_BYTES = 200
USUAL = [b"1\r\nx\r\n", b"5\r\nhello\r\n", b"0A\r\n0123456789\r\n", b"00000001\r\nz\r\n"]
UNUSUAL = [
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"1;name=value\r\nx\r\n",
    b"1 \r\nx\r\n",
    b"000000001\r\nz\r\n",
    b"1\nx\n",
    b"1\r\nxy\r\n",
    b"-1\r\n",
    b"g\r\n",
    b"\r\n",
    b"\x00",
    b"f" * 21 + b"\r\n",
    b"1;" + b"e" * 300 + b"\r\nx\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
]

Outcome = tuple[bytes, str, int | None, bytes]


def read_by_ours(pieces: Iterable[bytes]) -> Outcome:
    body, content, held = ChunkedBody(MOST_BYTES), b"", b""
    for piece in pieces:
        held += piece
        taken, held = body.take(held)
        content += taken
        if body.fault is not None:
            return content, "refused", body.fault.error_status_hint, b""
        if body.has_ended:
            return content, "ended", None, held
    return content, "open", None, b""


def read_by_h11(pieces: Iterable[bytes]) -> Outcome:
    connection, content = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_BYTES), b""
    connection.receive_data(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    for piece in pieces:
        connection.receive_data(piece)
        try:
            while isinstance(event := connection.next_event(), h11.Data):
                content += event.data
        except h11.RemoteProtocolError as error:
            return content, "refused", error.error_status_hint, b""
        if isinstance(event, h11.EndOfMessage):
            return content, "ended", None, connection.trailing_data[0]
    return content, "open", None, b""


@pytest.mark.parametrize("seed", range(4))
def test_every_body_ends_or_is_refused_where_h11_says(seed: int) -> None:
    source = random.Random(seed)
    outcomes = set()
    for _ in range(3_000):
        data = b"".join(source.choice(USUAL) for _ in range(source.randrange(4)))
        data += b"".join(source.choice(UNUSUAL) for _ in range(source.randrange(3)))
        pieces = []
        while data:
            size = source.choice([1, 2, 3, 7, 50])
            pieces.append(data[:size])
            data = data[size:]
        ours = read_by_ours(pieces)
        assert ours == read_by_h11(pieces), pieces
        outcomes.add(ours[1])
    assert outcomes == {"refused", "ended", "open"}


def test_a_hundred_thousand_chunks_of_one_byte_become_one_piece() -> None:
    body = ChunkedBody(MOST_BYTES)
    assert body.take(b"1\r\nx\r\n" * 100_000) == (b"x" * 100_000, b"\r\n")


@pytest.mark.parametrize("line", [b"5\r\n", b"0000000f\r\n"])
def test_lines_are_taken_between_bytes_that_pass_by(line: bytes) -> None:
    body = ChunkedBody(MOST_BYTES)
    for before in (b"", b"\r\n"):
        for size in range(len(before + line)):
            assert body.take_line((before + line)[:size]) == 0
        assert body.take_line((before + line + b"xxxxxxx")[:LONGEST_LINE]) == len(before + line)
        body.pass_by(body.left_bytes)
    assert body.take(b"\r\n0\r\n\r\nGET") == (b"", b"GET")
    assert body.has_ended


@pytest.mark.parametrize("line", [b"0\r\n", b"1;x\r\n", b"1\n", b"x", b"\r\n1\r\n", b"123456789\r\n", b"1 \r\n"])
def test_lines_that_are_not_usual_are_left_to_be_read(line: bytes) -> None:
    body = ChunkedBody(MOST_BYTES)
    assert body.take_line(line[:LONGEST_LINE]) is None
    assert body.left_bytes == 0


def test_a_body_with_a_length_ends_there() -> None:
    body = SizedBody(5)
    assert body.take(b"he") == (b"he", b"")
    body.pass_by(1)
    assert body.take_line(b"1\r\n") is None
    assert body.take(b"loGET") == (b"lo", b"GET")
    assert body.has_ended

"""The lines of a run until they are sent."""

from datetime import UTC, datetime

from jobsvc.engine.worker.log import PIECE_BYTES, RunLog

NOW = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)


def log() -> RunLog:
    """A log whose clock stands."""
    return RunLog(lambda: NOW)


def text(run_log: RunLog) -> bytes:
    """All that waits."""
    return b"".join(piece for _, piece in run_log.waiting(2**30))


def test_a_line_has_a_time_a_level_a_place_and_the_message() -> None:
    run_log = log()
    run_log.warning("disk nearly full")

    assert text(run_log) == b"2026-11-27T05:30:00Z [WARNING] [worker/test_log.py:22]: disk nearly full\n"


def test_no_message_can_look_like_a_line_of_the_program() -> None:
    run_log = log()
    run_log.info("one\r\n2026-11-27T05:30:00Z [ERROR] [a/b.py:1]: two\u2028three")

    first, *others = text(run_log).splitlines()
    assert first.endswith(b"]: one")
    assert [line[:1] for line in others] == [b" ", b" "]


def test_pieces_are_the_same_until_they_are_sent() -> None:
    run_log = log()
    for number in range(2000):
        run_log.info(f"line {number} {'x' * 50}")
    pieces = run_log.waiting(PIECE_BYTES)

    assert run_log.waiting(PIECE_BYTES) == pieces
    assert [sequence for sequence, _ in pieces] == [0]
    run_log.sent(0)
    assert [sequence for sequence, _ in run_log.waiting(PIECE_BYTES)] == [1]


def test_all_lines_come_once_and_in_order_in_whole_lines() -> None:
    run_log = log()
    received = b""
    for number in range(3000):
        run_log.info(f"line {number}")
        if number % 700 == 0:
            for sequence, piece in run_log.waiting(100_000):
                assert len(piece) <= PIECE_BYTES
                assert piece.endswith(b"\n")
                received += piece
                run_log.sent(sequence)
    received += text(run_log)

    assert [line.rpartition(b" ")[2] for line in received.splitlines()] == [b"%d" % number for number in range(3000)]


def test_it_takes_bounded_memory_and_says_what_is_left_out() -> None:
    run_log = log()
    for _ in range(200):
        run_log.info("x" * 100_000)

    assert run_log.waiting_bytes < 1024 * 1024
    [*_, (last, _)] = run_log.waiting(2**30)
    run_log.sent(last)
    assert b"lines are left out here" in text(run_log)


def test_a_long_line_is_cut_between_two_characters() -> None:
    run_log = log()
    run_log.info("ä" * 20_000)

    assert len(text(run_log)) <= 16 * 1024 + 1
    assert text(run_log).decode().endswith("ä\n")

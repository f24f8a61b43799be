"""Logs of tasks: bounded, written once, readable while they are written."""

from __future__ import annotations

import pytest

from jobsvc.engine.domain.model import LogPiece, LogPosition, Task
from jobsvc.engine.domain.reconcile import end_lost
from jobsvc.engine.domain.task_log import after, append_logs, read_log, whole_log
from svckit.errors import DomainError, NotFound
from svckit.sql.database import Database
from tests.contract.jobsvc.engine import Engine


def piece(task: Task, sequence: int, text: str) -> LogPiece:
    return LogPiece(task_id=task.id, position=LogPosition(task.run, sequence), text=text.encode())


async def _running(engine: Engine, count: int = 1) -> list[Task]:
    await engine.enqueue("SHORT", count)
    return await engine.claim(await engine.worker(), count)


async def test_pieces_are_read_in_their_order_while_the_task_runs(engine: Engine) -> None:
    (task,) = await _running(engine)
    assert await whole_log(engine.ports, task.id) == b""

    await append_logs(engine.ports, task.worker_id, [piece(task, 0, "one\n"), piece(task, 1, "two\n")])
    await append_logs(engine.ports, task.worker_id, [piece(task, 2, "three\n")])

    assert await whole_log(engine.ports, task.id) == b"one\ntwo\nthree\n"
    pieces, can_grow = await read_log(engine.ports, task.id, LogPosition(1, 2))
    assert ([each.text for each in pieces], can_grow) == ([b"three\n"], True)
    assert await read_log(engine.ports, task.id, after(pieces[-1].position)) == ([], True)
    await engine.finish(task)
    assert await read_log(engine.ports, task.id, after(pieces[-1].position)) == ([], False)
    assert await whole_log(engine.ports, task.id) == b"one\ntwo\nthree\n"


async def test_a_repeated_piece_is_written_once(engine: Engine) -> None:
    (task,) = await _running(engine)

    for text in ("one\n", "another\n"):
        await append_logs(engine.ports, task.worker_id, [piece(task, 0, text)])

    assert await whole_log(engine.ports, task.id) == b"one\n"


async def test_each_run_has_a_log_and_old_runs_write_no_more(engine: Engine) -> None:
    (old,) = await _running(engine)
    await append_logs(engine.ports, old.worker_id, [piece(old, 0, "first run\n")])
    engine.later(31)
    await end_lost(engine.ports)
    await append_logs(engine.ports, old.worker_id, [piece(old, 1, "nobody's\n")])
    (new,) = await engine.claim(await engine.worker())

    await append_logs(engine.ports, new.worker_id, [piece(new, 0, "second run\n")])
    await append_logs(engine.ports, old.worker_id, [piece(old, 1, "late\n")])

    assert await whole_log(engine.ports, new.id) == b"first run\nsecond run\n"


async def test_a_log_that_is_full_says_so(migrated_database: Database) -> None:
    engine = Engine(migrated_database, task_log_bytes=4096)
    await engine.start()
    task, other = await _running(engine, 2)
    line = "x" * 99 + "\n"

    for sequence in range(6):
        await append_logs(engine.ports, task.worker_id, [piece(task, sequence, line * 10)])
    await append_logs(engine.ports, task.worker_id, [piece(other, 0, "has room\n")])

    lines = (await whole_log(engine.ports, task.id)).decode().splitlines()
    assert lines[:-1] == ["x" * 99] * 40
    assert lines[-1].endswith("[WARNING] [jobsvc]: the log is full, what follows is left out")
    assert await whole_log(engine.ports, other.id) == b"has room\n"


async def test_a_long_log_is_read_in_parts(engine: Engine) -> None:
    (task,) = await _running(engine)
    texts = [f"{number % 10}\n" * 10_000 for number in range(30)]
    for sequence, text in enumerate(texts):
        await append_logs(engine.ports, task.worker_id, [piece(task, sequence, text)])

    first, _ = await read_log(engine.ports, task.id, LogPosition())

    # As many pieces as reach 256 KiB.
    assert len(first) == 14
    assert await whole_log(engine.ports, task.id) == "".join(texts).encode()


async def test_too_much_at_once_is_refused(engine: Engine) -> None:
    (task,) = await _running(engine)

    with pytest.raises(DomainError) as caught:
        await append_logs(engine.ports, task.worker_id, [piece(task, n, "x" * 65_536) for n in range(17)])
    assert caught.value.reason == "REQUEST_TOO_LARGE"


async def test_what_has_no_log_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="task 7 not found"):
        await whole_log(engine.ports, 7)
    (task,) = await _running(engine)
    await engine.finish(task)
    with pytest.raises(NotFound, match="has no log"):
        await whole_log(engine.ports, task.id)
    with pytest.raises(NotFound, match="register"):
        await append_logs(engine.ports, "not-known", [piece(task, 0, "x\n")])

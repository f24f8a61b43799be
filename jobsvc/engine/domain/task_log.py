"""The logs of tasks: written piece by piece by workers, read while they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.domain.model import LogPiece, LogPosition
from jobsvc.engine.domain.status import TaskStatus
from jobsvc.engine.domain.worker import known_worker
from svckit.errors import DomainError, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobsvc.engine.domain.ports import EnginePorts

MAXIMUM_BYTES_AT_ONCE = 1024 * 1024
"""The most bytes of all pieces of one call."""

_READ_BYTES = 256 * 1024


async def append_logs(ports: EnginePorts, worker_id: str, pieces: Sequence[LogPiece]) -> None:
    """Adds pieces to the logs of tasks that run in a worker.

    Pieces of other runs are dropped, and those that are there already are not written again.

    Raises:
        DomainError: NOT_FOUND, the worker is unknown; REQUEST_TOO_LARGE.
    """
    if sum(len(piece.text) for piece in pieces) > MAXIMUM_BYTES_AT_ONCE:
        raise DomainError("REQUEST_TOO_LARGE", f"the pieces have more than {MAXIMUM_BYTES_AT_ONCE} bytes together")
    if not pieces:
        return

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            await known_worker(unit, worker_id)
            task_ids = {piece.task_id for piece in pieces}
            runs = {
                task.id: task.run
                for task in await unit.tasks.lock(task_ids)
                if task.status is TaskStatus.RUNNING and task.worker_id == worker_id
            }
            mine = [piece for piece in pieces if runs.get(piece.task_id) == piece.position.run]
            sizes = dict(await unit.logs.sizes(runs.keys()))
            kept = [
                cut for piece in mine if (cut := _within(piece, sizes, ports.rules.task_log_bytes, now)) is not None
            ]
            if kept:
                await unit.logs.add(kept, {piece.task_id: sizes[piece.task_id] for piece in kept}, now)
                await unit.commit()

    await ports.store.repeat(work)


async def read_log(ports: EnginePorts, task_id: int, start: LogPosition) -> tuple[list[LogPiece], bool]:
    """Reads the next pieces of a log.

    Args:
        ports: the ports of the engine.
        task_id: the task.
        start: the position from which to read.

    Returns:
        The pieces, and whether there can be more after them: those that are there, or those of a task that has not
        ended.

    Raises:
        DomainError: NOT_FOUND, there is no such task.
    """
    async with ports.store.read() as unit:
        # The task first: pieces that are written between the two statements are found, and the end is not missed.
        task = await unit.tasks.get(task_id)
        if task is None:
            raise NotFound(message=f"task {task_id} not found")
        pieces = await unit.logs.read(task_id, start, _READ_BYTES)
    return pieces, bool(pieces) or not task.status.is_final


async def whole_log(ports: EnginePorts, task_id: int) -> bytes:
    """The log of a task, as it is now. It has no more bytes than the setting says.

    Raises:
        DomainError: NOT_FOUND; there is no such task, or it has ended and there is no log, or not any more.
    """
    parts: list[bytes] = []
    position = LogPosition()
    while True:
        pieces, has_more = await read_log(ports, task_id, position)
        parts += [piece.text for piece in pieces]
        if not pieces:
            break
        position = after(pieces[-1].position)
    if not parts and not has_more:
        raise NotFound(message=f"task {task_id} has no log, or not any more")
    return b"".join(parts)


def after(position: LogPosition) -> LogPosition:
    """The position after a piece."""
    return LogPosition(position.run, position.sequence + 1)


def _within(piece: LogPiece, sizes: dict[int, int], most_bytes: int, now: datetime) -> LogPiece | None:
    """The part of a piece for which there is room; None if there is none. `sizes` is kept up to date."""
    size = sizes.get(piece.task_id, 0)
    if size >= most_bytes:
        return None
    text = piece.text
    if size + len(text) > most_bytes:
        # At the end of a line, and with a note, so that nobody takes it for the end of the run.
        text = text[: text.rfind(b"\n", 0, most_bytes - size) + 1]
        text += f"{now:%Y-%m-%dT%H:%M:%SZ} [WARNING] [jobsvc]: the log is full, what follows is left out\n".encode()
        sizes[piece.task_id] = most_bytes
    else:
        sizes[piece.task_id] = size + len(text)
    return LogPiece(task_id=piece.task_id, position=piece.position, text=text)

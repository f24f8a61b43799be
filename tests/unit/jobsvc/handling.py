"""Runs a handler as a worker does, and shows what it has left behind."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobsvc.engine.worker.claimed import Claimed
from jobsvc.engine.worker.run import Ending, Run
from jobsvc.engine.worker.task import Handler, Outcome
from svckit.actor import Actor

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Handled:
    """What a run has left behind.

    Attributes:
        ending: how it ended.
        message: for people.
        outcome: with Ending.SUCCESS.
        lines: its log, without times and places: "INFO some text".
        progress: the last progress: done, total, text.
    """

    ending: Ending | None
    message: str
    outcome: Outcome
    lines: list[str] = field(default_factory=list)
    progress: tuple[int, int, str] = (0, 0, "")


async def handle(
    handler: Handler, parameters: Mapping[str, object], *, started: Callable[[Run], None] = lambda _: None
) -> Handled:
    """Runs a handler to its end.

    Args:
        handler: the handler.
        parameters: of the task.
        started: gets the run before the handler begins.
    """
    ended = asyncio.Event()
    claimed = Claimed(
        task_id=1,
        run=1,
        execution_id=7,
        kind="WORK",
        vendor_id=0,
        parameters=parameters,
        failures=0,
        operator=Actor("user", 3, "alice"),
        lease_seconds=60.0,
    )
    run = Run(claimed, handler, asyncio.get_running_loop().time(), lambda _: ended.set())
    started(run)
    async with asyncio.timeout(30):
        await ended.wait()
    run.close()
    text = b"".join(piece for _, piece in run.log.waiting(_MOST_BYTES)).decode()
    last, _ = run.take_news()
    return Handled(
        ending=run.ending,
        message=run.message,
        outcome=run.outcome,
        lines=[_short(line) for line in text.splitlines()],
        progress=(0, 0, "") if last is None else (last.done, last.total, last.text),
    )


def _short(line: str) -> str:
    _, level, _, message = line.split(" ", 3)
    return f"{level[1:-1]} {message}"

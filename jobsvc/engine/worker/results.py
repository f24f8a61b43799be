"""Sends the ends of runs and their logs to jobsvc, again and again until they are taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsvc.engine.domain.model import LogPiece, LogPosition
from jobsvc.engine.worker.pause import Pause
from jobsvc.engine.worker.protocol import MOST_RESULTS, failed_result, result_of
from jobsvc.engine.worker.run import Ending
from svckit.errors import DomainError, Unavailable
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobsvc.engine.worker.protocol import WorkClient
    from jobsvc.engine.worker.run import Run
    from jobsvc.engine.worker.runs import Runs
    from roadstead.job.v1 import work_pb2

_LOG_CALL_BYTES = 1024 * 1024
_LOG_CALL_PIECES = 1000
_LOG_SECONDS = 1.0
# A message can have 16 MiB, and each result must fit into one.
_RESULT_BYTES = 8 * 1024 * 1024
# A result that jobsvc refuses so often is replaced by an error, and after that given up: its lease ends then.
_MOST_REFUSALS = 5

_log = get_logger(__name__)


class Results:
    """Sends what the runs of a worker leave behind."""

    def __init__(self, client: WorkClient, runs: Runs) -> None:
        """Sends nothing yet."""
        self._client = client
        self._runs = runs
        self._sending_logs = asyncio.Lock()

    async def send_logs(self) -> None:
        """Sends lines of logs each second, until it is cancelled."""
        pause = Pause()
        while True:
            try:
                await self._send_logs(list(self._runs))
            except DomainError:
                # Reports and results fail as well then, and are logged.
                await pause.wait()
            else:
                pause.reset()
                await asyncio.sleep(_LOG_SECONDS)

    async def send_results(self) -> None:
        """Sends the ends of runs as they come, until it is cancelled."""
        pause = Pause()
        while True:
            ended = await self._runs.wait_for_ended()
            try:
                await self._settle(ended[:MOST_RESULTS])
            except DomainError as error:
                _log.warning("results_not_sent", results=len(ended), error=str(error))
                await pause.wait()
            else:
                pause.reset()

    async def _settle(self, ended: Sequence[Run]) -> None:
        self._runs.forget(run for run in ended if run.ending is Ending.LOST)
        if returned := [run for run in ended if run.ending is Ending.RETURNED]:
            await self._send_logs(returned)
            await self._client.give_back(returned)
            self._runs.forget(returned)
        rest = [run for run in ended if run.ending not in (Ending.LOST, Ending.RETURNED)]
        if rest:
            # Before the results, because the log of a run that has ended is closed.
            await self._send_logs(rest)
            for group in _groups([(run, _result(run)) for run in rest]):
                await self._finish(group)

    async def _finish(self, group: Sequence[tuple[Run, work_pb2.TaskResult]]) -> None:
        runs = [run for run, _ in group]
        try:
            await self._client.finish([result for _, result in group])
        except Unavailable:
            raise
        except DomainError as error:
            if len(group) > 1:
                # One of them may be at fault.
                for each in group:
                    await self._finish([each])
                return
            [run] = runs
            run.attempts += 1
            _log.warning("result_refused", kind=run.kind, task=run.id, run=run.run, error=str(error))
            if run.attempts <= 2 * _MOST_REFUSALS:
                raise
        self._runs.forget(runs)

    async def _send_logs(self, runs: Sequence[Run]) -> None:
        # One call at a time, so that the pieces of a run come in order.
        async with self._sending_logs:
            while pieces := _pieces(runs):
                try:
                    await self._client.append_logs(
                        [
                            LogPiece(task_id=run.id, position=LogPosition(run.run, at), text=text)
                            for run, at, text in pieces
                        ]
                    )
                except Unavailable:
                    raise
                except DomainError as error:
                    # A log that is refused must not hold up the result.
                    _log.warning("log_refused", pieces=len(pieces), error=str(error))
                for run, at, _ in pieces:
                    run.log.sent(at)


def _pieces(runs: Iterable[Run]) -> list[tuple[Run, int, bytes]]:
    """What the next call carries."""
    pieces: list[tuple[Run, int, bytes]] = []
    left = _LOG_CALL_BYTES
    for run in runs:
        for sequence, text in run.log.waiting(left):
            if len(text) > left or len(pieces) == _LOG_CALL_PIECES:
                return pieces
            pieces.append((run, sequence, text))
            left -= len(text)
    return pieces


def _result(run: Run) -> work_pb2.TaskResult:
    if run.attempts > _MOST_REFUSALS:
        return failed_result(run, "jobsvc has refused the result of the handler")
    try:
        result = result_of(run)
    except (ValueError, TypeError) as error:
        return failed_result(run, str(error))
    if result.ByteSize() > _RESULT_BYTES:
        return failed_result(run, f"the result of the handler has more than {_RESULT_BYTES} bytes")
    return result


def _groups(
    results: Sequence[tuple[Run, work_pb2.TaskResult]],
) -> Iterable[Sequence[tuple[Run, work_pb2.TaskResult]]]:
    """Results that go in one call each."""
    group: list[tuple[Run, work_pb2.TaskResult]] = []
    size = 0
    for run, result in results:
        if group and size + result.ByteSize() > _RESULT_BYTES:
            yield group
            group, size = [], 0
        group.append((run, result))
        size += result.ByteSize()
    yield group

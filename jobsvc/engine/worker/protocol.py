"""What a worker says to jobsvc, and hears, with the types of the engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jobsvc.engine.convert import VERDICTS, from_document, to_document
from jobsvc.engine.domain.document import MAXIMUM_BYTES
from jobsvc.engine.domain.report import Verdict
from jobsvc.engine.worker.claimed import Claimed
from jobsvc.engine.worker.run import Ending
from roadstead.job.v1 import work_pb2
from roadstead.job.v1 import work_service_pb2 as pb
from roadstead.job.v1.work_service_pb2_grpc import WorkServiceStub
from svckit.convert import from_time, to_actor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.model import LogPiece, Report
    from jobsvc.engine.worker.run import Run
    from roadstead.job.v1.work_service_pb2_grpc import WorkServiceAsyncStub
    from svckit.rpc import RpcChannel

LONGEST_WAIT_SECONDS = 30
"""How long a claim waits for tasks."""
MOST_RESULTS = 100
"""The most results of one call. The contract has the same bound."""

# A claim that waits must be answered a little later than it was asked to.
_CLAIM_EXTRA_SECONDS = 15.0
_MOST_TASKS = 1000
_VERDICTS = {message: verdict for verdict, message in VERDICTS.items()}
_OUTCOMES: Mapping[Ending, work_pb2.Outcome.ValueType] = {
    Ending.SUCCESS: work_pb2.OUTCOME_SUCCESS,
    Ending.ERROR: work_pb2.OUTCOME_ERROR,
    Ending.FINAL_ERROR: work_pb2.OUTCOME_FINAL_ERROR,
    Ending.STOPPED: work_pb2.OUTCOME_STOPPED,
}


class WorkClient:
    """Calls `roadstead.job.v1.WorkService`. All calls raise DomainError, and may be repeated."""

    def __init__(self, channel: RpcChannel, worker_id: str) -> None:
        """Takes a channel on which the worker acts for itself, and the id of the worker."""
        self._stub: WorkServiceAsyncStub = WorkServiceStub(channel)
        self._worker_id = worker_id

    async def register(
        self, *, host: str, pid: int, concurrency: int, kinds: Collection[str], start: datetime
    ) -> float:
        """Makes the worker known. Returns how often it should report, in seconds."""
        answer = await self._stub.RegisterWorker(
            pb.RegisterWorkerRequest(
                worker_id=self._worker_id,
                host=host[:255],
                pid=pid,
                concurrency=concurrency,
                kinds=sorted(kinds),
                start_time=from_time(start),
            )
        )
        return answer.report_seconds

    async def claim(self, *, places: int, claim_key: str) -> Sequence[Claimed]:
        """Takes tasks. Waits for some."""
        request = pb.ClaimTasksRequest(
            worker_id=self._worker_id, places=places, claim_key=claim_key, wait_seconds=LONGEST_WAIT_SECONDS
        )
        # With a time limit: a server that hangs would otherwise be waited for as long as its connection stands.
        stream = self._stub.ClaimTasks(request, timeout=LONGEST_WAIT_SECONDS + _CLAIM_EXTRA_SECONDS)
        return [_claimed(task) async for response in stream for task in response.tasks]

    async def report(self, reports: Sequence[Report], *, timeout_seconds: float) -> Sequence[Verdict]:
        """Says how far runs are, and prolongs their leases. Returns what to do with each."""
        answer = await self._stub.ReportTasks(
            pb.ReportTasksRequest(
                worker_id=self._worker_id,
                reports=[
                    work_pb2.TaskReport(
                        task_id=report.task_id,
                        run=report.run,
                        progress=None
                        if report.progress is None
                        else work_pb2.TaskReportProgress(
                            done=report.progress.done, total=report.progress.total, text=report.progress.text
                        ),
                        check_in=report.check_in,
                    )
                    for report in reports
                ],
            ),
            timeout=timeout_seconds,
        )
        return [_VERDICTS[each.verdict] for each in answer.verdicts]

    async def append_logs(self, pieces: Sequence[LogPiece]) -> None:
        """Adds pieces to the logs of runs."""
        await self._stub.AppendTaskLogs(
            pb.AppendTaskLogsRequest(
                worker_id=self._worker_id,
                pieces=[
                    work_pb2.TaskLogPiece(
                        task_id=piece.task_id,
                        run=piece.position.run,
                        sequence=piece.position.sequence,
                        text=piece.text,
                    )
                    for piece in pieces
                ],
            )
        )

    async def finish(self, results: Sequence[work_pb2.TaskResult]) -> None:
        """Ends runs. What is not this worker's any more changes nothing."""
        await self._stub.FinishTasks(pb.FinishTasksRequest(worker_id=self._worker_id, results=results))

    async def give_back(self, runs: Sequence[Run]) -> None:
        """Gives runs back unfinished."""
        await self._stub.ReturnTasks(
            pb.ReturnTasksRequest(
                worker_id=self._worker_id, runs=[work_pb2.TaskRun(task_id=run.id, run=run.run) for run in runs]
            )
        )

    async def unregister(self) -> None:
        """Takes the worker off the list."""
        await self._stub.UnregisterWorker(pb.UnregisterWorkerRequest(worker_id=self._worker_id))


def result_of(run: Run) -> work_pb2.TaskResult:
    """The result of a run that has ended.

    Raises:
        ValueError: the outcome has something that cannot be sent.
        KeyError: the run is lost or returned, which is no result.
    """
    result = work_pb2.TaskResult(task_id=run.id, run=run.run, outcome=_OUTCOMES[run.ending or Ending.ERROR])
    result.message = run.message
    if run.ending is not Ending.SUCCESS:
        return result
    outcome = run.outcome
    _set(result.extra_attributes, outcome.extra_attributes, "extra_attributes")
    _set(result.execution_extra_attributes, outcome.execution_extra_attributes, "execution_extra_attributes")
    if len(outcome.added_tasks) > _MOST_TASKS:
        raise ValueError(f"the handler adds {len(outcome.added_tasks)} tasks; {_MOST_TASKS} are allowed")
    for added in outcome.added_tasks:
        task = result.new_tasks.add(kind=added.kind, due_time=from_time(added.due_time))
        _set(task.parameters, added.parameters, "parameters")
        _set(task.extra_attributes, added.extra_attributes, "extra_attributes")
        if added.priority is not None:
            task.priority = added.priority
    return result


def failed_result(run: Run, message: str) -> work_pb2.TaskResult:
    """The result of a run whose own result cannot be sent. Another try would bring the same."""
    return work_pb2.TaskResult(
        task_id=run.id, run=run.run, outcome=work_pb2.OUTCOME_FINAL_ERROR, message=message[:1024]
    )


def _set(struct: object, document: Mapping[str, object], name: str) -> None:
    try:
        size = len(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} of the handler are not JSON: {error}") from error
    if size > MAXIMUM_BYTES:
        raise ValueError(f"{name} of the handler have {size} bytes of JSON; {MAXIMUM_BYTES} are allowed")
    if document:
        struct.CopyFrom(from_document(document))  # type: ignore[attr-defined]


def _claimed(task: work_pb2.ClaimedTask) -> Claimed:
    return Claimed(
        task_id=task.task_id,
        run=task.run,
        execution_id=task.execution_id,
        kind=task.kind,
        vendor_id=task.vendor_id,
        parameters=to_document(task.parameters),
        failures=task.failure_count,
        operator=to_actor(task.operator),
        lease_seconds=task.lease_seconds,
    )

"""The engine over gRPC: a worker's whole life, logs that are followed, and what an administrator sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from roadstead.job.v1 import (
    execution_service_pb2,
    execution_service_pb2_grpc,
    execution_sweep_service_pb2,
    execution_sweep_service_pb2_grpc,
    job_queue_service_pb2,
    job_queue_service_pb2_grpc,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    work_pb2,
    work_service_pb2,
    work_service_pb2_grpc,
    worker_pool_service_pb2,
    worker_pool_service_pb2_grpc,
)
from svckit.errors import DomainError, Invalid, NotFound, Unavailable
from tests.contract.jobsvc.engine import Engine
from tests.contract.jobsvc.remote import Remote, serving

WORKER = "worker-0123456789"
LONG_SECONDS = 20


@pytest.fixture
async def remote(engine: Engine) -> AsyncIterator[Remote]:
    async with serving(engine) as remote:
        yield remote


class Worker:
    """A worker that calls by hand."""

    def __init__(self, remote: Remote, worker_id: str = WORKER) -> None:
        self.id = worker_id
        self._stub: Any = work_service_pb2_grpc.WorkServiceStub(remote.worker)
        self._claims = 0

    async def call(self, name: str, **fields: Any) -> Any:
        request = getattr(work_service_pb2, f"{name}Request")(worker_id=self.id, **fields)
        return await getattr(self._stub, name)(request)

    async def register(self, concurrency: int = 5) -> None:
        await self.call("RegisterWorker", host="here", pid=12, concurrency=concurrency, kinds=["SHORT", "TRIED"])

    async def claim(self, *, places: int = 5, wait_seconds: int = 0, key: str = "") -> list[work_pb2.ClaimedTask]:
        self._claims += 1
        request = work_service_pb2.ClaimTasksRequest(
            worker_id=self.id,
            places=places,
            claim_key=key or f"claim-{self._claims:04}",
            wait_seconds=wait_seconds,
        )
        (answer,) = [answer async for answer in self._stub.ClaimTasks(request)]
        return list(answer.tasks)


class Admin:
    """An administrator."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def _stub(self, module: Any, name: str) -> Any:
        return getattr(module, f"{name}Stub")(self._remote.admin)

    async def executions(self, name: str, **fields: Any) -> Any:
        request = getattr(execution_service_pb2, f"{name}Request")(**fields)
        stub = self._stub(execution_service_pb2_grpc, "ExecutionService")
        return await getattr(stub, name)(request, metadata=self._remote.metadata)

    async def tasks(self, name: str, **fields: Any) -> Any:
        request = getattr(task_service_pb2, f"{name}Request")(**fields)
        stub = self._stub(task_service_pb2_grpc, "TaskService")
        return await getattr(stub, name)(request, metadata=self._remote.metadata)

    def follow(self, **fields: Any) -> Any:
        stub = self._stub(task_service_pb2_grpc, "TaskService")
        return stub.ReadTaskLog(task_service_pb2.ReadTaskLogRequest(**fields), metadata=self._remote.metadata)


async def test_the_life_of_a_worker(engine: Engine, remote: Remote) -> None:
    worker, admin = Worker(remote), Admin(remote)
    with pytest.raises(NotFound):
        await worker.claim()
    await worker.register()
    started = await admin.executions("StartExecution", kind="SHORT", idempotency_key="once")

    (task,) = await worker.claim()

    assert (task.run, task.kind, task.execution_id) == (1, "SHORT", started.execution.id)
    assert (task.lease_seconds, task.operator.kind) == (30, "user")
    assert await worker.claim(key="claim-0002") == [task]
    report = work_pb2.TaskReport(
        task_id=task.task_id, run=1, progress=work_pb2.TaskReportProgress(done=1, total=2, text="half"), check_in="here"
    )
    (verdict,) = (await worker.call("ReportTasks", reports=[report])).verdicts
    assert verdict.verdict == work_pb2.VERDICT_GO_ON
    shown = (await admin.tasks("GetTask", task_id=task.task_id)).task
    assert (shown.status, shown.progress.text, shown.check_in, shown.worker_id) == ("Running", "half", "here", WORKER)
    attributes = Struct()
    attributes.update({"deleted": 3, "share": 0.5, "names": ["a"]})
    result = work_pb2.TaskResult(
        task_id=task.task_id,
        run=1,
        outcome=work_pb2.OUTCOME_SUCCESS,
        extra_attributes=attributes,
        new_tasks=[work_pb2.NewTask(kind="TRIED")],
    )
    for _ in range(2):
        (answer,) = (await worker.call("FinishTasks", results=[result])).answers
        assert answer.accepted
    listed = (await admin.tasks("ListTasks", execution_id=task.execution_id, with_total=True)).tasks
    assert [(each.kind, each.status) for each in listed] == [("SHORT", "Success"), ("TRIED", "Pending")]
    assert listed[0].extra_attributes["deleted"] == 3
    (second,) = await worker.claim()
    await worker.call("ReturnTasks", runs=[work_pb2.TaskRun(task_id=second.task_id, run=second.run)])
    (again,) = await worker.claim()
    assert (again.task_id, again.run) == (second.task_id, 2)
    await worker.call("UnregisterWorker")
    assert (await admin.tasks("GetTask", task_id=second.task_id)).task.status == "Pending"


async def test_a_claim_that_waits_is_woken_at_once(engine: Engine, remote: Remote) -> None:
    worker = Worker(remote)
    await worker.register()
    waiting = asyncio.create_task(worker.claim(wait_seconds=LONG_SECONDS))
    while not engine.ports.wakes.has_waiting:
        await asyncio.sleep(0.01)

    async with asyncio.timeout(LONG_SECONDS / 2):
        await engine.enqueue("SHORT")
        (task,) = await waiting

    assert task.kind == "SHORT"
    assert not engine.ports.wakes.has_waiting


async def test_a_claim_that_waits_in_vain_is_answered_empty(engine: Engine, remote: Remote) -> None:
    worker = Worker(remote)
    await worker.register()
    await engine.enqueue("LONG")

    assert await worker.claim(wait_seconds=1) == []


async def test_a_claim_that_waits_does_not_hold_up_the_end_of_the_server(engine: Engine, remote: Remote) -> None:
    worker = Worker(remote)
    await worker.register()
    waiting = asyncio.create_task(worker.claim(wait_seconds=60))
    while not engine.ports.wakes.has_waiting:
        await asyncio.sleep(0.01)

    async with asyncio.timeout(LONG_SECONDS):
        await remote.server.drain(LONG_SECONDS / 2)
        with pytest.raises(Unavailable):
            await waiting


async def test_a_stop_is_heard_with_the_next_report(engine: Engine, remote: Remote) -> None:
    worker, admin = Worker(remote), Admin(remote)
    await worker.register()
    execution = await engine.enqueue("SHORT", 2)
    first, second = await worker.claim(places=2)

    await admin.tasks("StopRunningJobs", job_id=str(first.task_id))
    await admin.executions("StopExecution", execution_id=execution.id)

    reports = [work_pb2.TaskReport(task_id=task.task_id, run=task.run) for task in (first, second)]
    reports.append(work_pb2.TaskReport(task_id=second.task_id, run=7))
    verdicts = (await worker.call("ReportTasks", reports=reports)).verdicts
    assert [verdict.verdict for verdict in verdicts] == [
        work_pb2.VERDICT_STOP,
        work_pb2.VERDICT_STOP,
        work_pb2.VERDICT_LOST,
    ]


async def test_a_log_is_followed_to_its_end_and_gone_on_with(engine: Engine, remote: Remote) -> None:
    worker, admin = Worker(remote), Admin(remote)
    await worker.register()
    await engine.enqueue("SHORT")
    (task,) = await worker.claim()

    async def append(sequence: int, text: bytes) -> None:
        piece = work_pb2.TaskLogPiece(task_id=task.task_id, run=task.run, sequence=sequence, text=text)
        await worker.call("AppendTaskLogs", pieces=[piece])

    answers = aiter(admin.follow(task_id=task.task_id, follow=True))
    await append(0, b"one\n")
    first = await anext(answers)
    await append(1, b"two\n")
    second = await anext(answers)
    result = work_pb2.TaskResult(task_id=task.task_id, run=task.run, outcome=work_pb2.OUTCOME_SUCCESS)
    await worker.call("FinishTasks", results=[result])
    rest = [answer async for answer in answers]

    assert (first.text, second.text, rest) == (b"one\n", b"two\n", [])
    later = admin.follow(task_id=task.task_id, run=first.next_run, sequence=first.next_sequence)
    assert [answer.text async for answer in later] == [b"two\n"]
    for whole in (
        await admin.tasks("GetTaskLog", task_id=task.task_id),
        await admin.tasks("GetJobLog", job_id=str(task.task_id)),
    ):
        assert (whole.log.content_type, whole.log.data) == ("text/plain; charset=utf-8", b"one\ntwo\n")
    with pytest.raises(NotFound):
        await admin.tasks("GetJobLog", job_id="unknown")
    with pytest.raises(NotFound):
        _ = [answer async for answer in admin.follow(task_id=999)]


async def test_a_result_without_an_outcome_or_twice_is_refused(engine: Engine, remote: Remote) -> None:
    worker = Worker(remote)
    await worker.register()
    await engine.enqueue("SHORT")
    (task,) = await worker.claim()
    result = work_pb2.TaskResult(task_id=task.task_id, run=task.run, outcome=work_pb2.OUTCOME_SUCCESS)

    for results in ([work_pb2.TaskResult(task_id=task.task_id, run=task.run)], [result, result]):
        with pytest.raises(Invalid):
            await worker.call("FinishTasks", results=results)

    assert (await engine.task(task.task_id)).status == "Running"


async def test_an_administrator_lists_queues_schedules_and_pools(engine: Engine, remote: Remote) -> None:
    await Worker(remote).register(concurrency=2)
    await engine.enqueue("LONG")
    engine.later(9)
    await Admin(remote).executions("StartExecution", kind="short")
    metadata = remote.metadata

    stub: Any = job_queue_service_pb2_grpc.JobQueueServiceStub(remote.admin)
    request = job_queue_service_pb2.ActOnJobQueueRequest(job_type="long", action="pause")
    await stub.ActOnJobQueue(request, metadata=metadata)
    queues = (await stub.ListJobQueues(job_queue_service_pb2.ListJobQueuesRequest(), metadata=metadata)).queues
    assert [(each.latency_seconds, each.paused) for each in queues if each.pending_count] == [(9, True), (0, False)]
    schedules: Any = schedule_service_pb2_grpc.ScheduleServiceStub(remote.admin)
    listed = await schedules.ListSchedules(
        schedule_service_pb2.ListSchedulesRequest(with_total=True), metadata=metadata
    )
    assert (listed.total_size, listed.schedules[0].cron, len(listed.schedules[0].next_times)) == (1, "0 0 0 * * *", 5)
    paused = await schedules.GetSchedulerStatus(
        schedule_service_pb2.GetSchedulerStatusRequest(job_type="all"), metadata=metadata
    )
    assert not paused.paused
    pools: Any = worker_pool_service_pb2_grpc.WorkerPoolServiceStub(remote.admin)
    (pool,) = (await pools.ListWorkerPools(worker_pool_service_pb2.ListWorkerPoolsRequest(), metadata=metadata)).pools
    assert (pool.id, pool.pid, pool.concurrency, pool.host) == (WORKER, 12, 2, "here")
    all_pools = worker_pool_service_pb2.ListWorkersRequest(pool_id="all")
    places = (await pools.ListWorkers(all_pools, metadata=metadata)).workers
    assert [place.job_id for place in places] == ["", ""]


async def test_an_administrator_deletes_what_has_ended(engine: Engine, remote: Remote) -> None:
    admin = Admin(remote)
    execution = await engine.enqueue("SHORT")
    with pytest.raises(DomainError) as caught:
        await admin.executions("DeleteExecution", execution_id=execution.id)
    assert caught.value.reason == "PRECONDITION"
    await admin.executions("StopExecution", execution_id=execution.id)

    await admin.executions("DeleteExecution", execution_id=execution.id)

    with pytest.raises(NotFound):
        await admin.executions("GetExecution", execution_id=execution.id)
    assert not (await admin.executions("ListExecutions")).executions


async def test_the_sweep_is_for_workers(engine: Engine, remote: Remote) -> None:
    stub: Any = execution_sweep_service_pb2_grpc.ExecutionSweepServiceStub(remote.worker)
    swept = await stub.SweepExecutions(execution_sweep_service_pb2.SweepExecutionsRequest())
    assert swept == execution_sweep_service_pb2.SweepExecutionsResponse()

    others: Any = execution_sweep_service_pb2_grpc.ExecutionSweepServiceStub(remote.admin)
    with pytest.raises(DomainError) as caught:
        await others.SweepExecutions(execution_sweep_service_pb2.SweepExecutionsRequest(), metadata=remote.metadata)
    assert caught.value.reason == "UNAUTHORIZED"

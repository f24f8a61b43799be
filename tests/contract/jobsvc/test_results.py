"""How runs end, what follows for the task and its execution, and what does not count."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from jobsvc.engine.domain.enqueue import enqueue
from jobsvc.engine.domain.finish import RunOutcome, RunResult, finish_tasks
from jobsvc.engine.domain.model import NewExecution, NewTask, Progress, Report
from jobsvc.engine.domain.reconcile import LOST_TOO_OFTEN, end_lost, queue_due, reconcile
from jobsvc.engine.domain.report import Verdict, report_tasks
from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts, TaskStatus, Trigger
from jobsvc.engine.domain.stop import stop_execution
from svckit.errors import DomainError, Invalid, NotFound
from tests.contract.jobsvc.engine import ADMIN, Engine


async def test_a_success_ends_the_task_and_its_execution(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())
    engine.later(5)

    attributes = {"deleted": 3, "names": ["a", None], "part": {"share": 0.5}}
    assert await engine.finish(
        task, message="all done", extra_attributes=attributes, execution_extra_attributes={"freed": 7}
    )

    done = await engine.task(task.id)
    assert (done.status, done.status_message, done.end_time) == (TaskStatus.SUCCESS, "all done", engine.now)
    assert (done.extra_attributes, done.lease_end_time) == (attributes, None)
    ended = await engine.execution(execution.id)
    assert (ended.status, ended.end_time, ended.extra_attributes) == (
        ExecutionStatus.SUCCESS,
        engine.now,
        {"freed": 7},
    )
    assert ended.counts == TaskCounts(success=1)
    assert engine.observed.counts["finished", "SHORT", "success"] == 1


async def test_a_repeated_result_counts_again_and_changes_nothing(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())
    assert await engine.finish(task, message="first")
    done = await engine.task(task.id)
    engine.later(5)

    assert await engine.finish(task, RunOutcome.ERROR, message="second")

    assert await engine.task(task.id) == done
    assert engine.observed.counts["finished", "SHORT", "success"] == 1


@pytest.mark.parametrize("outcome", RunOutcome)
async def test_what_is_said_of_an_old_run_changes_nothing(engine: Engine, outcome: RunOutcome) -> None:
    execution = await engine.enqueue("TRIED")
    slow, other = await engine.worker(), await engine.worker()
    (old,) = await engine.claim(slow)
    engine.later(31)
    await end_lost(engine.ports)
    between = await engine.task(old.id)
    # Nobody has the task now, and it is not the slow worker's any more.
    assert not await engine.finish(old, outcome)
    assert await engine.task(old.id) == between
    (new,) = await engine.claim(other)
    assert (new.id, new.run) == (old.id, 2)

    assert not await engine.finish(old, outcome, new_tasks=[NewTask()], execution_extra_attributes={"late": True})
    late = Report(task_id=old.id, run=old.run, progress=Progress(done=9, total=9, text="late"), check_in="late")
    assert await report_tasks(engine.ports, slow, [late]) == [Verdict.LOST]

    assert await engine.task(old.id) == new
    held = await engine.execution(execution.id)
    assert (held.counts, held.extra_attributes) == (TaskCounts(running=1), {})
    assert await engine.finish(new)


async def test_a_failed_task_waits_longer_each_time_and_then_ends(engine: Engine) -> None:
    execution = await engine.enqueue("TRIED")
    worker_id = await engine.worker()

    for failures, seconds in ((1, 10), (2, 15)):
        (task,) = await engine.claim(worker_id)
        assert await engine.finish(task, RunOutcome.ERROR, message=f"failure {failures}")
        failed = await engine.task(task.id)
        assert (failed.status, failed.failures, failed.due_time) == (
            TaskStatus.SCHEDULED,
            failures,
            engine.now + timedelta(seconds=seconds),
        )
        assert failed.status_message == f"failure {failures}"
        assert (await engine.execution(execution.id)).counts == TaskCounts(scheduled=1)
        engine.later(seconds - 1)
        assert await queue_due(engine.ports) == 0
        assert not await engine.claim(worker_id)
        engine.later(1)
        assert await queue_due(engine.ports) == 1
    (task,) = await engine.claim(worker_id)
    assert (task.run, task.failures, task.status_message) == (3, 2, "")
    assert await engine.finish(task, RunOutcome.ERROR, message="the last one")

    ended = await engine.task(task.id)
    assert (ended.status, ended.failures, ended.end_time) == (TaskStatus.ERROR, 3, engine.now)
    assert (await engine.execution(execution.id)).status is ExecutionStatus.ERROR
    assert engine.observed.counts["finished", "TRIED", "retry"] == 2
    assert engine.observed.counts["finished", "TRIED", "error"] == 1


async def test_a_final_failure_is_not_tried_again(engine: Engine) -> None:
    await engine.enqueue("TRIED")
    (task,) = await engine.claim(await engine.worker())

    assert await engine.finish(task, RunOutcome.FINAL_ERROR)

    assert (await engine.task(task.id)).status is TaskStatus.ERROR


async def test_a_kind_with_one_failure_ends_with_the_first(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())

    assert await engine.finish(task, RunOutcome.ERROR)

    assert (await engine.task(task.id)).status is TaskStatus.ERROR


STATUSES = [
    ((RunOutcome.SUCCESS, RunOutcome.SUCCESS), ExecutionStatus.SUCCESS),
    ((RunOutcome.SUCCESS, RunOutcome.STOPPED), ExecutionStatus.STOPPED),
    ((RunOutcome.STOPPED, RunOutcome.FINAL_ERROR), ExecutionStatus.ERROR),
    ((RunOutcome.SUCCESS, RunOutcome.ERROR), ExecutionStatus.RUNNING),
    ((RunOutcome.FINAL_ERROR, None), ExecutionStatus.RUNNING),
    ((RunOutcome.STOPPED, None), ExecutionStatus.RUNNING),
]


@pytest.mark.parametrize(("outcomes", "status"), STATUSES)
async def test_the_status_of_an_execution_follows_its_tasks(
    engine: Engine, outcomes: tuple[RunOutcome | None, ...], status: ExecutionStatus
) -> None:
    execution = await engine.enqueue("TRIED", len(outcomes))
    tasks = await engine.claim(await engine.worker(), len(outcomes))

    for task, outcome in zip(tasks, outcomes, strict=True):
        if outcome is not None:
            assert await engine.finish(task, outcome)

    held = await engine.execution(execution.id)
    assert held.status is status
    assert (held.end_time is None) == (status is ExecutionStatus.RUNNING)


async def test_a_success_adds_tasks_in_the_same_moment(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    worker_id = await engine.worker()
    (task,) = await engine.claim(worker_id)
    later = engine.now + timedelta(hours=1)

    assert await engine.finish(
        task,
        new_tasks=[
            NewTask(parameters={"part": 1}),
            NewTask(kind="urgent", extra_attributes={"shown": True}),
            NewTask(due_time=later, priority=3),
        ],
    )

    held = await engine.execution(execution.id)
    assert (held.status, held.counts) == (ExecutionStatus.RUNNING, TaskCounts(pending=2, scheduled=1, success=1))
    first, second, third = (await engine.tasks(execution.id))[1:]
    assert (first.kind, first.parameters, first.priority) == ("SHORT", {"part": 1}, 100)
    assert (second.kind, second.extra_attributes, second.priority) == ("URGENT", {"shown": True}, 10)
    assert (third.due_time, third.priority) == (later, 3)
    # A repeat does not add them once more.
    assert await engine.finish(task, new_tasks=[NewTask()])
    assert (await engine.execution(execution.id)).counts.total == 4


async def test_a_failure_adds_no_tasks(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())

    assert await engine.finish(task, RunOutcome.ERROR, new_tasks=[NewTask()])

    assert (await engine.execution(execution.id)).counts == TaskCounts(error=1)


async def test_tasks_that_come_to_a_stopped_execution_do_not_run(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    worker_id = await engine.worker()
    (task,) = await engine.claim(worker_id)
    await stop_execution(engine.ports, execution.id)

    assert await engine.finish(task, new_tasks=[NewTask()])

    assert not await engine.claim(worker_id)
    held = await engine.execution(execution.id)
    assert (held.status, held.counts) == (ExecutionStatus.STOPPED, TaskCounts(success=1, stopped=1))


async def test_an_unknown_kind_of_a_new_task_is_refused_and_nothing_changes(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())

    with pytest.raises(Invalid, match=r"new_tasks\.kind"):
        await engine.finish(task, new_tasks=[NewTask(kind="OTHER")])

    assert await engine.task(task.id) == task


@pytest.mark.parametrize("document", [{"text": "a\0b"}, {"text": "x" * 65_537}, {"number": float("inf")}])
async def test_attributes_that_no_row_can_hold_are_refused(engine: Engine, document: dict[str, object]) -> None:
    await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())

    with pytest.raises(DomainError) as caught:
        await engine.finish(task, extra_attributes=document)
    assert caught.value.reason == "BAD_REQUEST"


async def test_an_execution_without_tasks_has_ended(engine: Engine) -> None:
    new = NewExecution(
        kind="SHORT", operator=ADMIN, trigger=Trigger.EVENT, tasks=(), message="no resources for retention"
    )

    made = await enqueue(engine.ports, new)

    assert (made.status, made.status_message, made.end_time) == (
        ExecutionStatus.SUCCESS,
        "no resources for retention",
        engine.now,
    )


async def test_a_report_prolongs_the_lease_and_shows_the_progress(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    worker_id = await engine.worker()
    (task,) = await engine.claim(worker_id)

    for _ in range(5):
        engine.later(20)
        report = Report(task_id=task.id, run=task.run)
        assert await report_tasks(engine.ports, worker_id, [report]) == [Verdict.GO_ON]
        assert await end_lost(engine.ports) == 0
    progress = Progress(done=3, total=4, text="blobs")
    said = Report(task_id=task.id, run=task.run, progress=progress, check_in="here")
    assert await report_tasks(engine.ports, worker_id, [said]) == [Verdict.GO_ON]

    held = await engine.task(task.id)
    assert (held.progress, held.check_in, held.check_in_time) == (progress, "here", engine.now)
    # What is not said again stays.
    engine.later(20)
    await report_tasks(engine.ports, worker_id, [Report(task_id=task.id, run=task.run)])
    assert (await engine.task(task.id)).progress == progress


async def test_a_report_of_an_unknown_worker_or_task_is_answered(engine: Engine) -> None:
    with pytest.raises(NotFound, match="register"):
        await report_tasks(engine.ports, "not-known", [])

    worker_id = await engine.worker()
    assert await report_tasks(engine.ports, worker_id, [Report(task_id=7, run=1)]) == [Verdict.LOST]


async def test_the_task_of_a_dead_worker_runs_again_and_not_for_ever(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")

    for losses in range(1, 11):
        (task,) = await engine.claim(await engine.worker())
        engine.later(29)
        assert await end_lost(engine.ports) == 0
        engine.later(1)
        assert await end_lost(engine.ports) == 1
        lost = await engine.task(task.id)
        assert (lost.losses, lost.failures, lost.run) == (losses, 0, losses)

    (lost,) = await engine.tasks(execution.id)
    assert (lost.status, lost.status_message) == (TaskStatus.ERROR, LOST_TOO_OFTEN)
    assert (await engine.execution(execution.id)).status is ExecutionStatus.ERROR
    assert engine.observed.counts["lost", "SHORT"] == 10


async def test_a_round_of_the_reconciler_does_it_all(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    (lost,) = await engine.claim(await engine.worker())
    await engine.enqueue("LONG", due_time=engine.now + timedelta(seconds=40))
    engine.later(60)

    await reconcile(engine.ports)

    assert (await engine.task(lost.id)).status is TaskStatus.PENDING
    assert {task.kind for task in await engine.claim(await engine.worker(), 5)} == {"SHORT", "LONG"}


async def test_many_results_at_once_are_counted_exactly(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT", 80)
    workers = [await engine.worker(100) for _ in range(4)]

    async def work(worker_id: str) -> None:
        while tasks := await engine.claim(worker_id, 8):
            results = [RunResult(task_id=task.id, run=task.run, outcome=RunOutcome.SUCCESS) for task in tasks]
            assert all(await finish_tasks(engine.ports, worker_id, results))

    await asyncio.gather(*map(work, workers))

    held = await engine.execution(execution.id)
    assert (held.status, held.counts) == (ExecutionStatus.SUCCESS, TaskCounts(success=80))

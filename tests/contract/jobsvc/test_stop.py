"""Stops: of what waits at once, of what runs with the next report."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobsvc.engine.domain.enqueue import enqueue
from jobsvc.engine.domain.finish import RunOutcome, return_tasks
from jobsvc.engine.domain.model import NewExecution, Report
from jobsvc.engine.domain.queue import act_on_queue, list_queues
from jobsvc.engine.domain.reconcile import end_lost
from jobsvc.engine.domain.report import Verdict, report_tasks
from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts, TaskStatus, Trigger
from jobsvc.engine.domain.stop import stop_execution, stop_running, stop_task
from svckit.errors import Invalid, NotFound
from tests.contract.jobsvc.engine import ADMIN, Engine


async def test_a_task_that_waits_is_stopped_at_once(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    (task,) = await engine.tasks(execution.id)

    stopped = await stop_task(engine.ports, task.id)

    assert (stopped.status, stopped.end_time, stopped.stop_requested) == (TaskStatus.STOPPED, engine.now, True)
    assert (await engine.execution(execution.id)).status is ExecutionStatus.STOPPED
    assert not await engine.claim(await engine.worker())


async def test_a_running_task_is_told_with_its_next_report(engine: Engine) -> None:
    await engine.enqueue("SHORT")
    worker_id = await engine.worker()
    (task,) = await engine.claim(worker_id)
    report = Report(task_id=task.id, run=task.run)

    assert (await stop_task(engine.ports, task.id)).status is TaskStatus.RUNNING

    assert await report_tasks(engine.ports, worker_id, [report]) == [Verdict.STOP]
    assert await report_tasks(engine.ports, worker_id, [report]) == [Verdict.STOP]
    assert await engine.finish(task, RunOutcome.STOPPED)
    assert (await engine.task(task.id)).status is TaskStatus.STOPPED
    assert await report_tasks(engine.ports, worker_id, [report]) == [Verdict.LOST]


async def test_a_task_that_was_asked_to_stop_does_not_run_again(engine: Engine) -> None:
    await engine.enqueue("TRIED", 3)
    worker_id = await engine.worker()
    failed, returned, lost = await engine.claim(worker_id, 3)
    await stop_running(engine.ports, "all")

    assert await engine.finish(failed, RunOutcome.ERROR)
    await return_tasks(engine.ports, worker_id, [(returned.id, returned.run)])
    engine.later(31)
    await end_lost(engine.ports)

    statuses = [(await engine.task(task.id)).status for task in (failed, returned, lost)]
    assert statuses == [TaskStatus.ERROR, TaskStatus.STOPPED, TaskStatus.STOPPED]


async def test_a_task_that_has_succeeded_all_the_same_is_a_success(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())
    await stop_task(engine.ports, task.id)

    assert await engine.finish(task)

    assert (await engine.execution(execution.id)).status is ExecutionStatus.SUCCESS


async def test_a_stop_of_what_has_ended_changes_nothing(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT")
    (task,) = await engine.claim(await engine.worker())
    await engine.finish(task)
    done, ended = await engine.task(task.id), await engine.execution(execution.id)

    assert await stop_task(engine.ports, task.id) == done
    assert await stop_execution(engine.ports, execution.id) == ended
    await stop_running(engine.ports, str(task.id))
    assert await engine.task(task.id) == done


async def test_the_stop_of_an_execution_reaches_all_its_tasks(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT", 3)
    await engine.enqueue("SHORT", 1)
    worker_id = await engine.worker()
    (running,) = await engine.claim(worker_id)

    stopped = await stop_execution(engine.ports, execution.id)

    assert stopped.stop_requested
    assert stopped.counts == TaskCounts(running=1, stopped=2)
    assert await report_tasks(engine.ports, worker_id, [Report(task_id=running.id, run=1)]) == [Verdict.STOP]
    # That of another execution still runs.
    assert len(await engine.claim(worker_id, 5)) == 1


async def test_a_scheduled_task_is_stopped_too(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT", due_time=engine.now + timedelta(hours=1))

    assert (await stop_execution(engine.ports, execution.id)).status is ExecutionStatus.STOPPED


async def test_large_executions_are_stopped_in_parts(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT", 2100)

    assert (await stop_execution(engine.ports, execution.id)).counts == TaskCounts(stopped=2100)


async def test_the_stop_of_an_execution_without_tasks_that_has_ended_is_no_error(engine: Engine) -> None:
    made = await enqueue(engine.ports, NewExecution(kind="SHORT", operator=ADMIN, trigger=Trigger.EVENT, tasks=()))

    assert await stop_execution(engine.ports, made.id) == made


@pytest.mark.parametrize("job_id", ["999999", "0", "abc", "\N{SUPERSCRIPT TWO}", "9" * 30, "-1"])
async def test_an_unknown_job_is_no_error_as_in_harbor(engine: Engine, job_id: str) -> None:
    await stop_running(engine.ports, job_id)


async def test_an_unknown_task_or_execution_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="task 7 not found"):
        await stop_task(engine.ports, 7)
    with pytest.raises(NotFound, match="execution 7 not found"):
        await stop_execution(engine.ports, 7)


async def test_the_stop_of_a_queue_leaves_what_runs(engine: Engine) -> None:
    execution = await engine.enqueue("SHORT", 3)
    other = await engine.enqueue("LONG")
    (running,) = await engine.claim(await engine.worker(kinds=["SHORT"]))

    assert await act_on_queue(engine.ports, "short", "stop") == 2

    assert (await engine.execution(execution.id)).counts == TaskCounts(running=1, stopped=2)
    assert not (await engine.task(running.id)).stop_requested
    assert await act_on_queue(engine.ports, "all", "stop") == 1
    assert (await engine.execution(other.id)).status is ExecutionStatus.STOPPED


async def test_queues_show_what_waits_and_for_how_long(engine: Engine) -> None:
    await engine.enqueue("SHORT", 2)
    engine.later(7)
    await engine.enqueue("SHORT")
    await engine.claim(await engine.worker())
    await act_on_queue(engine.ports, "LONG", "pause")

    queues = {queue.kind: queue for queue in await list_queues(engine.ports)}

    assert list(queues) == sorted(["LONG", "NIGHTLY", "SCHEDULER", "SHORT", "SINGLE", "TRIED", "URGENT"])
    short = queues["SHORT"]
    assert (short.pending, short.running, short.paused) == (2, 1, False)
    assert short.oldest_time is not None
    assert (engine.now - short.oldest_time).total_seconds() == 7
    assert (queues["LONG"].paused, queues["LONG"].oldest_time) == (True, None)


@pytest.mark.parametrize("action", ["", "STOP", "remove"])
async def test_another_action_is_refused_with_harbors_text(engine: Engine, action: str) -> None:
    with pytest.raises(Invalid, match=r"^BAD_REQUEST: the action is not supported$"):
        await act_on_queue(engine.ports, "SHORT", action)


async def test_an_unknown_queue_is_refused(engine: Engine) -> None:
    with pytest.raises(Invalid, match="job_type"):
        await act_on_queue(engine.ports, "OTHER", "pause")

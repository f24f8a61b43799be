"""What a worker does with its tasks, with jobsvc in memory."""

import asyncio
import json
import logging
import time

import pytest
from google.protobuf.json_format import MessageToDict

from jobsvc.engine.domain.report import Verdict
from jobsvc.engine.worker.task import AddedTask, FinalFailure, Outcome, RunningTask, TaskStopped
from jobsvc.kinds import KINDS
from roadstead.job.v1 import work_pb2
from svckit.access.acting import on_behalf_of
from svckit.metrics import Metrics
from tests.harness.waiting import wait_until_async
from tests.unit.jobsvc.worker.jobs import Jobs, claimed, working


async def forever(task: RunningTask) -> Outcome:
    """Looks at nothing, and ends when it is cancelled."""
    await asyncio.Event().wait()
    return Outcome()


async def test_what_a_handler_leaves_behind_reaches_jobsvc() -> None:
    jobs = Jobs(claimed())

    async def handle(task: RunningTask) -> Outcome:
        task.log.info("half done")
        task.check_in("here")
        await task.progress(1, 2, "working")
        await asyncio.sleep(0.2)
        return Outcome(
            message="done",
            extra_attributes={"count": 3},
            execution_extra_attributes={"all": True},
            added_tasks=[AddedTask(parameters={"next": 1}, priority=5)],
        )

    async with working(jobs, handle):
        result = await jobs.result()

    assert MessageToDict(result, preserving_proto_field_name=True) == {
        "task_id": "1",
        "run": "1",
        "outcome": "OUTCOME_SUCCESS",
        "message": "done",
        "extra_attributes": {"count": 3.0},
        "execution_extra_attributes": {"all": True},
        "new_tasks": [{"parameters": {"next": 1.0}, "priority": 5}],
    }
    news = [report for report in jobs.reports if report.progress is not None]
    assert [(report.progress, report.check_in) for report in news] == [(news[0].progress, "here")], "reported once"
    assert jobs.log[1].endswith(b"]: half done\n")
    assert b"[INFO] [worker/test_worker.py:" in jobs.log[1]
    assert jobs.is_unregistered


async def test_a_handler_acts_on_behalf_of_whoever_started_the_execution() -> None:
    jobs = Jobs(claimed())
    seen = []

    async def handle(task: RunningTask) -> Outcome:
        seen.append(on_behalf_of())
        return Outcome()

    async with working(jobs, handle):
        await jobs.result()

    assert [str(actor) for actor in seen] == ["user:3"]


class NoText(Exception):
    """An error without a text."""


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (RuntimeError("disk away"), work_pb2.OUTCOME_ERROR, "disk away"),
        (NoText(), work_pb2.OUTCOME_ERROR, "NoText"),
        (SystemExit(3), work_pb2.OUTCOME_ERROR, "3"),
        (FinalFailure("no such project"), work_pb2.OUTCOME_FINAL_ERROR, "no such project"),
        (TaskStopped(), work_pb2.OUTCOME_ERROR, "although nobody has asked"),
        (asyncio.CancelledError(), work_pb2.OUTCOME_ERROR, "was cancelled"),
    ],
    ids=["failure", "no-text", "exit", "final", "stopped-by-itself", "cancelled-by-itself"],
)
async def test_an_error_of_a_handler_becomes_the_result(
    error: BaseException, outcome: work_pb2.Outcome.ValueType, message: str
) -> None:
    jobs = Jobs(claimed(1), claimed(2))

    async def handle(task: RunningTask) -> Outcome:
        if task.id == 1:
            raise error
        return Outcome()

    async with working(jobs, handle):
        result = await jobs.result()
        assert (await jobs.result(2)).outcome == work_pb2.OUTCOME_SUCCESS, "others go on"

    assert result.outcome == outcome
    assert message in result.message


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome(extra_attributes={"a": object()}), "not JSON"),
        (Outcome(extra_attributes={"a": float("nan")}), "not JSON"),
        (Outcome(extra_attributes={"a": "x" * 70000}), "bytes of JSON"),
        (Outcome(added_tasks=[AddedTask(parameters={})] * 1001), "1000 are allowed"),
        (None, "message"),
    ],
    ids=["object", "nan", "large", "many", "none"],
)
async def test_an_outcome_that_cannot_be_sent_is_an_error(outcome: Outcome, message: str) -> None:
    jobs = Jobs(claimed())

    async def handle(task: RunningTask) -> Outcome:
        return outcome

    async with working(jobs, handle):
        result = await jobs.result()

    assert result.outcome in (work_pb2.OUTCOME_FINAL_ERROR, work_pb2.OUTCOME_ERROR)
    assert message in result.message


async def test_a_result_that_jobsvc_refuses_holds_up_no_other() -> None:
    jobs = Jobs(*(claimed(number) for number in range(1, 5)))
    jobs.refuse = lambda result: result.task_id == 2 and result.outcome == work_pb2.OUTCOME_SUCCESS

    async def handle(task: RunningTask) -> Outcome:
        return Outcome()

    async with working(jobs, handle):
        assert (await jobs.result(4)).outcome == work_pb2.OUTCOME_SUCCESS
        refused = await jobs.result(2)

    assert refused.outcome == work_pb2.OUTCOME_FINAL_ERROR
    assert "refused" in refused.message


async def test_a_stop_is_seen_at_the_next_checkpoint() -> None:
    jobs = Jobs(claimed())
    ended = []

    async def handle(task: RunningTask) -> Outcome:
        try:
            while True:
                await task.checkpoint()
                await asyncio.sleep(0.01)
        except TaskStopped:
            ended.append("stopped")
            raise

    async with working(jobs, handle):
        await wait_until_async(lambda: jobs.reports, "a report")
        jobs.verdicts[1] = Verdict.STOP
        result = await jobs.result()

    assert ended == ["stopped"]
    assert result.outcome == work_pb2.OUTCOME_STOPPED


async def test_a_handler_that_looks_at_nothing_is_cancelled_after_a_stop() -> None:
    jobs = Jobs(claimed())
    jobs.verdicts[1] = Verdict.STOP
    async with working(jobs, forever):
        await wait_until_async(lambda: jobs.reports, "a report")
        began = time.monotonic()
        result = await jobs.result()

    assert result.outcome == work_pb2.OUTCOME_STOPPED
    assert 0.3 < time.monotonic() - began < 20


async def test_a_handler_that_catches_its_cancellation_is_cancelled_again(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs(claimed())
    jobs.verdicts[1] = Verdict.STOP
    caught: list[int] = []

    async def handle(task: RunningTask) -> Outcome:
        while len(caught) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                caught.append(1)
        await asyncio.Event().wait()
        return Outcome()

    with caplog.at_level(logging.WARNING):
        async with working(jobs, handle):
            assert (await jobs.result()).outcome == work_pb2.OUTCOME_STOPPED

    assert "handler_goes_on" in caplog.text


async def test_a_lost_task_is_cancelled_and_nothing_is_said_of_it() -> None:
    jobs = Jobs(claimed())
    jobs.verdicts[1] = Verdict.LOST
    ended = asyncio.Event()

    async def handle(task: RunningTask) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Outcome()

    metrics = Metrics("worker")
    async with working(jobs, handle, metrics=metrics):
        await ended.wait()
        await wait_until_async(lambda: b"worker_tasks_held{" in metrics.render(), "the metric")
        await wait_until_async(lambda: b'worker_tasks_held{service="worker"} 0.0' in metrics.render(), "its place")

    assert jobs.results == []
    assert jobs.returned == []
    assert b'ending="lost",kind="WORK",service="worker"} 1.0' in metrics.render()


async def test_a_handler_goes_on_while_jobsvc_is_away_and_its_result_comes_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs = Jobs(claimed())
    may_end = asyncio.Event()

    async def handle(task: RunningTask) -> Outcome:
        await task.progress(1)
        await may_end.wait()
        return Outcome(message="done")

    with caplog.at_level(logging.INFO):
        async with working(jobs, handle):
            await wait_until_async(lambda: jobs.reports, "a report")
            jobs.is_away = True
            await wait_until_async(lambda: "jobsvc_away" in caplog.text, "it to notice")
            may_end.set()
            await asyncio.sleep(0.3)
            jobs.is_away = False
            assert (await jobs.result()).message == "done"
            await wait_until_async(lambda: "jobsvc_is_back" in caplog.text, "it to notice")

    assert caplog.text.count("jobsvc_away") == 1


async def test_a_handler_is_cancelled_when_its_lease_ends_without_a_report() -> None:
    jobs = Jobs(claimed(lease_seconds=0.3))
    ended: list[float] = []

    async def handle(task: RunningTask) -> Outcome:
        jobs.is_away = True
        began = time.monotonic()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(time.monotonic() - began)
        return Outcome()

    async with working(jobs, handle):
        await wait_until_async(lambda: ended, "the end of the handler")
        jobs.is_away = False

    assert 0.2 < ended[0] < 10
    assert jobs.results == []


async def test_reports_prolong_the_lease() -> None:
    jobs = Jobs(claimed(lease_seconds=0.5))

    async def handle(task: RunningTask) -> Outcome:
        await asyncio.sleep(1.5)
        return Outcome(message="done")

    async with working(jobs, handle):
        assert (await jobs.result()).message == "done"


async def test_no_more_tasks_are_claimed_than_there_are_places() -> None:
    jobs = Jobs(*(claimed(number) for number in range(1, 11)))
    at_once: list[int] = []
    running = set()

    async def handle(task: RunningTask) -> Outcome:
        running.add(task.id)
        at_once.append(len(running))
        await asyncio.sleep(0.02)
        running.discard(task.id)
        return Outcome()

    async with working(jobs, handle, concurrency=3):
        await jobs.result(10)

    assert max(at_once) == 3
    assert sorted(result.task_id for result in jobs.results) == list(range(1, 11))


async def test_results_that_cannot_be_sent_keep_their_places() -> None:
    jobs = Jobs(*(claimed(number) for number in range(1, 6)))
    started = []

    async def handle(task: RunningTask) -> Outcome:
        started.append(task.id)
        jobs.is_away = True
        return Outcome()

    async with working(jobs, handle, concurrency=2):
        await wait_until_async(lambda: len(started) == 2, "two tasks")
        await asyncio.sleep(0.3)
        assert len(started) == 2
        jobs.is_away = False
        # Each that starts takes jobsvc away again.
        while len(jobs.results) < 5:
            jobs.is_away = False
            await asyncio.sleep(0.01)


async def test_a_claim_is_repeated_with_its_key_and_the_next_one_has_another() -> None:
    jobs = Jobs()

    async def handle(task: RunningTask) -> Outcome:
        return Outcome()

    async with working(jobs, handle):
        await wait_until_async(lambda: jobs.claim_keys, "a claim")
        jobs.is_away = True
        await wait_until_async(lambda: len(jobs.claim_keys) >= 2, "its repeat")
        assert len(set(jobs.claim_keys)) == 1
        jobs.is_away = False
        jobs.waiting.append(claimed())
        await jobs.result()
        await wait_until_async(lambda: len(set(jobs.claim_keys)) == 2, "the next claim")


async def test_a_worker_that_was_forgotten_makes_itself_known_again() -> None:
    jobs = Jobs()

    async def handle(task: RunningTask) -> Outcome:
        return Outcome()

    async with working(jobs, handle):
        await wait_until_async(lambda: jobs.knows_worker, "it to be known")
        jobs.knows_worker = False
        jobs.waiting.append(claimed())
        await jobs.result()

    assert jobs.registered >= 2


async def test_a_drain_lets_tasks_end_and_claims_no_more() -> None:
    jobs = Jobs(claimed(1))
    may_end = asyncio.Event()

    async def handle(task: RunningTask) -> Outcome:
        await may_end.wait()
        return Outcome(message="done")

    async with working(jobs, handle, drain_seconds=60) as signals:
        await wait_until_async(lambda: jobs.reports, "a report")
        await signals.note()
        await asyncio.sleep(0.1)
        jobs.waiting.append(claimed(2))
        reports = len(jobs.reports)
        await wait_until_async(lambda: len(jobs.reports) > reports + 1, "reports to go on")
        may_end.set()
        assert (await jobs.result()).message == "done"
        await wait_until_async(lambda: jobs.is_unregistered, "the worker to end")

    assert [each.task_id for each in jobs.waiting] == [2]
    assert jobs.returned == []


async def test_what_does_not_end_in_the_drain_is_given_back() -> None:
    jobs = Jobs(claimed(1), claimed(2))
    async with working(jobs, forever, drain_seconds=0.1):
        await wait_until_async(lambda: jobs.reports, "a report")

    assert sorted(jobs.returned) == [1, 2]
    assert jobs.results == []
    assert jobs.is_unregistered


async def test_a_second_signal_ends_the_drain() -> None:
    jobs = Jobs(claimed(1))
    async with working(jobs, forever, drain_seconds=3600) as signals:
        await wait_until_async(lambda: jobs.reports, "a report")
        await signals.note()

    assert jobs.returned == [1]


async def test_a_stop_signal_ends_a_worker_that_has_never_reached_jobsvc() -> None:
    jobs = Jobs()
    jobs.is_away = True
    async with working(jobs, forever):
        await asyncio.sleep(0.2)

    assert not jobs.is_unregistered


async def test_a_secret_in_an_error_reaches_neither_the_log_nor_the_message() -> None:
    jobs = Jobs(claimed())

    async def handle(task: RunningTask) -> Outcome:
        raise RuntimeError("cannot reach https://alice:hunter2@mirror.test/v2")

    async with working(jobs, handle):
        result = await jobs.result()

    assert "hunter2" not in json.dumps(MessageToDict(result)) + str(jobs.log)


def test_there_is_a_handler_for_each_kind() -> None:
    from jobsvc.worker import HANDLED

    assert tuple(sorted(HANDLED)) == KINDS.names

"""Jobs over REST: harborapi's requests and models for Harbor's paths, and the paths of our own."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Forbidden, NotFound, PreconditionFailed, Unauthorized
from harborapi.models import Execution, JobQueue, SchedulerStatus, ScheduleTask, Task, Worker, WorkerPool

from tests.harness.installation import Installation, running_installation

# harborapi uses a deprecated feature of pydantic; only harborapi can change that.
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]

KIND = "EXECUTION_SWEEP"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose queues nobody else pauses."""
    with running_installation(tmp_path_factory.mktemp("own") / "data") as running:
        yield running


@pytest.fixture
async def harbor(own: Installation) -> AsyncIterator[HarborAsyncClient]:
    client = HarborAsyncClient(url=f"{own.http_url}/api/v2.0/", username="admin", secret=own.admin_password)
    yield client
    await client.client.aclose()


async def _act(harbor: HarborAsyncClient, job_type: str, action: str) -> None:
    await harbor.put(f"/jobservice/queues/{job_type}", json={"action": action})


async def _queues(harbor: HarborAsyncClient) -> dict[str, JobQueue]:
    listed: Any = await harbor.get("/jobservice/queues")
    return {str(each["job_type"]): JobQueue.model_validate(each) for each in listed}


async def _start(harbor: HarborAsyncClient, **headers: str) -> str:
    answer = await harbor.post("/executions", json={"vendor_type": KIND}, headers=headers)
    return answer.headers["Location"].removeprefix("/api/v2.0")


async def test_a_paused_queue_keeps_its_tasks_until_they_are_stopped(harbor: HarborAsyncClient) -> None:
    await _act(harbor, KIND.lower(), "pause")
    path = await _start(harbor)

    queue = (await _queues(harbor))[KIND]
    assert (queue.count, queue.paused) == (1, True)
    (listed,) = await harbor.get(f"{path}/tasks")
    task = Task.model_validate(listed)
    assert (task.status, task.run_count) == ("Pending", 0)
    waiting = Execution.model_validate(await harbor.get(path))
    assert (waiting.vendor_type, waiting.vendor_id, waiting.status, waiting.trigger) == (KIND, -1, "Running", "MANUAL")
    assert waiting.metrics is not None
    assert (waiting.metrics.task_count, waiting.metrics.pending_task_count) == (1, 1)
    with pytest.raises(PreconditionFailed):
        await harbor.delete(path)

    await _act(harbor, KIND, "stop")

    stopped = Execution.model_validate(await harbor.get(path))
    assert stopped.status == "Stopped"
    assert (await _queues(harbor))[KIND].count == 0
    for log in (f"/jobservice/jobs/{task.id}/log", f"/tasks/{task.id}/log"):
        with pytest.raises(NotFound):
            await harbor.get_text(log)
    await _act(harbor, "all", "resume")
    assert not (await _queues(harbor))[KIND].paused
    await harbor.delete(path)
    with pytest.raises(NotFound):
        await harbor.get(path)


async def test_a_repeated_start_with_a_key_starts_nothing(harbor: HarborAsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}

    assert await _start(harbor, **headers) == await _start(harbor, **headers)


async def test_all_schedules_are_paused_and_listed(harbor: HarborAsyncClient) -> None:
    schedules: Any = await harbor.get("/schedules")
    (listed,) = (each for each in schedules if each["vendor_type"] == KIND)
    schedule = ScheduleTask.model_validate(listed)
    assert (schedule.vendor_type, schedule.vendor_id, schedule.cron) == (KIND, -1, "0 0 0 * * *")
    assert len(listed["next_scheduled_times"]) == 5

    for action, paused in (("pause", True), ("resume", False)):
        await _act(harbor, "SCHEDULER", action)
        status = SchedulerStatus.model_validate(await harbor.get("/schedules/all/paused"))
        assert status.paused is paused
    with pytest.raises(BadRequest):
        await harbor.get(f"/schedules/{KIND}/paused")


async def test_pools_and_workers_have_harbors_form(harbor: HarborAsyncClient) -> None:
    pools: Any = await harbor.get("/jobservice/pools")
    workers: Any = await harbor.get("/jobservice/pools/all/workers")

    assert len(workers) == sum(WorkerPool.model_validate(pool).concurrency or 0 for pool in pools)
    assert all(Worker.model_validate(worker).pool_id for worker in workers)
    assert await harbor.get("/jobservice/pools/unknown/workers") == []


async def test_an_unknown_job_is_no_error_and_has_no_log(harbor: HarborAsyncClient) -> None:
    for job_id in ("999999", "0d5a9b", "all"):
        await harbor.put(f"/jobservice/jobs/{job_id}")
    with pytest.raises(NotFound):
        await harbor.get_text("/jobservice/jobs/0d5a9b/log")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("put", f"/jobservice/queues/{KIND}", {"action": "remove"}),
        ("put", "/jobservice/queues/OTHER", {"action": "pause"}),
        ("post", "/executions", {"vendor_type": "OTHER"}),
        ("post", "/executions", {"vendor_type": KIND, "parameters": {"dry_run": True}}),
        ("post", "/executions", {"vendor_type": KIND, "parameters": 7}),
        ("get", "/executions?q=unknown=1", None),
        ("get", "/executions?page_size=101", None),
        ("get", "/schedules?page=-1", None),
    ],
)
async def test_bad_input_is_400(
    harbor: HarborAsyncClient, method: str, path: str, body: dict[str, object] | None
) -> None:
    with pytest.raises(BadRequest):
        await getattr(harbor, method)(path, **({} if body is None else {"json": body}))


async def test_who_is_no_administrator_may_only_ask_whether_schedules_are_paused(
    own: Installation, harbor: HarborAsyncClient
) -> None:
    user = {"username": "watcher", "email": "watcher@example.org", "password": "Correct-horse-1", "realname": "W"}
    await harbor.post("/users", json=user)
    mine = HarborAsyncClient(url=f"{own.http_url}/api/v2.0/", username="watcher", secret="Correct-horse-1")
    nobody = HarborAsyncClient(url=f"{own.http_url}/api/v2.0/", username="nobody", secret="Wrong-password-1")

    assert await mine.get("/schedules/all/paused") == {"paused": False}
    for path in ("/schedules", "/jobservice/queues", "/jobservice/pools", "/executions", "/jobservice/jobs/1/log"):
        with pytest.raises(Forbidden):
            await mine.get(path)
        with pytest.raises(Unauthorized):
            await nobody.get(path)
    await mine.client.aclose()
    await nobody.client.aclose()

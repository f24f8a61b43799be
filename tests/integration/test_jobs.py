"""Jobs through real processes: jobsvc, workers and Valkey, killed, stopped and wiped."""

import time
from collections.abc import Iterator

import pytest

from tests.harness.jobs.running import Jobs, running_jobs
from tests.harness.jobs.storm import run_storm
from tests.harness.waiting import wait_until

# A stop takes effect within two seconds. The rest is for the requests of the test on a busy machine.
STOP_SECONDS = 2.0


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """All services, with a lease so short that tasks of dead workers run again soon."""
    variables = {"ROADSTEAD_JOBSVC_LEASE_SECONDS": "10", "ROADSTEAD_WORKER_DRAIN_SECONDS": "5"}
    with running_jobs(tmp_path_factory.mktemp("jobs"), variables) as running:
        yield running


@pytest.fixture(autouse=True)
def _has_workers(jobs: Jobs) -> Iterator[None]:
    yield
    for execution in jobs.http.get("/executions", params={"q": "status=Running", "page_size": 100}).json():
        jobs.http.put(f"/executions/{execution['id']}/stop").raise_for_status()


def test_a_task_runs_and_its_log_and_attributes_can_be_read(jobs: Jobs) -> None:
    execution = jobs.start("WRITE", name="first")

    assert jobs.ended(execution)["status"] == "Success"
    task = jobs.task(execution)
    assert task["status"] == "Success"
    assert "first" in jobs.effects.names()
    log = jobs.http.get(f"/tasks/{task['id']}/log").raise_for_status()
    assert log.headers["content-type"].startswith("text/plain")
    assert log.text.endswith("]: wrote first\n")


def test_the_sweep_of_the_product_runs(jobs: Jobs) -> None:
    assert jobs.ended(jobs.start("EXECUTION_SWEEP"))["status"] == "Success"


def test_a_task_that_fails_is_tried_again_until_it_succeeds(jobs: Jobs) -> None:
    execution = jobs.start("FLAKY", name="flaky")

    assert jobs.ended(execution)["status"] == "Success"
    task = jobs.task(execution)
    assert (task["run_count"], jobs.effects.runs("flaky")) == (4, 4)
    log = jobs.http.get(f"/tasks/{task['id']}/log").text
    assert [line.rpartition(": ")[2] for line in log.splitlines()] == ["failure 1", "failure 2", "failure 3"]


@pytest.mark.parametrize("kind", ["LOOK", "DEAF"])
def test_a_stop_takes_effect_within_two_seconds_in_a_running_task(jobs: Jobs, kind: str) -> None:
    execution = jobs.start(kind)
    jobs.running(execution)

    began = time.monotonic()
    jobs.http.put(f"/executions/{execution}/stop").raise_for_status()
    ended = wait_until(lambda: jobs.execution(execution), "the end", wanted=lambda it: it["status"] != "Running")
    assert time.monotonic() - began < STOP_SECONDS
    assert ended["status"] == "Stopped"
    assert jobs.task(execution)["status"] == "Stopped"


def test_progress_and_the_log_can_be_read_while_a_task_runs(jobs: Jobs) -> None:
    execution = jobs.start("LOOK")
    task = wait_until(lambda: jobs.task(execution), "progress", wanted=lambda task: task.get("progress"))

    assert task["progress"]["total"] == 36_000
    log = wait_until(lambda: jobs.http.get(f"/tasks/{task['id']}/log").text, "a line")
    assert log.endswith("looking\n")


def test_the_task_of_a_killed_worker_runs_again_in_another(jobs: Jobs) -> None:
    execution = jobs.start("DEAF", name="killed")
    jobs.running(execution)
    jobs.services.kill("worker")
    jobs.services.start("worker")

    again = wait_until(lambda: jobs.task(execution), "the next run", wanted=lambda task: task["run_count"] == 2)
    assert again["status"] == "Running"
    assert again["loss_count"] == 1
    assert jobs.effects.runs("killed") == 2


def test_a_worker_drains_on_sigterm_and_the_rest_runs_in_another(jobs: Jobs) -> None:
    short = jobs.start("ALONE", name="ends in time")
    long = jobs.start("DEAF", name="drained")
    jobs.running(short)
    jobs.running(long)
    began = time.monotonic()
    jobs.services.stop("worker")
    assert 4 < time.monotonic() - began < 15, "five seconds of drain"
    # Nothing waits for the end of a lease.
    assert jobs.execution(short)["status"] == "Success"
    returned = jobs.task(long)
    assert returned["status"] == "Pending"
    jobs.services.start("worker")

    again = wait_until(lambda: jobs.task(long), "the next run", wanted=lambda task: task["run_count"] == 2)
    assert not again.get("loss_count")
    assert not again.get("failure_count")
    assert jobs.effects.runs("ends in time") == 1


def test_tasks_start_soon_with_valkey_and_without_it(jobs: Jobs) -> None:
    def seconds() -> float:
        began = time.monotonic()
        jobs.ended(jobs.start("WRITE", name=f"soon {began}"))
        return time.monotonic() - began

    with_valkey = min(seconds() for _ in range(5))
    jobs.services.valkey.kill()
    try:
        without = min(seconds() for _ in range(3))
        answer = jobs.http.get(f"{jobs.services.http_url}/readyz")
        assert answer.status_code == 200, answer.text
    finally:
        jobs.services.valkey.start()
    assert with_valkey < 1.0
    assert without < 5.0


def test_a_worker_outlives_a_restart_of_jobsvc(jobs: Jobs) -> None:
    execution = jobs.start("ALONE", name="outlives")
    jobs.running(execution)
    jobs.services.restart("jobsvc")

    assert jobs.ended(execution)["status"] == "Success"
    assert jobs.effects.runs("outlives") == 1


def test_urgent_tasks_overtake_those_that_wait(jobs: Jobs) -> None:
    before = len(jobs.effects.names())
    jobs.http.put("/jobservice/queues/WRITE", json={"action": "pause"}).raise_for_status()
    try:
        usual = jobs.start("SPREAD", kind="WRITE", prefix="usual-", count=300)
        wait_until(lambda: jobs.execution(usual)["metrics"]["task_count"], "its tasks", wanted=lambda n: n == 301)
        urgent = jobs.start("SPREAD", kind="WRITE", prefix="urgent-", count=50, priority=1)
        wait_until(lambda: jobs.execution(urgent)["metrics"]["task_count"], "its tasks", wanted=lambda n: n == 51)
    finally:
        jobs.http.put("/jobservice/queues/WRITE", json={"action": "resume"}).raise_for_status()
    jobs.ended(usual)
    jobs.ended(urgent)

    order = [name.partition("-")[0] for name in jobs.effects.names()[before:]]
    assert order.count("urgent") == 50
    # At most so many run at once, so so many may end out of order.
    assert order[:60].count("urgent") == 50


def test_a_kind_that_runs_alone_runs_alone_and_holds_up_no_other(jobs: Jobs) -> None:
    first, second = jobs.start("ALONE", name="a"), jobs.start("ALONE", name="b")
    jobs.running(first)
    assert jobs.task(second)["status"] == "Pending"
    assert jobs.ended(jobs.start("WRITE", name="not held up"))["status"] == "Success"
    assert jobs.execution(second)["status"] == "Running"
    jobs.ended(second)


def test_hundreds_of_tasks_end_in_success_though_workers_are_killed_and_valkey_is_wiped(jobs: Jobs) -> None:
    run_storm(jobs, tasks=600, executions=3, kill_seconds=1.0)

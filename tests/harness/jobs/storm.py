"""Many short tasks, while workers are killed and Valkey is wiped."""

import time
from contextlib import suppress

from tests.harness.jobs.running import Jobs


def run_storm(jobs: Jobs, *, tasks: int, executions: int, kill_seconds: float) -> None:
    """Runs many short tasks through two workers, kills one every few seconds, and wipes Valkey once in the middle.

    Then the effect of each task is there once, and all executions have succeeded.
    """
    services, prefix = jobs.services, f"storm-{time.monotonic()}-"
    runs_before = jobs.effects.runs(f"{prefix}%")
    services.start("worker-2")
    try:
        started = [
            jobs.start("SPREAD", kind="WRITE", prefix=f"{prefix}{number}-", count=tasks // executions)
            for number in range(executions)
        ]
        killed, is_wiped = 0, False
        while any(jobs.execution(each)["status"] == "Running" for each in started):
            time.sleep(kill_seconds)
            if not is_wiped and jobs.effects.runs(f"{prefix}%") > tasks // 2:
                services.valkey.kill()
                services.valkey.start()
                is_wiped = True
            victim = ("worker", "worker-2")[killed % 2]
            services.kill(victim)
            services.start(victim)
            # On a busy machine it would otherwise be killed before it has begun.
            jobs.wait_for_worker(services.pid(victim))
            killed += 1
    finally:
        with suppress(KeyError):
            services.stop("worker-2")
    assert is_wiped
    assert killed >= 2
    names = [name for name in jobs.effects.names() if name.startswith(prefix)]
    expected = {f"{prefix}{number}-{each}" for number in range(executions) for each in range(tasks // executions)}
    assert len(names) == tasks
    assert set(names) == expected
    for each in started:
        execution = jobs.execution(each)
        assert execution["status"] == "Success"
        assert execution["metrics"]["success_task_count"] == tasks // executions + 1
    runs = jobs.effects.runs(f"{prefix}%") - runs_before
    assert runs > tasks, "no kill has met a task that ran"
    print(f"{tasks} tasks, {killed} kills, {runs} runs")  # noqa: T201

"""The routes of jobs."""

from tests.harness.walk import TIME, Walk

KIND = "EXECUTION_SWEEP"


def walk_jobs(walk: Walk) -> None:
    """Starts a job in a paused queue, and stops and deletes it, because other tests use the same installation."""
    queue = f"/jobservice/queues/{KIND}"
    walk.change("PUT", queue, {"action": "pause"})
    assert [each["paused"] for each in walk.read("/jobservice/queues") if each["job_type"] == KIND] == [True]
    path = walk.create("/executions", {"vendor_type": KIND}).headers["Location"].removeprefix("/api/v2.0")
    execution = walk.read(path)
    assert (execution["status"], execution["trigger"], execution["metrics"]["task_count"]) == ("Running", "MANUAL", 1)
    assert TIME.fullmatch(execution["start_time"])
    assert "end_time" not in execution
    assert execution in walk.read(f"/executions?q=vendor_type={KIND},id={execution['id']}")
    (task,) = walk.read(f"{path}/tasks")
    assert walk.read(f"/tasks/{task['id']}") == task
    for log in (f"/tasks/{task['id']}/log", f"/jobservice/jobs/{task['id']}/log"):
        answer = walk.call("GET", log)
        assert (answer.headers["Content-Type"], answer.text) == ("text/plain; charset=utf-8", "")
    # Nothing runs here, so this stops nothing.
    walk.change("PUT", "/jobservice/jobs/999999")
    walk.change("PUT", f"/tasks/{task['id']}/stop")
    walk.change("PUT", f"{path}/stop")
    assert (walk.read(path)["status"], walk.read(f"/tasks/{task['id']}")["status"]) == ("Stopped", "Stopped")
    walk.change("DELETE", path)
    walk.call("GET", path, 404)
    walk.change("PUT", queue, {"action": "resume"})
    assert walk.read("/schedules/all/paused") == {"paused": False}
    assert KIND in {schedule["vendor_type"] for schedule in walk.read("/schedules")}
    places = sum(pool["concurrency"] for pool in walk.read("/jobservice/pools"))
    assert len(walk.read("/jobservice/pools/all/workers")) == places

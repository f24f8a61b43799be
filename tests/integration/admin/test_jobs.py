"""`roadstead admin jobs`."""

import secrets

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login
from tests.integration.admin.test_terminal import converse

# The JSON, as docs/cli.md has it.
EXECUTION = {
    *("id", "vendor_type", "vendor_id", "status", "status_message", "metrics", "trigger", "extra_attrs", "parameters"),
    *("operator", "start_time", "update_time", "stop_requested"),
}
TASK = {
    *("id", "execution_id", "vendor_type", "status", "status_message", "run_count", "extra_attrs", "creation_time"),
    *("update_time", "priority", "failure_count", "loss_count", "check_in", "stop_requested", "worker_pool_id"),
}
QUEUE = {"job_type", "count", "latency", "paused", "running_count"}
POOL = {"pid", "worker_pool_id", "start_at", "heartbeat_at", "concurrency", "host", "kinds"}
SCHEDULE = {
    *("id", "vendor_type", "vendor_id", "cron", "cron_type", "parameters", "update_time", "next_scheduled_times"),
}


def test_a_job_is_started_followed_and_shown(admin: Admin) -> None:
    started = admin.json("jobs", "run", "quota-recount", "--set", "dry_run=true", "--follow")
    assert set(started) >= EXECUTION
    assert (started["vendor_type"], started["status"], started["trigger"]) == ("QUOTA_RECOUNT", "Success", "MANUAL")
    assert started["parameters"] == {"dry_run": True, "project_id": 0}
    assert started["operator"]["name"] == "admin"
    number = str(started["id"])
    assert admin.json("jobs", "show", number) == started
    assert admin.json("jobs", "follow", number) == started
    [task] = admin.json("jobs", "tasks", number)
    assert set(task) >= TASK
    assert (task["status"], task["run_count"]) == ("Success", 1)
    log = admin.run("jobs", "log", number).stdout
    assert "[INFO] [quota_recount/handler.py:" in log
    assert "Recount of all projects, dry run: nothing is corrected." in log
    assert admin.run("jobs", "log", number, "--follow", "--task", str(task["id"])).stdout == log
    assert number in {row[0] for row in admin.table("jobs", "list", "--kind", "quota-recount", "--status", "Success")}
    assert admin.json("jobs", "list", "--kind", "NO_SUCH_KIND") == []
    listed = admin.json("jobs", "list", "--query", f"id={number}", "--status", "Success")
    assert [each["id"] for each in listed] == [started["id"]]
    assert admin.table("jobs", "show", number)[6:8] == [["TASKS", "1:", "1", "success"], ["BY", "admin"]]


def test_a_queue_is_paused_cleared_and_resumed_and_an_execution_in_it_stopped(local: Admin) -> None:
    said = local.run("jobs", "pause", "execution-sweep").stderr
    assert said == "nothing is taken from the queue EXECUTION_SWEEP, and running tasks go on\n"
    try:
        first, second = (local.json("jobs", "run", "execution-sweep") for _ in range(2))
        [queue] = [queue for queue in local.json("jobs", "queues") if queue["job_type"] == "EXECUTION_SWEEP"]
        assert set(queue) == QUEUE
        assert (queue["paused"], queue["count"]) == (True, 2)
        stopped = local.json("jobs", "stop", str(first["id"]))
        assert stopped["status"] == "Stopped"
        local.refused("jobs", "clear", "execution-sweep", status=2)
        local.run("jobs", "clear", "execution-sweep", "--yes")
        found = wait_until(
            lambda: (shown := local.json("jobs", "show", str(second["id"])))["status"] == "Stopped" and shown,
            "the end of what waited",
        )
        assert found
        assert "has ended with Stopped" in local.refused("jobs", "follow", str(second["id"]))
    finally:
        local.run("jobs", "resume", "execution-sweep")
    local.run("jobs", "run", "execution-sweep", "--follow")


def test_workers_and_schedules_are_listed(local: Admin) -> None:
    [pool] = local.json("jobs", "workers")
    assert set(pool) == POOL
    assert "QUOTA_RECOUNT" in pool["kinds"]
    schedules = {schedule["vendor_type"]: schedule for schedule in local.json("jobs", "schedules")}
    assert set(schedules) >= {"CHANGE_LOG_COMPACTION", "EXECUTION_SWEEP", "QUOTA_RECOUNT", "UPLOAD_PURGE"}
    assert set(schedules["QUOTA_RECOUNT"]) - {"last_scheduled_time"} == SCHEDULE
    assert len(schedules["QUOTA_RECOUNT"]["next_scheduled_times"]) == 5
    lines = {line[1]: line for line in local.table("jobs", "schedules")}
    assert lines["EXECUTION_SWEEP"][2:8] == ["0", "0", "0", "*", "*", "*"]


def test_a_terminal_shows_bars_and_then_the_result(local: Admin) -> None:
    status, shown = converse(local, ("jobs", "run", "quota-recount", "--follow"))
    assert (status, "QUOTA_RECOUNT" in shown, "Success" in shown) == (0, True, True)


def test_a_recount_counts_what_was_pushed(local: Admin, installation: Installation) -> None:
    project = f"p{secrets.token_hex(5)}"
    project_id = local.json("projects", "create", project)["project_id"]
    pushed = image(3)
    push(installation.http_url, Login("admin", installation.admin_password), f"{project}/app", pushed, "v1")
    ended = local.json("jobs", "run", "quota-recount", "--set", f"project_id={project_id}", "--follow")
    assert ended["extra_attrs"] == {
        "dry_run": False,
        "counted_projects": 1,
        "counted_digests": len(pushed.blobs) + 1,
        "corrected_digests": 0,
        "corrected_projects": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("run", "nothing"), 1, "kind must be one of CHANGE_LOG_COMPACTION, EXECUTION_SWEEP"),
        (("run", "quota-recount", "--set", "other=1"), 1, "parameters.other is not known to this kind"),
        (("run", "quota-recount", "--set", "dry_run"), 2, "'dry_run' is not KEY=VALUE"),
        (("run", "quota-recount", "--set", "dry_run=maybe"), 1, "parameters.dry_run must be true or false"),
        (("run", "quota-recount", "--set", "project_id=987654", "--follow"), 1, "there is no project 987654"),
        (("show", "987654"), 1, "404 NOT_FOUND"),
        (("show", "first"), 2, "'first' is not an id"),
        (("log", "987654"), 1, "404 NOT_FOUND"),
        (("list", "--status", "Done"), 2, "Done is not known; there are Running"),
        (("pause", "nothing"), 1, "400 BAD_REQUEST"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    assert said in local.refused("jobs", *arguments, status=status)

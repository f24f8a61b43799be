"""`roadstead admin jobs`."""

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable
from typing import Any

from ctl.admin.assignment import parse_assignment
from ctl.admin.command import Column, Command, Noun, Outcome, argument, shown
from ctl.admin.follow import follow, follow_log
from ctl.admin.listing import FILTERED, LIMIT, asked, exactly
from ctl.admin.output import printable
from ctl.admin.rest import Row, path
from ctl.admin.session import Session, say
from ctl.errors import CommandError

_STATUSES = ("Running", "Success", "Error", "Stopped")


def _list(session: Session, options: Namespace) -> Outcome:
    query = asked(options)
    filters = [query["q"]] if "q" in query else []
    if options.kind:
        filters.append(exactly("vendor_type", options.kind))
    if options.status:
        filters.append(exactly("status", options.status))
    if filters:
        query["q"] = ",".join(filters)
    return session.api.rows(path("executions"), **query)


def _show(session: Session, options: Namespace) -> Outcome:
    execution: Row = session.api.get(path("executions", options.execution))
    return execution


def _tasks(session: Session, options: Namespace) -> Outcome:
    return session.api.rows(path("executions", options.execution, "tasks"), **asked(options))


def _run(session: Session, options: Namespace) -> Outcome:
    body: Row = {"vendor_type": options.kind, "parameters": dict(options.set)}
    execution = session.api.create(path("executions"), body)
    return follow(session.api, execution["id"]) if options.follow else execution


def _follow(session: Session, options: Namespace) -> Outcome:
    return follow(session.api, options.execution)


def _stop(session: Session, options: Namespace) -> Outcome:
    session.api.call("PUT", path("executions", options.execution, "stop"))
    return session.api.changed(path("executions", options.execution))


def _log(session: Session, options: Namespace) -> Outcome:
    if options.task is None:
        tasks = session.api.rows(path("executions", options.execution, "tasks"))
    else:
        tasks = [session.api.get(path("tasks", options.task))]
        if tasks[0]["execution_id"] != options.execution:
            raise CommandError(f"the task {options.task} belongs to the execution {tasks[0]['execution_id']}", 2)
    for task in tasks:
        if len(tasks) > 1:
            _print_lines(f"==> task {task['id']}, {task['status']} <==\n")
        if options.follow:
            for part in follow_log(session.api, task):
                _print_lines(part)
        else:
            _print_lines(session.api.text(path("tasks", task["id"], "log")))
    return None


def _print_lines(text: str) -> None:
    sys.stdout.writelines(f"{printable(line)}\n" for line in text.splitlines())
    sys.stdout.flush()


def _queues(session: Session, _: Namespace) -> Outcome:
    queues: list[Row] = session.api.get(path("jobservice", "queues"))
    return queues


def _pause(session: Session, options: Namespace) -> Outcome:
    return _act(session, options.queue, "pause", "nothing is taken from {}, and running tasks go on")


def _resume(session: Session, options: Namespace) -> Outcome:
    return _act(session, options.queue, "resume", "tasks are taken from {} again")


def _clear(session: Session, options: Namespace) -> Outcome:
    return _act(session, options.queue, "stop", "the tasks that waited in {} are stopped, and running ones go on")


def _act(session: Session, queue: str, action: str, said: str) -> Outcome:
    session.api.call("PUT", path("jobservice", "queues", queue), {"action": action})
    say(said.format("all queues" if queue == "all" else f"the queue {queue}"))
    return None


def _workers(session: Session, _: Namespace) -> Outcome:
    pools: list[Row] = session.api.get(path("jobservice", "pools"))
    return pools


def _schedules(session: Session, options: Namespace) -> Outcome:
    return session.api.rows(path("schedules"), **asked(options))


def _kind(text: str) -> str:
    return text.upper().replace("-", "_")


def _queue(text: str) -> str:
    return "all" if text.lower() == "all" else _kind(text)


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 2**63:
        raise ArgumentTypeError(f"{text!r} is not an id; `list` shows the ids")
    return int(text)


def _parameter(text: str) -> tuple[str, bool | int | str]:
    name, value = parse_assignment(text)
    if value in {"true", "false"}:
        return name, value == "true"
    if value.isascii() and value.isdigit() and len(value) <= 15:
        return name, int(value)
    return name, value


def _shown_counts(metrics: Any) -> str:
    """The tasks of an execution: "3", or "3: 1 running, 2 success"."""
    metrics = metrics or {}
    names = ("pending", "scheduled", "running", "success", "error", "stopped")
    counts = [(metrics.get(f"{name}_task_count", 0), name) for name in names]
    parts = ", ".join(f"{count} {name}" for count, name in counts if count)
    return f"{metrics.get('task_count', 0)}: {parts}" if parts else "0"


def _shown_progress(progress: Any) -> str:
    progress = progress or {}
    done, total = progress.get("done", 0), progress.get("total", 0)
    amount = f"{done} of {total}" if total else str(done) if done else ""
    return shown(" ".join(part for part in (amount, progress.get("text", "")) if part))


def _shown_first(times: Iterable[str] | None) -> str:
    return shown(next(iter(times or ()), None))


def _shown_many(texts: Iterable[str] | None) -> str:
    return shown(" ".join(texts or ()))


_EXECUTION = argument("execution", type=_id, metavar="ID", help="of the execution, as `list` shows it")
_KIND = argument("kind", type=_kind, metavar="KIND", help="of job, such as quota-recount (docs/jobs.md)")
_FOLLOW = argument("--follow", action="store_true", help="show how far it is until it has ended; fail if it fails")
_QUEUE = argument(
    "queue", type=_queue, metavar="QUEUE", help="the kind of its jobs; `scheduler` for all schedules, `all` for all"
)

JOBS = Noun(
    "jobs",
    "what runs in the background",
    columns=(
        Column("ID", "id"),
        Column("KIND", "vendor_type"),
        Column("STATUS", "status"),
        Column("TRIGGER", "trigger"),
        Column("STARTED", "start_time"),
        Column("ENDED", "end_time"),
        Column("TASKS", "metrics", _shown_counts),
        Column("BY", "operator.name"),
        Column("MESSAGE", "status_message"),
    ),
    commands=(
        Command(
            "list",
            "list executions, the newest first",
            _list,
            (
                argument("--kind", type=_kind, metavar="KIND", help="only executions of this kind"),
                argument("--status", choices=_STATUSES, help="only executions with this status"),
                *FILTERED,
            ),
        ),
        Command("show", "show an execution", _show, (_EXECUTION,)),
        Command(
            "tasks",
            "list the tasks of an execution",
            _tasks,
            (_EXECUTION, *FILTERED),
            columns=(
                Column("ID", "id"),
                Column("STATUS", "status"),
                Column("RUNS", "run_count"),
                Column("STARTED", "start_time"),
                Column("ENDED", "end_time"),
                Column("PROGRESS", "progress", _shown_progress),
                Column("MESSAGE", "status_message"),
            ),
        ),
        Command(
            "run",
            "start an execution",
            _run,
            (
                _KIND,
                argument(
                    "--set",
                    type=_parameter,
                    action="append",
                    default=[],
                    metavar="NAME=VALUE",
                    help="a parameter of the kind, such as dry_run=true; may be given several times",
                ),
                _FOLLOW,
            ),
        ),
        Command("follow", "show how far an execution is until it has ended; fail if it fails", _follow, (_EXECUTION,)),
        Command("stop", "stop an execution: its tasks that have not ended", _stop, (_EXECUTION,)),
        Command(
            "log",
            "print the logs of the tasks of an execution",
            _log,
            (
                _EXECUTION,
                argument("--task", type=_id, metavar="ID", help="only that of this task, as `tasks` shows it"),
                argument("--follow", action="store_true", help="go on until the tasks have ended"),
            ),
            has_output=False,
        ),
        Command(
            "queues",
            "list the queues, one for each kind",
            _queues,
            columns=(
                Column("QUEUE", "job_type"),
                Column("WAITING", "count"),
                Column("OLDEST-SECONDS", "latency"),
                Column("RUNNING", "running_count"),
                Column("PAUSED", "paused"),
            ),
        ),
        Command("pause", "take nothing more from a queue", _pause, (_QUEUE,), has_output=False),
        Command("resume", "take tasks from a queue again", _resume, (_QUEUE,), has_output=False),
        Command(
            "clear",
            "stop the tasks that wait in a queue",
            _clear,
            (_QUEUE,),
            asks="stop what waits in the queue {queue}",
            has_output=False,
        ),
        Command(
            "workers",
            "list the worker processes",
            _workers,
            columns=(
                Column("ID", "worker_pool_id"),
                Column("HOST", "host"),
                Column("PID", "pid"),
                Column("PLACES", "concurrency"),
                Column("STARTED", "start_at"),
                Column("HEARD-OF", "heartbeat_at"),
                Column("KINDS", "kinds", _shown_many),
            ),
        ),
        Command(
            "schedules",
            "list the schedules, with their next times",
            _schedules,
            (LIMIT,),
            columns=(
                Column("ID", "id"),
                Column("KIND", "vendor_type"),
                Column("CRON", "cron"),
                Column("LAST", "last_scheduled_time"),
                Column("NEXT", "next_scheduled_times", _shown_first),
            ),
        ),
    ),
)

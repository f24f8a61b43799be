"""An installation with the kinds of tests, and what administrators do with its jobs over REST."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.harness.jobs.kinds import EFFECTS_VARIABLE, Effects
from tests.harness.services import Services, running_services
from tests.harness.waiting import wait_until

_MODULES = {"jobsvc": "tests.harness.jobs.server", "worker": "tests.harness.jobs.worker"}


class Jobs:
    """The services, the effects of the tasks, and an administrator.

    Attributes:
        services: the processes; "worker" is one of them, and "worker-2" may be started.
        effects: what handlers have done.
        http: a client of the administrator.
    """

    def __init__(self, services: Services, effects: Effects, http: httpx.Client) -> None:
        self.services = services
        self.effects = effects
        self.http = http

    def start(self, kind: str, /, **parameters: object) -> int:
        """Starts an execution, and returns its id."""
        answer = self.http.post("/executions", json={"vendor_type": kind, "parameters": parameters})
        assert answer.status_code == 201, answer.text
        return int(answer.headers["location"].rpartition("/")[2])

    def execution(self, execution_id: int) -> dict[str, Any]:
        """Reads an execution."""
        document: dict[str, Any] = self.http.get(f"/executions/{execution_id}").raise_for_status().json()
        return document

    def tasks(self, execution_id: int) -> list[dict[str, Any]]:
        """Reads the first tasks of an execution."""
        documents: list[dict[str, Any]] = self.http.get(f"/executions/{execution_id}/tasks").raise_for_status().json()
        return documents

    def task(self, execution_id: int) -> dict[str, Any]:
        """Reads the only task of an execution."""
        [task] = self.tasks(execution_id)
        return task

    def ended(self, execution_id: int, *, seconds: float = 60.0) -> dict[str, Any]:
        """Waits until an execution has ended, and returns it."""
        return wait_until(
            lambda: self.execution(execution_id),
            f"execution {execution_id} to end",
            wanted=lambda execution: execution["status"] != "Running",
            seconds=seconds,
            more=lambda: self.services.log()[-4000:],
        )

    def wait_for_worker(self, pid: int) -> None:
        """Waits until jobsvc knows the worker with this process id."""

        def pids() -> set[int]:
            return {pool["pid"] for pool in self.http.get("/jobservice/pools").raise_for_status().json()}

        wait_until(pids, f"the worker {pid}", wanted=lambda known: pid in known)

    def running(self, execution_id: int) -> dict[str, Any]:
        """Waits until the only task of an execution runs and has reported, and returns it."""
        return wait_until(
            lambda: self.task(execution_id),
            "the task to run",
            wanted=lambda task: task["status"] == "Running",
            more=lambda: self.services.log()[-4000:],
        )


@contextmanager
def running_jobs(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[Jobs]:
    """Runs all services with the kinds of tests inside the block."""
    file = folder / "effects.db"
    environment = {EFFECTS_VARIABLE: str(file), **(variables or {})}
    effects = Effects(file)
    with (
        running_services(folder / "data", environment, _MODULES) as services,
        httpx.Client(
            base_url=f"{services.http_url}/api/v2.0",
            auth=("admin", services.admin_password),
            timeout=60,
            trust_env=False,
        ) as http,
    ):
        yield Jobs(services, effects, http)

"""Settings of the worker of jobsvc: section `[worker]`, variables `ROADSTEAD_WORKER_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from svckit.process.settings import ProcessSettings

SECTION = "worker"


class WorkerSettings(ProcessSettings):
    """The settings of a worker."""

    key_file: Path = Path("/var/lib/roadstead/keys/worker.pem")
    """The key pair that signs its service tokens. Made when it is absent. Workers share one."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many tasks it runs at once."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long running tasks may go on after SIGTERM. The rest is given back, and runs again in another worker."""

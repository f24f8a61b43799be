"""Settings of jobsvc: section `[jobsvc]`, variables `ROADSTEAD_JOBSVC_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES
from svckit.sql.settings import DatabaseServiceSettings, PoolSize, SchemaName

SECTION = "jobsvc"


class JobSettings(DatabaseServiceSettings):
    """The settings of jobsvc."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    database_url: SecretStr = SecretStr("sqlite:////var/lib/roadstead/jobsvc/job.db")
    database_schema: SchemaName = "jobsvc"
    database_pool_size: PoolSize = 32
    key_file: Path = Path("/var/lib/roadstead/keys/jobsvc.pem")
    """The key pair that signs its service tokens. Made when it is absent. Replicas share one."""
    redis_url: SecretStr = SecretStr("")
    """Redis or Valkey, by which replicas tell each other that tasks wait: `redis://HOST:PORT/DATABASE`, the same with
    `rediss` for TLS, `unix:///PATH`, or `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE`. Empty: workers look for tasks
    every `poll_seconds`. It holds nothing that may not be lost."""
    lease_seconds: Annotated[float, Field(ge=3, le=3600)] = 30.0
    """How long a worker may be silent before its tasks are given to others. The clocks of replicas must differ by much
    less."""
    poll_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """How often a worker that waits looks for tasks that nobody has announced."""
    reconcile_seconds: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    """How often each replica starts what is due: tasks that wait for their time, schedules, tasks of dead workers."""
    task_log_bytes: Annotated[int, Field(ge=4096, le=8 * 1024 * 1024)] = 4 * 1024 * 1024
    """The most bytes of a task's log. What comes after that is left out, and the log says so."""
    task_log_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How long the logs of tasks are kept. They go earlier with their execution."""

"""The table of services, one row each. All code that needs to know the services reads this table.

A new service is a row here, its package, and its section of settings (`make settings`).

The supervisor imports this module and must stay small, so this module imports only the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

_RUN_FOLDER = "/run/roadstead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service.

    Attributes:
        name: its name everywhere: on the command line, in logs and tokens, as the section of its settings.
        kind: "http" for the gateway, "rpc" for a service with RPCs, "worker" for a service that only calls others.
        entry: the module whose `main(config)` runs it; if empty, `<name>.server`.
        config: the module of its settings; if empty, `config` in its package.
        contracts: the package of its contracts, such as "roadstead.meta.v1"; empty if it has none.
        is_rest: whether these contracts have routes of /api/v2.0, which the gateway then serves.
        socket: the file name of its unix socket; empty if it serves no RPCs.
        port_offset: the offset of its port from `--grpc-port` and `--metrics-port`; None if it has no ports.
        calls: the services that it calls. Empty for the gateway, which calls every service with RPCs.
        database: the file name of its SQLite database; empty if it has no database.
        logs_changes: whether its database has a change log (`svckit.sql.change_log`).
        keeps_files: whether it has a folder of its own, given by its setting `data_dir`.
        scales: the option of `roadstead up` that says how many processes of it run; empty for one.
        is_planned: whether it does not exist yet. Its name, section and port are reserved, and nothing starts it.
    """

    name: str
    kind: Literal["http", "rpc", "worker"] = "rpc"
    entry: str = ""
    config: str = ""
    contracts: str = ""
    is_rest: bool = False
    socket: str = ""
    port_offset: int | None = None
    calls: tuple[str, ...] = ()
    database: str = ""
    logs_changes: bool = False
    keeps_files: bool = False
    scales: Literal["", "workers", "job_workers"] = ""
    is_planned: bool = False

    @property
    def module(self) -> str:
        """The module that runs it."""
        return self.entry or f"{self.name}.server"

    @property
    def package(self) -> str:
        """The Python package of the service."""
        return self.module.partition(".")[0]

    @property
    def settings_module(self) -> str:
        """The module of its settings."""
        return self.config or f"{self.package}.config"

    @property
    def passes_calls_on(self) -> bool:
        """Whether it passes on the calls of its callers: it is called and then calls other services."""
        return self.kind == "http" or bool(self.socket and self.calls)

    @property
    def default_address(self) -> str:
        """The address at which it listens and is called, unless the settings change it."""
        return f"unix:{_RUN_FOLDER}/{self.socket}"


TABLE: tuple[Service, ...] = (
    Service(name="gateway", kind="http", scales="workers"),
    Service(
        name="worker",
        kind="worker",
        entry="jobsvc.worker",
        config="jobsvc.worker_config",
        calls=("jobsvc", "metasvc", "authsvc", "blobsvc"),
        scales="job_workers",
    ),
    Service(
        name="jobsvc",
        contracts="roadstead.job.v1",
        is_rest=True,
        socket="job.sock",
        port_offset=3,
        calls=("metasvc", "authsvc", "blobsvc"),
        database="job.db",
    ),
    Service(
        name="metasvc",
        contracts="roadstead.meta.v1",
        is_rest=True,
        socket="meta.sock",
        port_offset=1,
        calls=("authsvc", "blobsvc"),
        database="meta.db",
        logs_changes=True,
    ),
    Service(
        name="authsvc",
        contracts="roadstead.auth.v1",
        is_rest=True,
        socket="auth.sock",
        port_offset=0,
        database="auth.db",
        logs_changes=True,
    ),
    Service(
        name="blobsvc",
        contracts="roadstead.blob.v1",
        socket="blob.sock",
        port_offset=2,
        keeps_files=True,
    ),
)
"""All services. Each stands before the services that it calls. They stop in this order, so that a service never loses
one that it still calls."""

SERVICES: Mapping[str, Service] = MappingProxyType({row.name: row for row in TABLE if not row.is_planned})
"""The services that exist, by name, in the order of the table."""

RPC_SERVICES: Mapping[str, Service] = MappingProxyType({name: row for name, row in SERVICES.items() if row.socket})
"""The existing services that serve RPCs, by name."""

NAMES = frozenset(row.name for row in TABLE)
"""The names of all services, planned ones included. Key pairs and sections of settings have these names."""

PORT_COUNT = 1 + max(row.port_offset for row in TABLE if row.port_offset is not None)
"""How many consecutive ports the services use, reserved ones included."""


def called_by(caller: str) -> tuple[str, ...]:
    """The names of the services that a service calls."""
    row = SERVICES[caller]
    return tuple(RPC_SERVICES) if row.kind == "http" else row.calls

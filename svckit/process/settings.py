"""Settings of a process that signs, and of one that serves RPCs."""

from __future__ import annotations

from pathlib import Path

from svckit.rpc.settings import RpcServerSettings
from svckit.settings import ServiceSettings


class ProcessSettings(ServiceSettings):
    """Settings of every process. Each service sets its own defaults."""

    key_file: Path
    """The key pair that signs the service's tokens. It is created if it does not exist. Replicas share one."""


class RpcProcessSettings(ProcessSettings):
    """Settings of a service with RPCs. Each service sets its own defaults."""

    rpc: RpcServerSettings
    """The addresses and the limits of its server."""

"""Settings of a process that signs, and of one that serves RPCs."""

from __future__ import annotations

from pathlib import Path

from svckit.rpc.settings import RpcServerSettings
from svckit.settings import ServiceSettings


class ProcessSettings(ServiceSettings):
    """What each service has of its own; each gives the default."""

    key_file: Path
    """Its key pair, which signs its tokens. Made when it is absent. Replicas share one."""


class RpcProcessSettings(ProcessSettings):
    """What a service that serves RPCs has; each gives the default."""

    rpc: RpcServerSettings
    """Where it listens, and how much it takes on."""

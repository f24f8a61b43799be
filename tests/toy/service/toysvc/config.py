"""Settings of toysvc: section `[toysvc]`, variables `ROADSTEAD_TOYSVC_…`."""

from __future__ import annotations

from pathlib import Path

from svckit.process.settings import RpcProcessSettings
from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES

SECTION = "toysvc"


class ToySettings(RpcProcessSettings):
    """The settings of toysvc."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    key_file: Path = Path("/var/lib/roadstead/keys/toysvc.pem")
    """The key pair of toysvc. Made when it is absent."""
    ending: str = "."
    """What every saying ends with."""

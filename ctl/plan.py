"""What each service is told by `roadstead up`: its sockets, its folders, its neighbours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ctl.data_dir import DataDir
from svckit.durable import replace_file

Setting = str | int | float | bool | list[str] | dict[str, "Setting"]

_SOCKETS = {"authsvc": "auth.sock", "metasvc": "meta.sock", "blobsvc": "blob.sock"}
# How long calls in flight may go on. A person waits for this after Ctrl-C, and may press it again.
_DRAIN_SECONDS = 10.0
STOP_SECONDS = _DRAIN_SECONDS + 10.0
"""How long a service may take from SIGTERM until its process has closed its files and is gone."""


@dataclass(frozen=True)
class Plan:
    """What was found and bound before the services start.

    Attributes:
        data_dir: of the installation.
        sockets: the folder of unix sockets.
        http_descriptor: the listening socket that the gateway inherits.
        grpc: the loopback address of each service, for platform callers; may be empty.
        log_level: of all services.
        pretty: whether people read the logs.
    """

    data_dir: DataDir
    sockets: Path
    http_descriptor: int
    grpc: Mapping[str, str]
    log_level: str
    pretty: bool

    def address(self, service: str) -> str:
        """Where its neighbours find a service."""
        return f"unix:{self.sockets / _SOCKETS[service]}"

    def settings(self) -> dict[str, dict[str, Setting]]:
        """The sections of the settings file."""
        return {
            "common": {
                "log_level": self.log_level,
                # The services write into a pipe, so they cannot see whether a terminal is at its end.
                "log_format": "console" if self.pretty else "json",
                "trust_dir": str(self.data_dir.trust),
            },
            "gateway": {
                "listen": [f"fd://{self.http_descriptor}"],
                "key_file": str(self.data_dir.key_file("gateway")),
                "authsvc": self.address("authsvc"),
                "metasvc": self.address("metasvc"),
                "blobsvc": self.address("blobsvc"),
                "limits": {"drain_seconds": _DRAIN_SECONDS},
            },
            "authsvc": {
                **self._rpc_service("authsvc"),
                "database_url": self._database_url("authsvc", "auth.db"),
                "initial_admin_password_file": str(self.data_dir.password_file),
            },
            "metasvc": {
                **self._rpc_service("metasvc"),
                "database_url": self._database_url("metasvc", "meta.db"),
                "authsvc_target": self.address("authsvc"),
                "blobsvc_target": self.address("blobsvc"),
            },
            "blobsvc": {
                **self._rpc_service("blobsvc"),
                "data_dir": str(self.data_dir.service_dir("blobsvc")),
            },
        }

    def _rpc_service(self, service: str) -> dict[str, Setting]:
        listen = [self.address(service)]
        if service in self.grpc:
            listen.append(self.grpc[service])
        return {
            "rpc": {"listen": listen, "drain_seconds": _DRAIN_SECONDS},
            "key_file": str(self.data_dir.key_file(service)),
        }

    def _database_url(self, service: str, name: str) -> str:
        return f"sqlite:///{self.data_dir.service_dir(service) / name}"


def write_settings(plan: Plan) -> None:
    """Writes the settings file of the installation, and makes the folders that it names."""
    for service in _SOCKETS:
        plan.data_dir.service_dir(service).mkdir(mode=0o700, exist_ok=True)
    path = plan.data_dir.config_file
    path.parent.mkdir(mode=0o700, exist_ok=True)
    lines = ["# Written by `roadstead up` at each start. Change settings by ROADSTEAD_<SERVICE>_<SETTING> variables."]
    for name, section in plan.settings().items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    replace_file(path, ("\n".join(lines) + "\n").encode(), mode=0o600)


def _toml(value: Setting) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    # For these JSON is TOML, as long as what is beyond ASCII stays as it is: JSON would escape it in UTF-16. The one
    # character that JSON leaves and TOML does not, DEL, cannot be in a path that anybody means.
    return json.dumps(value, ensure_ascii=False)

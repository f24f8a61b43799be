"""The settings that `roadstead up` gives to each service: sockets, folders, addresses of the others."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctl.data_dir import DataDir
from ctl.established import Established
from svckit.durable import overwrite_file
from svckit.services import RPC_SERVICES, SERVICES, Service

Setting = str | int | float | bool | list[str] | dict[str, "Setting"]

# How long calls in flight may go on after SIGTERM. It is short because a person waits for it after Ctrl-C.
_DRAIN_SECONDS = 10.0
STOP_SECONDS = _DRAIN_SECONDS + 10.0
"""How long a service may take from SIGTERM until its process has ended."""


@dataclass(frozen=True)
class Plan:
    """What is known before the services start.

    Attributes:
        data_dir: the data directory of the installation.
        sockets: the folder of unix sockets.
        http_descriptor: the listening socket that the gateway inherits.
        grpc: the loopback address of each service, for platform callers; may be empty.
        log_level: the log level of all services.
        pretty: whether the logs are for people, not JSON.
        established: the data that the services insist on.
        start_anyway: the services that may start with other data than this, for this start.
    """

    data_dir: DataDir
    sockets: Path
    http_descriptor: int
    grpc: Mapping[str, str]
    log_level: str
    pretty: bool
    established: Established
    start_anyway: Collection[str] = ()

    def address(self, service: str) -> str:
        """The address where other services find this service."""
        return f"unix:{self.sockets / RPC_SERVICES[service].socket}"

    @property
    def valkey_socket(self) -> Path:
        """The socket of Valkey."""
        return self.sockets / "valkey.sock"

    @property
    def http_listen(self) -> str:
        """The HTTP socket, as a setting of the gateway."""
        return f"fd://{self.http_descriptor}"

    def own_socket(self, process: str) -> Path:
        """The socket at which the supervisor asks one process of the gateway for its health."""
        return self.sockets / f"{process}.sock"

    def settings(self) -> dict[str, dict[str, Setting]]:
        """The sections of the settings file."""
        common: dict[str, Setting] = {
            "log_level": self.log_level,
            # The services write into a pipe, so they cannot find out whether the output is a terminal.
            "log_format": "console" if self.pretty else "json",
            "trust_dir": str(self.data_dir.trust),
            "addresses": {name: self.address(name) for name in RPC_SERVICES},
        }
        return {"common": common, **{service.name: self._section(service) for service in SERVICES.values()}}

    @property
    def _blob_directory(self) -> str:
        """Where blobsvc keeps its blobs, also if a variable has moved them."""
        return os.environ.get("ROADSTEAD_BLOBSVC_DATA_DIR") or str(self.data_dir.service_dir("blobsvc"))

    def _section(self, service: Service) -> dict[str, Setting]:
        """The settings that follow from the row of a service, and those that only one service has."""
        folder = self.data_dir.service_dir(service.name)
        section: dict[str, Setting] = {"key_file": str(self.data_dir.key_file(service.name))}
        if service.kind == "http":
            section |= {"listen": [self.http_listen], "limits": {"drain_seconds": _DRAIN_SECONDS}}
            section["blob_directory"] = self._blob_directory
            if certificate := os.environ.get("ROADSTEAD_GATEWAY_TLS_CERTIFICATE_FILE"):
                # The variable counts for the gateway. `roadstead admin` reads here whether it speaks TLS.
                section["tls_certificate_file"] = certificate
        if service.socket:
            listen = [self.address(service.name), *filter(None, [self.grpc.get(service.name)])]
            section["rpc"] = {"listen": listen, "drain_seconds": _DRAIN_SECONDS}
        if service.database:
            section["database_url"] = f"sqlite:///{folder / service.database}"
        if service.keeps_files:
            section["data_dir"] = str(folder)
        if service.kind == "worker":
            section["drain_seconds"] = _DRAIN_SECONDS
        if service.name == "jobsvc":
            section["redis_url"] = f"unix://{self.valkey_socket}"
        if service.name == "authsvc":
            section["initial_admin_password_file"] = str(self.data_dir.password_file)
        if service.name == "metasvc" and "blobsvc" in self.start_anyway:
            # metasvc remembers the store as well, and would not believe in the new one.
            section["adopt_blob_store"] = True
        section.update(self.established.without(self.start_anyway).settings(service))
        return section


def write_settings(plan: Plan) -> None:
    """Writes the settings file of the installation, and makes the folders in it."""
    for service in SERVICES.values():
        if service.database or service.keeps_files:
            plan.data_dir.service_dir(service.name).mkdir(mode=0o700, exist_ok=True)
    path = plan.data_dir.config_file
    path.parent.mkdir(mode=0o700, exist_ok=True)
    lines = ["# Written by `roadstead up` at each start. Change settings by ROADSTEAD_<SERVICE>_<SETTING> variables."]
    for name, section in plan.settings().items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    # Not replaced by a new file: on a full disk there is no space for one, and the old content is worth nothing.
    overwrite_file(path, ("\n".join(lines) + "\n").encode(), mode=0o600)


def _toml(value: Setting) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    # JSON of these types is valid TOML if characters beyond ASCII are not escaped: JSON escapes them as UTF-16, which
    # TOML does not allow. One character is still different: TOML forbids a raw DEL. Real paths do not contain it.
    return json.dumps(value, ensure_ascii=False)

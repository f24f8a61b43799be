"""A second gateway in front of an installation's services, with its own settings. A gateway has no state."""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.harness.installation import Installation
from tests.harness.ports import free_port
from tests.harness.probe import wait_for_gateway
from tests.harness.process import environment


@dataclass(frozen=True)
class SecondGateway:
    """A gateway that runs.

    Attributes:
        pid: of its process.
        addresses: each as "HOST:PORT".
    """

    pid: int
    addresses: tuple[str, ...]


@contextmanager
def second_gateway(
    installation: Installation, *hosts: str, tls: ssl.SSLContext | None = None, **settings: str
) -> Iterator[SecondGateway]:
    """Runs one inside the block.

    Args:
        installation: whose services it calls.
        hosts: the hosts where it listens, each on its own port; IPv6 in brackets.
        tls: trusts its certificate, if the settings name one.
        settings: of the gateway, as variables have them: trusted_proxies='["127.0.0.2/32"]'.
    """
    addresses = tuple(f"{host}:{free_port(host.strip('[]'))}" for host in hosts)
    variables = {f"ROADSTEAD_GATEWAY_{name.upper()}": value for name, value in settings.items()}
    command = ["setpriv", "--pdeathsig=KILL", "--", sys.executable, "-P", "-m", "ctl.service", "gateway"]
    with installation.log_file.open("ab") as log:
        process = subprocess.Popen(
            [*command, str(installation.data_dir / "config" / "services.toml")],
            env=environment({**variables, "ROADSTEAD_GATEWAY_LISTEN": json.dumps(addresses)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for_gateway(addresses[0], "/healthz", failure=process.poll, log=installation.log, tls=tls)
        yield SecondGateway(process.pid, addresses)
    finally:
        # A gateway has no state, so it may be killed.
        process.kill()
        process.wait()

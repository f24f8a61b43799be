"""Runs one service in this process: `roadstead serve`, and the children of `roadstead up`."""

import importlib
import sys
from pathlib import Path

from ctl.parent import die_with_parent

SERVICES = ("gateway", "metasvc", "authsvc", "blobsvc")
"""The services there are, in the order in which they stop: whoever calls before whoever is called."""


def serve(service: str, config: Path | None) -> int:
    """Runs a service until it is told to stop by SIGTERM or SIGINT.

    Args:
        service: one of `SERVICES`.
        config: its TOML file; None for defaults and the environment alone.

    Returns:
        the exit code.
    """
    # By name, so that each process loads its own service and nothing of the others.
    server = importlib.import_module(f"{service}.server")
    return int(server.main(config) or 0)


def main() -> int:
    """The entry point of a child: `python -m ctl.service SERVICE FILE`."""
    die_with_parent()
    service, config = sys.argv[1:]
    return serve(service, Path(config))


if __name__ == "__main__":
    sys.exit(main())

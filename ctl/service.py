"""Runs one service in this process: `roadstead serve`, and the children of `roadstead up`."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ctl.parent import die_with_parent
from svckit.services import SERVICES

if TYPE_CHECKING:
    from svckit.settings import ServiceSettings


def serve(service: str, config: Path | None) -> int:
    """Runs a service until SIGTERM or SIGINT.

    Args:
        service: its name in the table of services.
        config: its TOML file; None for defaults and environment variables only.

    Returns:
        the exit code.
    """
    # Imported by name, so that a process does not load the other services.
    module = importlib.import_module(SERVICES[service].module)
    return int(module.main(config) or 0)


def settings_class(service: str) -> "type[ServiceSettings]":
    """The settings of a service: the one class of them that its `config` module defines."""
    # The supervisor imports this module and must stay small.
    from svckit.settings import ServiceSettings

    module = importlib.import_module(SERVICES[service].settings_module)
    [settings] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    ]
    return settings


def main() -> int:
    """The entry point of a child: `python -m ctl.service SERVICE FILE`."""
    die_with_parent()
    service, config = sys.argv[1:]
    return serve(service, Path(config))


if __name__ == "__main__":
    sys.exit(main())

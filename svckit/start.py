"""From the command line to a running service, in the same order for each: settings, log, serve."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, TypeVar

from svckit import logging
from svckit.errors import DomainError
from svckit.errors.start import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from svckit.settings import ServiceSettings

S = TypeVar("S", bound="ServiceSettings")


def run_service(
    service: str, kind: type[S], config: Path | None, serve: Callable[[S], Coroutine[Any, Any, None]]
) -> int:
    """Runs a service in this process until it has been told to stop.

    What keeps it from starting is said in one line on standard error, which says it better than a traceback.

    Args:
        service: its name: the section of its settings, and what its log lines carry.
        kind: of its settings.
        config: the TOML file; None for the environment alone.
        serve: serves until SIGTERM or SIGINT.

    Returns:
        the exit status.
    """
    try:
        settings = kind.load(config, service)
        logging.configure(service, settings.log_level, settings.log_format)
        asyncio.run(serve(settings))
    except (StartError, DomainError, OSError) as error:
        print(f"{service}: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up yet
        return 1
    return 0

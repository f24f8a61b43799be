"""Starts a service from the command line. The order is the same for each: settings, log, process, serve."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from svckit import logging
from svckit.allocator import reuse_large_blocks
from svckit.errors import DomainError
from svckit.errors.start import FAILED_STATUS, REFUSED_STATUS, StartError
from svckit.process.open_files import allow_open_files
from svckit.process.process import S, ServiceProcess, open_process

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any


def run_service(
    service: str,
    kind: type[S],
    config: Path | None,
    serve: Callable[[ServiceProcess[S]], Coroutine[Any, Any, None]],
    *,
    moves_bytes: bool = False,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Runs a service in this process until it is told to stop.

    If it cannot start, one line on standard error says why, without a traceback. The exit status says whether it may
    start later by itself.

    Args:
        service: its name, which is also the section of its settings and the name in its logs.
        kind: the class of its settings.
        config: the TOML file; None to use only the environment.
        serve: opens what the service needs, and serves until SIGTERM or SIGINT.
        moves_bytes: whether blobs pass through it. Then the allocator is set to reuse large blocks.
        new_loop: makes the event loop; None for asyncio's own.

    Returns:
        the exit status.
    """
    if moves_bytes:
        # This must be done before threads start.
        reuse_large_blocks()
    allow_open_files()
    try:
        settings = kind.load(config, service)
        logging.configure(service, settings.log_level, settings.log_format)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_run(service, settings, serve))
    except (StartError, DomainError, OSError) as error:
        logging.flush()
        print(f"{service}: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up yet
        return REFUSED_STATUS if isinstance(error, StartError) and not error.may_pass else FAILED_STATUS
    finally:
        # The interpreter writes the traceback of an error that nobody has handled. What was logged before comes first.
        logging.flush()
    return 0


async def _run(
    service: str,
    settings: S,
    serve: Callable[[ServiceProcess[S]], Coroutine[Any, Any, None]],
) -> None:
    async with open_process(service, settings) as process:
        await serve(process)

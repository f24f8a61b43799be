"""A console that tests can read, and a supervisor that is stopped whatever happens."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ctl.console import Console
from ctl.supervisor import Backoff, Child, Supervisor
from tests.harness.waiting import wait_until_async

LONGEST_SECONDS = 20.0
"""After this, what a test waits for will not come."""

QUICK = Backoff(first_seconds=0.01, longest_seconds=0.05)


class ReadableConsole(Console):
    """A console whose lines a test can wait for."""

    def __init__(self, path: Path, *, pretty: bool) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        super().__init__(self._file, pretty=pretty)

    def text(self) -> str:
        self.flush(LONGEST_SECONDS)
        return self._path.read_text()

    async def wait_for(self, wanted: str, count: int = 1) -> str:
        """Returns what was written once it holds `wanted` so many times."""
        return await wait_until_async(
            self.text, repr(wanted), wanted=lambda text: text.count(wanted) >= count, more=self.text
        )


@pytest.fixture
async def console(tmp_path: Path) -> ReadableConsole:
    return ReadableConsole(tmp_path / "console", pretty=True)


@pytest.fixture
async def supervise(console: ReadableConsole) -> AsyncIterator[Callable[..., Supervisor]]:
    """Starts a supervisor of the children given."""
    started: list[Supervisor] = []

    def start(
        *children: Child, backoff: Backoff = QUICK, settled: bool = True, hang_seconds: float = 0.0
    ) -> Supervisor:
        supervisor = Supervisor(children, console, backoff, hang_seconds=hang_seconds)
        supervisor.start()
        if settled:
            supervisor.mark_ready()
        started.append(supervisor)
        return supervisor

    yield start
    kill_now = asyncio.Event()
    kill_now.set()
    for supervisor in started:
        await supervisor.stop(kill_now)

"""Starts processes, starts them again when they die alone, and stops them in order."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ctl.console import Console
from ctl.parent import PARENT_VARIABLE

_KEPT_LINES = 30
# A child's output ends with it, unless it left a process of its own behind that holds the pipe.
_OUTPUT_SECONDS = 1.0


class ChildFailed(Exception):
    """A child could not be started, again and again. The text names it, its end, and what it said last."""

    def __init__(self, name: str, end: str, lines: Iterable[str]) -> None:
        """Takes the child's name, how it ended, and its last lines."""
        said = "".join(f"\n  {line}" for line in lines)
        super().__init__(f"{name} does not start: {end}{said}")


@dataclass(frozen=True)
class Child:
    """A process to keep alive.

    Attributes:
        name: in the log.
        command: program and arguments. Everybody on the machine may read them, so they hold no secret.
        environment: all of its variables.
        pass_fds: descriptors that it inherits, under the same numbers.
        stop_rank: when it is stopped: lower ones first, equal ones together.
        drain_seconds: how long it may take to stop before it is killed.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()
    stop_rank: int = 0
    drain_seconds: float = 10.0


@dataclass(frozen=True)
class Backoff:
    """When a child that died is started again.

    Without the growing delay a child that cannot live would keep a core busy with its starts.

    Attributes:
        first_seconds: after the first death; twice as long after each further one.
        longest_seconds: where that ends.
        healthy_seconds: a child that lived this long begins anew with `first_seconds`.
        start_attempts: how often a child may die before all are ready, until `ChildFailed` is raised.
    """

    first_seconds: float = 0.2
    longest_seconds: float = 15.0
    healthy_seconds: float = 30.0
    start_attempts: int = 3

    def seconds(self, deaths: int) -> float:
        """The delay after that many deaths in a row."""
        return float(min(self.first_seconds * 2 ** min(deaths - 1, 16), self.longest_seconds))


class Supervisor:
    """Keeps children alive from `start` to `stop`."""

    def __init__(self, children: Sequence[Child], console: Console, backoff: Backoff = Backoff()) -> None:
        """Names the children; nothing runs yet."""
        self._children = tuple(children)
        self._console = console
        self._backoff = backoff
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self._settled = False

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the children that run now, by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def start(self) -> None:
        """Starts all of them at once; they wait for each other by themselves."""
        self._failure = asyncio.get_running_loop().create_future()
        for child in self._children:
            self._tasks[child.name] = asyncio.create_task(self._keep(child), name=f"keep-{child.name}")

    def settle(self) -> None:
        """Says that all are ready: from now on a child that dies is started again without end."""
        self._settled = True

    async def failure(self) -> None:
        """Waits until a child has failed to start.

        Raises:
            ChildFailed: then.
        """
        if self._failure is None:
            raise RuntimeError("the supervisor was not started")
        await asyncio.shield(self._failure)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stops all children, rank by rank, and waits for their ends; kills those that take too long.

        Args:
            hurry: when it is set, whoever is left is killed.
        """
        self._stopping.set()
        hurried = asyncio.create_task(hurry.wait())
        try:
            for rank in sorted({child.stop_rank for child in self._children}):
                await self._stop_some([child for child in self._children if child.stop_rank == rank], hurried)
        finally:
            hurried.cancel()
            if self._failure is not None:
                self._failure.cancel()

    async def _stop_some(self, children: Sequence[Child], hurried: asyncio.Task[bool]) -> None:
        for child in children:
            self._signal(child.name, signal.SIGTERM)
        running = {task for child in children if (task := self._tasks.get(child.name)) is not None}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(child.drain_seconds for child in children)
        while (pending := {task for task in running if not task.done()}) and not hurried.done():
            left = deadline - loop.time()
            if left <= 0:
                break
            await asyncio.wait({*pending, hurried}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for child in children:
            if child.name in self._processes:
                self._console.log("warning", "killed: it did not stop in time", child=child.name)
                self._signal(child.name, signal.SIGKILL)
        await asyncio.gather(*running)

    def _signal(self, name: str, number: signal.Signals) -> None:
        process = self._processes.get(name)
        if process is not None and process.returncode is None:
            process.send_signal(number)

    async def _keep(self, child: Child) -> None:
        try:
            await self._keep_until_stopped(child)
        except Exception as error:
            # Nobody waits for this task before the end, and a child that nobody keeps must not go unnoticed.
            self._give_up(ChildFailed(child.name, repr(error), ()))

    async def _keep_until_stopped(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        deaths = 0
        while not self._stopping.is_set():
            started = loop.time()
            tail: deque[str] = deque(maxlen=_KEPT_LINES)
            try:
                end = _describe(await self._run(child, tail))
            except OSError as error:
                # Such as no memory for a process; or no such program.
                end = f"cannot be run: {error}"
            if self._stopping.is_set():
                return
            deaths = 1 if loop.time() - started >= self._backoff.healthy_seconds else deaths + 1
            if not self._settled and deaths >= self._backoff.start_attempts:
                self._console.log("error", "ended again and again", child=child.name, end=end)
                self._give_up(ChildFailed(child.name, end, tail))
                return
            delay = self._backoff.seconds(deaths)
            self._console.log("warning", "ended; starting it again", child=child.name, end=end, delay_seconds=delay)
            await _wait(self._stopping, delay)

    async def _run(self, child: Child, tail: deque[str]) -> int:
        process = await asyncio.create_subprocess_exec(
            *child.command,
            env={**child.environment, PARENT_VARIABLE: str(os.getpid())},
            # Its end tells a child of our own end, where the kernel does not.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=child.pass_fds,
            # Ctrl-C reaches a whole process group: ours only, because the children stop in order.
            start_new_session=True,
        )
        self._processes[child.name] = process
        if self._stopping.is_set():
            self._signal(child.name, signal.SIGTERM)
        output = asyncio.create_task(self._relay(child.name, process, tail))
        status = await process.wait()
        del self._processes[child.name]
        await asyncio.wait({output}, timeout=_OUTPUT_SECONDS)
        output.cancel()
        return status

    async def _relay(self, name: str, process: asyncio.subprocess.Process, tail: deque[str]) -> None:
        if process.stdout is not None:
            await self._console.relay(name, process.stdout, tail)

    def _give_up(self, error: ChildFailed) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)

"""Starts processes, restarts those that end by themselves, and stops all in order."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ctl.console import Console
from ctl.liveness import Ask, wait_for_silence
from ctl.parent import PARENT_VARIABLE
from svckit.errors.start import FAILED_STATUS, REFUSED_STATUS

_KEPT_LINES = 30
# The output of a child ends when the child ends, unless a process that it started still holds the pipe.
_OUTPUT_SECONDS = 1.0


class ChildFailed(Exception):
    """A child does not start. The text names the child, how it ended, and its last lines.

    Attributes:
        status: the exit status for the supervisor's own process.
    """

    def __init__(self, name: str, end: str, lines: Iterable[str], status: int = FAILED_STATUS) -> None:
        """Takes the child's name, how it ended, its last lines, and the exit status for this process."""
        said = "".join(f"\n  {line}" for line in lines)
        super().__init__(f"{name} does not start: {end}{said}")
        self.status = status


@dataclass(frozen=True)
class Child:
    """A process that the supervisor keeps running.

    Attributes:
        name: its name in the log.
        command: program and arguments. All users of the machine can read them, so they must not hold secrets.
        environment: all of its variables.
        pass_fds: descriptors that it inherits, under the same numbers.
        stop_rank: the order of the stop: lower ranks first, equal ranks together.
        drain_seconds: how long it may take to stop before it is killed.
        ask: asks it for its health, to find out whether it hangs; None if it cannot be asked.
        is_needed: whether all fail if it does not start. Otherwise it is started again and again.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()
    stop_rank: int = 0
    drain_seconds: float = 10.0
    ask: Ask | None = None
    is_needed: bool = True


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a child that ended is restarted.

    Without the growing delay, a child that always fails at its start would keep a core busy.

    Attributes:
        first_seconds: the delay after the first exit. It doubles after each further exit.
        longest_seconds: the longest delay.
        healthy_seconds: a child that ran this long begins again with `first_seconds`.
        start_attempts: how often a child may end before all are ready. Then `ChildFailed` is raised. A child that ends
            with `REFUSED_STATUS` has one attempt.
    """

    first_seconds: float = 0.2
    longest_seconds: float = 15.0
    healthy_seconds: float = 30.0
    start_attempts: int = 3

    def seconds(self, exits: int) -> float:
        """The delay after this many exits in a row."""
        return float(min(self.first_seconds * 2 ** min(exits - 1, 16), self.longest_seconds))


class Supervisor:
    """Keeps children running from `start` to `stop`."""

    def __init__(
        self,
        children: Sequence[Child],
        console: Console,
        backoff: Backoff = Backoff(),
        *,
        hang_seconds: float = 0.0,
    ) -> None:
        """Takes the children. `start` starts them.

        Args:
            children: the children.
            console: for log lines, and the output of the children.
            backoff: the delays of restarts.
            hang_seconds: a child that listens and answers nothing for so long is killed and restarted; 0 for never.
        """
        self._children = tuple(children)
        self._console = console
        self._backoff = backoff
        self._hang_seconds = hang_seconds
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self._all_ready = False

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the running children, by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def start(self) -> None:
        """Starts all children at once. The services themselves wait for each other."""
        self._failure = asyncio.get_running_loop().create_future()
        for child in self._children:
            self._tasks[child.name] = asyncio.create_task(self._keep_running(child), name=f"keep-{child.name}")

    def mark_ready(self) -> None:
        """Records that all children are ready. From now on a child that ends is restarted without a limit."""
        self._all_ready = True

    async def failure(self) -> None:
        """Waits until a child fails to start. Does not return.

        Raises:
            ChildFailed: when a child has failed to start.
        """
        if self._failure is None:
            raise RuntimeError("the supervisor was not started")
        await asyncio.shield(self._failure)

    async def stop(self, kill_now: asyncio.Event) -> None:
        """Stops all children, rank by rank, and waits until they have ended. Kills those that take too long.

        Args:
            kill_now: when it is set, all children that still run are killed.
        """
        self._stopping.set()
        killing = asyncio.create_task(kill_now.wait())
        try:
            for rank in sorted({child.stop_rank for child in self._children}):
                await self._stop_some([child for child in self._children if child.stop_rank == rank], killing)
        finally:
            killing.cancel()
            if self._failure is not None:
                self._failure.cancel()

    async def _stop_some(self, children: Sequence[Child], killing: asyncio.Task[bool]) -> None:
        for child in children:
            self._signal(child.name, signal.SIGTERM)
        running = {task for child in children if (task := self._tasks.get(child.name)) is not None}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(child.drain_seconds for child in children)
        while (pending := {task for task in running if not task.done()}) and not killing.done():
            left = deadline - loop.time()
            if left <= 0:
                break
            await asyncio.wait({*pending, killing}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for child in children:
            if child.name in self._processes:
                self._console.log("warning", "killed: it did not stop in time", child=child.name)
                self._signal(child.name, signal.SIGKILL)
        await asyncio.gather(*running)

    def _signal(self, name: str, number: signal.Signals) -> None:
        process = self._processes.get(name)
        if process is not None and process.returncode is None:
            process.send_signal(number)

    async def _keep_running(self, child: Child) -> None:
        try:
            await self._run_until_stopped(child)
        except Exception as error:
            # Nothing awaits this task before `stop`. Without this line the child would stay down and nobody would know.
            self._fail(ChildFailed(child.name, repr(error), ()))

    async def _run_until_stopped(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        exits = 0
        while not self._stopping.is_set():
            started = loop.time()
            tail: deque[str] = deque(maxlen=_KEPT_LINES)
            status = FAILED_STATUS
            try:
                status = await self._run(child, tail)
                end = _describe_exit(status)
            except OSError as error:
                # For example, there is no such program, or no memory for a process.
                end = f"cannot be run: {error}"
            if self._stopping.is_set():
                return
            if self._must_start(child) and status == REFUSED_STATUS:
                # It would end in the same way again.
                self._console.log("error", "refuses to start", child=child.name, end=end)
                self._fail(ChildFailed(child.name, end, tail, REFUSED_STATUS))
                return
            exits = 1 if loop.time() - started >= self._backoff.healthy_seconds else exits + 1
            if self._must_start(child) and exits >= self._backoff.start_attempts:
                self._console.log("error", "ended again and again", child=child.name, end=end)
                self._fail(ChildFailed(child.name, end, tail))
                return
            delay = self._backoff.seconds(exits)
            self._console.log("warning", "ended; starting it again", child=child.name, end=end, delay_seconds=delay)
            await _wait(self._stopping, delay)

    def _must_start(self, child: Child) -> bool:
        return child.is_needed and not self._all_ready

    async def _run(self, child: Child, tail: deque[str]) -> int:
        process = await asyncio.create_subprocess_exec(
            *child.command,
            env={**child.environment, PARENT_VARIABLE: str(os.getpid())},
            # Where the kernel does not signal our end to the child, this pipe does: it closes (see ctl.parent).
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=child.pass_fds,
            # Ctrl-C signals a whole process group. The children are not in ours, because we stop them in order.
            start_new_session=True,
        )
        self._processes[child.name] = process
        if self._stopping.is_set():
            self._signal(child.name, signal.SIGTERM)
        output = asyncio.create_task(self._relay(child.name, process, tail))
        watch = asyncio.create_task(self._kill_if_it_hangs(child))
        status = await process.wait()
        watch.cancel()
        del self._processes[child.name]
        await asyncio.wait({output}, timeout=_OUTPUT_SECONDS)
        output.cancel()
        return status

    async def _kill_if_it_hangs(self, child: Child) -> None:
        if child.ask is None or not self._hang_seconds:
            return
        await wait_for_silence(child.ask, self._hang_seconds)
        # During the stop, `_stop_some` decides how long a child may take.
        if not self._stopping.is_set():
            self._console.log("error", "killed: it hangs", child=child.name, silent_seconds=self._hang_seconds)
            self._signal(child.name, signal.SIGKILL)

    async def _relay(self, name: str, process: asyncio.subprocess.Process, tail: deque[str]) -> None:
        if process.stdout is not None:
            await self._console.relay(name, process.stdout, tail)

    def _fail(self, error: ChildFailed) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)

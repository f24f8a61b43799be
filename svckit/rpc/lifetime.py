"""From the start of a service's process to its end: signals, and the death of the parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from svckit.rpc.server import RpcServer

_log = get_logger(__name__)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """SIGTERM and SIGINT, as something to wait for."""

    def __init__(self) -> None:
        """Has seen none."""
        self.count = 0
        self._arrived = asyncio.Condition()

    async def wait(self, count: int = 1) -> None:
        """Returns once so many have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.count >= count)

    async def note(self) -> None:
        """Counts one."""
        async with self._arrived:
            self.count += 1
            self._arrived.notify_all()


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Catches SIGTERM and SIGINT inside the block, instead of dying of them. In the main thread, inside a loop."""
    loop = asyncio.get_running_loop()
    signals = StopSignals()
    noting: set[asyncio.Task[None]] = set()

    def arrived() -> None:
        task = loop.create_task(signals.note())
        noting.add(task)
        task.add_done_callback(noting.discard)

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, arrived)
    try:
        yield signals
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def serve_until_signal(server: RpcServer, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
    """Starts the server, serves until SIGTERM or SIGINT, drains. A second signal ends the grace at once.

    Args:
        server: with its servicers added.
        prepare: checks and warms up what the server needs; health says SERVING after it.

    Raises:
        Exception: what `server.start` or `prepare` raises, and what has stopped the server unasked.
    """
    with stop_signals() as signals:
        await server.start()
        try:
            if prepare is not None:
                await prepare()
            server.set_serving()
            await _first_of(signals.wait(), server.wait_until_stopped())
        finally:
            _log.info("rpc_draining")
            draining = asyncio.ensure_future(server.drain())
            await _first_of(draining, signals.wait(signals.count + 1))
            if not draining.done():
                await asyncio.gather(server.drain(0), draining)


def die_with_parent(parent_id: int | None = None, signal_number: int = signal.SIGTERM) -> None:
    """Has the kernel signal this process when its parent dies, so that no service outlives its supervisor.

    To be called first thing in the child. The kernel watches the thread that started it, so a supervisor starts its
    children from its main thread. On systems without prctl it does nothing.

    Args:
        parent_id: the process id of the parent, if it has said so: then a parent that died earlier still is noticed.
        signal_number: the signal.

    Raises:
        SystemExit: if the parent is dead already.
        OSError: if the kernel refuses.
    """
    expected = os.getppid() if parent_id is None else parent_id
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return
    if prctl(_PR_SET_PDEATHSIG, int(signal_number)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # It may have died before the kernel knew of our wish: then nobody would ever tell us.
    if os.getppid() != expected:
        raise SystemExit("the parent is dead")


async def _first_of(*waiting: Awaitable[object]) -> None:
    """Waits for the first to end, cancels the rest but for tasks of somebody else, raises what the first raised."""
    own = [asyncio.ensure_future(each) for each in waiting]
    try:
        done, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for each, task in zip(waiting, own, strict=True):
            if each is not task:
                task.cancel()

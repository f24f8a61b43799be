"""Runs a server from its start to its end: signals, and the drain."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from svckit.rpc.server import RpcServer

_log = get_logger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Counts SIGTERM and SIGINT, so that a task can wait for them."""

    def __init__(self) -> None:
        """Starts at zero."""
        self.count = 0
        self._arrived = asyncio.Condition()

    async def wait(self, count: int = 1) -> None:
        """Returns when so many signals have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.count >= count)

    async def note(self) -> None:
        """Counts one signal."""
        async with self._arrived:
            self.count += 1
            self._arrived.notify_all()


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Catches SIGTERM and SIGINT inside the block, so that they do not end the process.

    Needs the main thread and a running event loop.
    """
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
    """Starts the server, serves until SIGTERM or SIGINT, then drains. A second signal ends the drain at once.

    Args:
        server: the server, with its servicers added.
        prepare: checks and prepares what the server needs. Health says SERVING after it.

    Raises:
        Exception: an error of `server.start` or `prepare`, or the error that stopped the server.
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


async def _first_of(*waiting: Awaitable[object]) -> None:
    """Waits until the first ends, and cancels the others, except tasks of the caller. Raises the error of the first."""
    own = [asyncio.ensure_future(each) for each in waiting]
    try:
        done, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for each, task in zip(waiting, own, strict=True):
            if each is not task:
                task.cancel()

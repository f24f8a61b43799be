"""Bounded threads for blocking work, such as that of files."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class BlockingPool:
    """A bounded number of threads for blocking work."""

    def __init__(self, name: str, threads: int) -> None:
        """Makes the pool. Its threads start when they are needed."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> "asyncio.Future[Result]":
        """Run a function in a thread. Once it has started, it runs to its end, even if the caller is cancelled."""
        return asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))

    async def acquire(self, take: Callable[[], Result], release: Callable[[Result], Any]) -> Result:
        """Run a function that opens or locks something, and undo it if the caller is cancelled in the meantime.

        Without this, a cancelled caller could leave a lock or an open file that nobody releases.
        """
        taking = self.run(take)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda taken: self._release(taken, release))
            raise

    def _release(self, taken: "asyncio.Future[Result]", release: Callable[[Result], Any]) -> None:
        if not taken.cancelled() and taken.exception() is None:
            self._executor.submit(release, taken.result())

    def close(self) -> None:
        """Wait for running work, and end the threads."""
        self._executor.shutdown()

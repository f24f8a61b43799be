"""The threads in which the store blocks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class BlockingPool:
    """A bounded number of threads for blocking work.

    The store has two, so that writers who wait for a slow disk to sync do not hold up those who read.
    """

    def __init__(self, name: str, threads: int) -> None:
        """Builds the pool; threads start when they are first needed."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> "asyncio.Future[Result]":
        """Run in a thread. What has begun runs to its end, though nobody waits for it any more."""
        return asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))

    async def acquire(self, take: Callable[[], Result], give_back: Callable[[Result], Any]) -> Result:
        """Run what opens or locks something, and give it back when the caller was cancelled in the meantime.

        Without this, a caller who goes away at the wrong moment leaves a lock behind that nobody holds.
        """
        taking = self.run(take)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda taken: self._give_back(taken, give_back))
            raise

    def _give_back(self, taken: "asyncio.Future[Result]", give_back: Callable[[Result], Any]) -> None:
        if not taken.cancelled() and taken.exception() is None:
            self._executor.submit(give_back, taken.result())

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._executor.shutdown()

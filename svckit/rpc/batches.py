"""Frees what gRPC allocates for a batch of operations when its awaiter is cancelled (grpcio 1.85).

grpc.aio frees the operations of a batch, and a message that has arrived by it, in the coroutine that awaits the batch.
If that is cancelled, or if the batch fails, nothing is freed (https://github.com/grpc/grpc/issues/43360). So each
client that disconnected in the middle of a download left half a mebibyte behind in the gateway, and anybody could fill
its memory.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_grpc: Any = import_module("grpc._cython.cygrpc")  # types-grpcio does not have it
_execute_batch = _grpc.execute_batch


class _Batch:
    """A batch that is under way. Its coroutine runs to its end whether somebody still waits for it or not.

    gRPC gets this object in the place of its event loop, of which it uses the first two methods, and in the place of
    the future, of which it uses the others.
    """

    __slots__ = ("_coroutine", "_loop", "_waiter")

    def __init__(
        self, call: Any, operations: tuple[Any, ...], loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]
    ) -> None:
        """Starts the batch. The waiter gets its result.

        Raises:
            ExecuteBatchError: gRPC does not take it.
        """
        self._loop = loop
        self._waiter = waiter
        self._coroutine = _execute_batch(call, operations, self)
        self._coroutine.send(None)

    def create_future(self) -> _Batch:
        return self

    def call_soon_threadsafe(self, callback: Callable[..., None], *arguments: Any) -> None:
        # gRPC calls this if this object is not the event loop in which it handles its events.
        if asyncio.get_running_loop() is self._loop:
            callback(*arguments)
        else:
            self._loop.call_soon_threadsafe(callback, *arguments)

    def __await__(self) -> Generator[None, None, None]:
        yield

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        self._free()
        if not self._waiter.done():
            self._waiter.set_result(result)

    def set_exception(self, error: Exception) -> None:
        self._free()
        if not self._waiter.done():
            self._waiter.set_exception(error)

    def _free(self) -> None:
        # The rest of the coroutine reads what has arrived, and frees the memory. It does not wait any more.
        coroutine, self._coroutine = self._coroutine, None
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise RuntimeError("gRPC waits for a batch more than once")


async def _execute_and_free(call: Any, operations: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> None:
    waiter: asyncio.Future[None] = loop.create_future()
    _Batch(call, operations, loop, waiter)
    await waiter


def free_abandoned_batches() -> None:
    """Makes grpc.aio free the memory of every batch, in this process. It has no setting for this."""
    _grpc.execute_batch = _execute_and_free

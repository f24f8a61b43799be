"""Checks what a service needs, such as its database, again and again while it serves.

While a need is missing, the service says NOT_SERVING, with the need's name as the reason. With little free disk space,
it is *degraded*: it serves, but refuses calls that add data. No restart is needed after either of them.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from svckit.metrics import Metrics
    from svckit.rpc.server import RpcServer

LOOK_EVERY_SECONDS = 1.0
"""The pause between two checks. Together with `LOOK_SECONDS`, and the second for which the gateway keeps an answer,
/readyz shows a change within five seconds."""
LOOK_SECONDS = 2.0
"""A check that takes longer counts as failed."""

# A full disk counts as free again only with a quarter more free space than is reserved. Otherwise the state would
# change with every upload when the free space is close to the limit.
_FREE_AGAIN = 1.25
_FEWEST_FILES = 256

_log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Need:
    name: str
    look: Callable[[], Awaitable[object]]
    # A check that has not ended, although it was cancelled.
    pending: asyncio.Future[object] | None = None
    is_there: bool | None = None


@dataclass(slots=True, eq=False)
class _Disk:
    folder: Path
    reserved_bytes: int
    is_full: bool = False


class Needs:
    """The needs of one process. `ServiceProcess.serve` checks them."""

    def __init__(self, metrics: Metrics) -> None:
        """Starts without needs."""
        self._needs: list[_Need] = []
        self._disks: list[_Disk] = []
        self._service = metrics.service
        self._ok = Gauge(
            "need_ok",
            "1 while what the service needs is there; 0 while it is away, or the disk is full",
            ("service", "need"),
            registry=metrics.registry,
        )
        # There is only one thread: a disk that does not answer, such as a network disk, would block one after the
        # other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="needs")

    def __bool__(self) -> bool:
        """Whether there is anything to check."""
        return bool(self._needs or self._disks)

    def require(self, name: str, look: Callable[[], Awaitable[object]]) -> None:
        """Adds a need without which nothing can be served.

        Args:
            name: the name, such as "database" or "blob store". Anybody can read it, so it must not contain details.
            look: a cheap check of the need. It raises if the need is missing.
        """
        self._needs.append(_Need(name, look))

    def require_files(self, name: str, look: Callable[[], object]) -> None:
        """As `require`, for a check that blocks. It runs in a thread."""
        self.require(name, lambda: asyncio.get_running_loop().run_in_executor(self._thread, look))

    def keep_free(self, folder: Path, reserved_bytes: int) -> None:
        """Refuses calls that add data while the disk of a folder has less free space than this."""
        self._disks.append(_Disk(folder, reserved_bytes))

    async def look(self, server: RpcServer) -> None:
        """Checks everything once, and tells the server what is missing."""
        await asyncio.gather(*map(self._look_at_need, self._needs), *map(self._look_at_disk, self._disks))
        server.set_condition(
            away=tuple(need.name for need in self._needs if not need.is_there),
            is_full=any(disk.is_full for disk in self._disks),
        )

    def close(self) -> None:
        """Ends the thread. If it is blocked, it ends later."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look_at_need(self, need: _Need) -> None:
        # Two looks may be under way: that of the start, and the first of the loop. They share the check.
        pending = need.pending = need.pending or asyncio.ensure_future(need.look())
        done, _ = await asyncio.wait({pending}, timeout=LOOK_SECONDS)
        if done:
            error = "cancelled" if pending.cancelled() else pending.exception()
            if need.pending is pending:
                need.pending = None
        else:
            # The check is kept until it ends. Otherwise blocked checks would accumulate, each with a connection or a
            # thread.
            need.pending.cancel()
            error = f"no answer within {LOOK_SECONDS:.0f} s"
        is_there = error is None
        self._ok.labels(self._service, need.name).set(is_there)
        if is_there == need.is_there:
            return
        if not is_there:
            _log.error(
                "need_lost", need=need.name, error=str(error), cause=str(getattr(error, "__cause__", None) or "")
            )
        elif need.is_there is not None:
            _log.info("need_is_back", need=need.name)
        need.is_there = is_there

    async def _look_at_disk(self, disk: _Disk) -> None:
        looking = asyncio.get_running_loop().run_in_executor(self._thread, os.statvfs, disk.folder)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                status = await looking
        except (OSError, TimeoutError):
            # The folder is missing, not full. The need that uses the folder reports that.
            return
        free_bytes = status.f_bavail * status.f_frsize
        least = disk.reserved_bytes * (_FREE_AGAIN if disk.is_full else 1)
        # Some file systems do not count files, and report 0 of 0.
        is_full = free_bytes < least or (status.f_files > 0 and status.f_favail < _FEWEST_FILES)
        self._ok.labels(self._service, "disk").set(not is_full)
        if is_full != disk.is_full:
            level = _log.error if is_full else _log.info
            level("disk_full" if is_full else "disk_has_room", folder=str(disk.folder), free_bytes=free_bytes)
        disk.is_full = is_full

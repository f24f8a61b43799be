"""What a worker process does: it claims tasks, runs them, reports each second, and gives back what it cannot finish."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from jobsvc.engine.domain.model import Report
from jobsvc.engine.domain.report import Verdict
from jobsvc.engine.worker.pause import Pause
from jobsvc.engine.worker.results import Results
from jobsvc.engine.worker.runs import Runs
from svckit.errors import DomainError, NotFound
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from jobsvc.engine.worker.protocol import WorkClient
    from jobsvc.engine.worker.task import Handler
    from svckit.metrics import Metrics
    from svckit.rpc.lifetime import StopSignals

_REPORT_SECONDS = 1.0
_LONGEST_REPORT_SECONDS = 5.0
# A report that hangs must leave time for others before the lease ends.
_REPORTS_IN_A_LEASE = 3
# How long the end of a worker may take after its drain.
_GOODBYE_SECONDS = 3.0

_log = get_logger(__name__)


def new_id() -> str:
    """A random name for a worker or a claim."""
    return uuid.uuid4().hex


class Worker:
    """A worker, from its start to its end."""

    def __init__(
        self,
        client: WorkClient,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int,
        drain_seconds: float,
        metrics: Metrics,
    ) -> None:
        """Does nothing yet.

        Args:
            client: calls jobsvc.
            handlers: by kind. The worker claims tasks of these kinds only.
            concurrency: how many tasks run at once.
            drain_seconds: how long running tasks may go on after a stop signal.
            metrics: of this process.
        """
        self._client = client
        self._handlers = handlers
        self._concurrency = concurrency
        self._drain_seconds = drain_seconds
        self._start_time = datetime.now(UTC)
        self._runs = Runs(handlers, concurrency, metrics)
        self._results = Results(client, self._runs)
        self._report_seconds = _REPORT_SECONDS
        self._is_away = False
        self._ok = Gauge(
            "worker_jobsvc_ok",
            "1 while the reports of this worker reach jobsvc",
            ("service",),
            registry=metrics.registry,
        ).labels(metrics.service)

    async def run(self, signals: StopSignals) -> None:
        """Works until the first stop signal, then drains. A second signal ends the drain at once.

        Raises:
            Exception: one of the loops has failed, which is a bug.
        """
        pause = Pause()
        registering = asyncio.ensure_future(self._register(pause))
        await _first_of(registering, signals.wait())
        if not registering.done():
            registering.cancel()
            return
        claiming = asyncio.ensure_future(self._claim())
        others = [
            asyncio.ensure_future(each)
            for each in (self._report(), self._results.send_logs(), self._results.send_results())
        ]
        try:
            await _first_of(claiming, *others, signals.wait())
            await _cancel(claiming)
            _log.info("worker_draining", tasks=len(self._runs), seconds=self._drain_seconds)
            await _first_of(self._runs.wait_for_none(), asyncio.sleep(self._drain_seconds), signals.wait(2), *others)
            for run in self._runs:
                run.give_back()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self._runs.wait_for_none()
        finally:
            await _cancel(claiming, *others)
            self._runs.forget(self._runs)
        await self._say_goodbye()

    async def _register(self, pause: Pause) -> None:
        """Makes the worker known, however long that takes."""
        while True:
            try:
                self._report_seconds = await self._client.register(
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    concurrency=self._concurrency,
                    kinds=self._handlers,
                    start=self._start_time,
                )
            except DomainError as error:
                self._note_away(error)
                await pause.wait()
            else:
                _log.info("worker_registered", concurrency=self._concurrency, kinds=sorted(self._handlers))
                return

    async def _claim(self) -> None:
        loop = asyncio.get_running_loop()
        pause = Pause()
        claim_key = new_id()
        while True:
            places = await self._runs.wait_for_places()
            try:
                claimed = await self._client.claim(places=places, claim_key=claim_key)
            except NotFound:
                await self._register(pause)
            except DomainError as error:
                _log.debug("claim_failed", error=str(error))
                await pause.wait()
            else:
                pause.reset()
                claim_key = new_id()
                for each in claimed:
                    self._runs.start(each, loop.time())

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        next_time = loop.time()
        pause = Pause()
        while True:
            try:
                await self._report_once()
            except NotFound:
                await self._register(pause)
            except DomainError as error:
                self._note_away(error)
            else:
                self._note_there()
            # Not a second after the answer: a stop has to take effect within two.
            next_time = max(next_time + self._report_seconds, loop.time() + self._report_seconds / 10)
            await asyncio.sleep(next_time - loop.time())

    async def _report_once(self) -> None:
        sent_time = asyncio.get_running_loop().time()
        runs = list(self._runs)
        shortest_lease = min((run.claimed.lease_seconds for run in runs), default=_LONGEST_REPORT_SECONDS)
        news = [run.take_news() for run in runs]
        reports = [
            Report(task_id=run.id, run=run.run, progress=progress, check_in=check_in)
            for run, (progress, check_in) in zip(runs, news, strict=True)
        ]
        try:
            verdicts = await self._client.report(
                reports, timeout_seconds=min(_LONGEST_REPORT_SECONDS, shortest_lease / _REPORTS_IN_A_LEASE)
            )
        except BaseException:
            for run, each in zip(runs, news, strict=True):
                run.put_back(each)
            raise
        for run, verdict in zip(runs, verdicts, strict=True):
            if verdict is Verdict.LOST:
                run.lose()
                continue
            run.prolong(sent_time)
            if verdict is Verdict.STOP:
                run.stop()

    def _note_away(self, error: DomainError) -> None:
        self._ok.set(0)
        if not self._is_away:
            _log.warning("jobsvc_away", error=str(error), tasks=len(self._runs))
        self._is_away = True

    def _note_there(self) -> None:
        self._ok.set(1)
        if self._is_away:
            _log.info("jobsvc_is_back", tasks=len(self._runs))
        self._is_away = False

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._client.unregister()
        except (DomainError, TimeoutError) as error:
            # Its leases end then, and its row is swept.
            _log.warning("worker_not_unregistered", error=str(error))


async def _first_of(*waiting: asyncio.Future[None] | Coroutine[None, None, None]) -> None:
    """Waits until the first ends, and cancels those that are not futures of the caller. Raises its error."""
    own = [asyncio.ensure_future(each) for each in waiting]
    try:
        done, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(*(task for each, task in zip(waiting, own, strict=True) if each is not task))
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Future[None]) -> None:
    """Cancels tasks, and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""Builds a worker and runs it: the process in which tasks run."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jobsvc.engine.worker.protocol import WorkClient
from jobsvc.engine.worker.task import Handler
from jobsvc.engine.worker.worker import Worker, new_id
from jobsvc.execution_sweep import domain as execution_sweep
from jobsvc.execution_sweep.client import RemoteSweeper
from jobsvc.execution_sweep.handler import ExecutionSweepHandler
from jobsvc.worker_config import SECTION, WorkerSettings
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import RpcChannel
from svckit.rpc.lifetime import stop_signals

HANDLED: Mapping[str, Callable[[RpcChannel], Handler]] = {
    execution_sweep.KIND.name: lambda jobsvc: ExecutionSweepHandler(RemoteSweeper(jobsvc)),
}
"""Makes the handler of each kind."""


def main(config: Path | None) -> int:
    """Runs a worker until SIGTERM or SIGINT. Returns the exit status.

    Args:
        config: the TOML file; None to read settings from the environment only.
    """
    return run_service(SECTION, WorkerSettings, config, work)


async def work(
    process: ServiceProcess[WorkerSettings],
    build: Callable[[ServiceProcess[WorkerSettings]], Mapping[str, Handler]] | None = None,
) -> None:
    """Works until SIGTERM or SIGINT.

    Args:
        process: the process.
        build: makes the handlers, by kind; None for those of all kinds of this program.

    Raises:
        StartError: the worker cannot start; also OSError.
    """
    settings = process.settings
    worker = Worker(
        WorkClient(process.acting_channel("jobsvc"), new_id()),
        (build or build_handlers)(process),
        concurrency=settings.concurrency,
        drain_seconds=settings.drain_seconds,
        metrics=process.metrics,
    )
    async with process.running():
        with stop_signals() as signals:
            await worker.run(signals)


def build_handlers(process: ServiceProcess[WorkerSettings]) -> Mapping[str, Handler]:
    """The handlers of all kinds."""
    jobsvc = process.acting_channel("jobsvc")
    return {name: build(jobsvc) for name, build in HANDLED.items()}

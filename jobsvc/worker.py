"""Builds a worker and runs it: the process in which tasks run."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jobsvc.change_log_compaction import domain as change_log_compaction
from jobsvc.change_log_compaction.client import AuthLog, MetaLog
from jobsvc.change_log_compaction.handler import ChangeLogCompactionHandler
from jobsvc.engine.worker.protocol import WorkClient
from jobsvc.engine.worker.task import Handler
from jobsvc.engine.worker.worker import Worker, new_id
from jobsvc.execution_sweep import domain as execution_sweep
from jobsvc.execution_sweep.client import RemoteSweeper
from jobsvc.execution_sweep.handler import ExecutionSweepHandler
from jobsvc.quota_recount import domain as quota_recount
from jobsvc.quota_recount.client import RemoteRecounter
from jobsvc.quota_recount.handler import QuotaRecountHandler
from jobsvc.upload_purge import domain as upload_purge
from jobsvc.upload_purge.client import RemotePurger
from jobsvc.upload_purge.handler import UploadPurgeHandler
from jobsvc.worker_config import SECTION, WorkerSettings
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import RpcChannel
from svckit.rpc.lifetime import stop_signals
from svckit.services import called_by

Channels = Callable[[str], RpcChannel]
"""Gives the channel to a service, by its name."""

HANDLED: Mapping[str, Callable[[Channels], Handler]] = {
    change_log_compaction.KIND.name: lambda to: ChangeLogCompactionHandler(
        [MetaLog(to("metasvc")), AuthLog(to("authsvc"))]
    ),
    execution_sweep.KIND.name: lambda to: ExecutionSweepHandler(RemoteSweeper(to("jobsvc"))),
    quota_recount.KIND.name: lambda to: QuotaRecountHandler(RemoteRecounter(to("metasvc"))),
    upload_purge.KIND.name: lambda to: UploadPurgeHandler(RemotePurger(to("blobsvc"))),
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
    channels = {name: process.acting_channel(name) for name in called_by(SECTION)}
    return {name: build(channels.__getitem__) for name, build in HANDLED.items()}

"""Builds jobsvc and runs it."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jobsvc.config import SECTION, JobSettings
from jobsvc.engine.dispatch.address import RedisAddress
from jobsvc.engine.domain.kind import Kinds
from jobsvc.engine.domain.ports import Clock, EnginePorts, EngineRules
from jobsvc.engine.domain.queue import list_queues
from jobsvc.engine.domain.reconcile import reconcile, repair_executions, wake_waiting
from jobsvc.engine.domain.rows import Store
from jobsvc.engine.domain.schedule import set_defaults
from jobsvc.engine.domain.wakes import Announcer, NobodyElse, Wakes
from jobsvc.engine.servicers.counters import EngineCounters
from jobsvc.engine.servicers.execution import ExecutionServicer
from jobsvc.engine.servicers.job_queue import JobQueueServicer
from jobsvc.engine.servicers.schedule import ScheduleServicer
from jobsvc.engine.servicers.task import TaskServicer
from jobsvc.engine.servicers.work import WorkServicer
from jobsvc.engine.servicers.worker_pool import WorkerPoolServicer
from jobsvc.engine.store import migrations
from jobsvc.engine.store.unit_of_work import SqlStore
from jobsvc.execution_sweep.servicer import ExecutionSweepServicer
from jobsvc.kinds import KINDS
from roadstead.job.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from roadstead.job.v1.execution_sweep_service_pb2_grpc import add_ExecutionSweepServiceServicer_to_server
from roadstead.job.v1.job_queue_service_pb2_grpc import add_JobQueueServiceServicer_to_server
from roadstead.job.v1.schedule_service_pb2_grpc import add_ScheduleServiceServicer_to_server
from roadstead.job.v1.task_service_pb2_grpc import add_TaskServiceServicer_to_server
from roadstead.job.v1.work_service_pb2_grpc import add_WorkServiceServicer_to_server
from roadstead.job.v1.worker_pool_service_pb2_grpc import add_WorkerPoolServiceServicer_to_server
from svckit.access.call import AccessChecker
from svckit.access.remembered import RememberedChecker
from svckit.access.remote import RemoteChecker
from svckit.configuration.reader import REFRESH_SECONDS, ConfigurationReader
from svckit.metrics import Metrics
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import RpcServer
from svckit.rpc.follow import Notifier
from svckit.sql.process import open_needed
from svckit.tokens.verifier import TokenVerifier

_REPAIR_EVERY_SECONDS = 60.0
# It runs for as long as the service, and is started again after a bug.
_ANNOUNCE_AGAIN_SECONDS = 5.0
_SHOW_QUEUES_EVERY_SECONDS = 5.0


def main(config: Path | None) -> int:
    """Runs the service until SIGTERM or SIGINT. Returns the exit status.

    Args:
        config: the TOML file; None to read settings from the environment only.
    """
    return run_service(SECTION, JobSettings, config, serve)


async def serve(process: ServiceProcess[JobSettings], kinds: Kinds = KINDS) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        process: the process.
        kinds: the kinds of jobs.

    Raises:
        StartError: the service cannot start; also DomainError and OSError.
    """
    settings = process.settings
    database = await process.enter(open_needed(process, migrations))
    configuration = ConfigurationReader(process.acting_channel("authsvc"))
    process.needs.require("configuration", configuration.require_known)
    store = SqlStore(database, idempotency_key_seconds=settings.idempotency_key_seconds)
    counters = EngineCounters(kinds, process.metrics.registry)
    wakes = Wakes()
    announcer = open_announcer(process, wakes, kinds)
    ports = build_ports(settings, kinds=kinds, store=store, counters=counters, wakes=wakes, announcer=announcer)
    await set_defaults(ports)
    server = build_server(
        settings,
        ports,
        checker=RememberedChecker(RemoteChecker(process.channel("authsvc"))),
        verifier=process.verifier,
        metrics=process.metrics,
    )
    server.set_read_only(None)

    async def follow_configuration() -> None:
        await configuration.refresh()
        server.set_read_only(configuration.values.read_only)

    async def show_queues() -> None:
        counters.show_queues(await list_queues(ports), ports.clock())

    process.loops.every(settings.reconcile_seconds, "reconcile", partial(reconcile, ports))
    process.loops.every(settings.poll_seconds, "wake_waiting", partial(wake_waiting, ports))
    process.loops.every(_REPAIR_EVERY_SECONDS, "repair_executions", partial(repair_executions, ports))
    process.loops.every(_SHOW_QUEUES_EVERY_SECONDS, "show_queues", show_queues)
    process.loops.every(REFRESH_SECONDS, "read_configuration", follow_configuration)
    await process.serve(server)


def open_announcer(process: ServiceProcess[JobSettings], wakes: Wakes, kinds: Kinds) -> Announcer:
    """What tells other replicas that tasks wait.

    Raises:
        StartError: the setting redis_url is wrong.
    """
    url = process.settings.redis_url.get_secret_value()
    if not url:
        return NobodyElse()
    # Imported here, because redis-py takes nine mebibytes.
    from jobsvc.engine.dispatch.redis import RedisAnnouncer

    announcer = RedisAnnouncer(RedisAddress.parse(url), wakes, kinds.names, process.metrics)
    process.loops.every(_ANNOUNCE_AGAIN_SECONDS, "announce", announcer.run)
    return announcer


def build_ports(
    settings: JobSettings,
    *,
    kinds: Kinds = KINDS,
    store: Store,
    counters: EngineCounters,
    wakes: Wakes,
    announcer: Announcer,
    clock: Clock | None = None,
) -> EnginePorts:
    """The ports of the engine, on any store."""
    return EnginePorts(
        store=store,
        clock=utc_now if clock is None else clock,
        kinds=kinds,
        rules=EngineRules(
            lease_seconds=settings.lease_seconds,
            task_log_bytes=settings.task_log_bytes,
            task_log_days=settings.task_log_days,
        ),
        wakes=wakes,
        announcer=announcer,
        observer=counters,
    )


def build_server(
    settings: JobSettings, ports: EnginePorts, *, checker: AccessChecker, verifier: TokenVerifier, metrics: Metrics
) -> RpcServer:
    """The server with its servicers."""
    server = RpcServer(SECTION, settings.server_settings(), verifier=verifier, metrics=metrics, checker=checker)
    logs = Notifier()
    server.add(add_ExecutionServiceServicer_to_server, ExecutionServicer(ports))
    server.add(add_TaskServiceServicer_to_server, TaskServicer(ports, logs))
    server.add(add_ScheduleServiceServicer_to_server, ScheduleServicer(ports))
    server.add(add_JobQueueServiceServicer_to_server, JobQueueServicer(ports))
    server.add(add_WorkerPoolServiceServicer_to_server, WorkerPoolServicer(ports))
    server.add(add_WorkServiceServicer_to_server, WorkServicer(ports, logs))
    server.add(add_ExecutionSweepServiceServicer_to_server, ExecutionSweepServicer(ports))
    return server


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)

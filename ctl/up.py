"""`roadstead up`: all services on this machine, as supervised child processes."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ctl.console import Console
from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.established import Established
from ctl.listen import Address, bind_http, grpc_addresses, metrics_addresses
from ctl.liveness import Ask, ask_http, ask_rpc, ask_valkey
from ctl.plan import STOP_SECONDS, Plan, write_settings
from ctl.ready import wait_until_ready
from ctl.reserve import fill, release
from ctl.supervisor import Child, ChildFailed, Supervisor
from svckit.services import SERVICES, Service

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Migrations of a large database are slow. A start that takes longer than this is stuck.
_START_SECONDS = 120.0
_FLUSH_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """The options of `roadstead up`.

    Attributes:
        data_dir: where all data is stored.
        http: where HTTP is served.
        grpc_port: the first of the loopback ports for platform callers; 0 for no ports.
        metrics_port: the first of the loopback ports for Prometheus; 0 for no ports.
        workers: the number of processes of the gateway.
        job_workers: the number of processes that run tasks of jobs.
        log_level: the log level of all services.
        hang_seconds: a process that answers nothing for so long is restarted; 0 for never.
        start_anyway: the services that may start although their data is missing, or another installation's.
    """

    data_dir: DataDir
    http: Address
    grpc_port: int
    metrics_port: int
    workers: int
    job_workers: int
    log_level: str
    hang_seconds: float
    start_anyway: tuple[str, ...] = ()


def up(options: Options) -> int:
    """Runs everything until SIGTERM, SIGINT or SIGHUP. Returns the exit code.

    Raises:
        CommandError: if the installation cannot start.
    """
    with ExitStack() as stack:
        try:
            serving = _prepare(options, stack)
        except OSError as error:
            where = error.filename or options.data_dir.path
            raise CommandError(f"cannot start: {where}: {error.strerror}") from error
        return asyncio.run(serving)


def _prepare(options: Options, stack: ExitStack) -> Coroutine[Any, Any, int]:
    """Locks, binds and writes what the services need. Returns what runs them."""
    data_dir = options.data_dir
    stack.enter_context(data_dir.opened())
    if release(data_dir.reserve_file):
        _print(f"the disk is full: the reserve {data_dir.reserve_file} is used for this start")
    listener, http = bind_http(options.http)
    stack.enter_context(listener)
    grpc = grpc_addresses(options.grpc_port)
    others = [name for row in SERVICES.values() if row.port_offset is None for name in _names(row, options)]
    metrics = metrics_addresses(options.metrics_port, others, grpc)
    sockets = stack.enter_context(data_dir.socket_folder())
    plan = Plan(
        data_dir,
        sockets,
        listener.fileno(),
        grpc,
        options.log_level,
        pretty=sys.stderr.isatty(),
        established=Established.load(data_dir),
        start_anyway=options.start_anyway,
    )
    password, is_new = data_dir.admin_password()
    write_settings(plan)
    for service, address in grpc.items():
        _print(f"grpc {service} {address}")
    for name, address in metrics.items():
        _print(f"metrics {name} http://{address}/metrics")
    if is_new:
        _print(f"admin password: {password} (kept in {data_dir.password_file})")
    return _run(plan, _children(plan, listener, options, metrics), http, options.hang_seconds)


def _children(plan: Plan, listener: socket.socket, options: Options, metrics: Mapping[str, str]) -> list[Child]:
    # Only authsvc needs the password, and it reads the file that DataDir.admin_password has written.
    environment = {name: value for name, value in os.environ.items() if name != "ROADSTEAD_ADMIN_PASSWORD"}
    # Without this, glibc makes up to eight heaps for each core, one for each thread, and services use more memory.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    # It stops last. Without it jobs go on, more slowly, so it need not start.
    valkey = Child(
        name="valkey",
        command=(sys.executable, "-P", "-m", "ctl.valkey", str(plan.valkey_socket)),
        environment=environment,
        stop_rank=len(SERVICES),
        ask=partial(ask_valkey, plan.valkey_socket),
        is_needed=False,
    )
    services = [
        Child(
            name=name,
            command=_command(service.name, plan.data_dir.config_file),
            environment={
                **environment,
                **_metrics_variable(service.name, metrics.get(name)),
                **_listen_variable(plan, service, name),
            },
            pass_fds=(listener.fileno(),) if service.kind == "http" else (),
            stop_rank=rank,
            drain_seconds=STOP_SECONDS,
            ask=_ask(plan, service, name),
        )
        for rank, service in enumerate(SERVICES.values())
        for name in _names(service, options)
    ]
    return [valkey, *services]


def _names(service: Service, options: Options) -> Sequence[str]:
    """The names of the processes of a service."""
    count = int(getattr(options, service.scales)) if service.scales else 1
    if count == 1:
        return [service.name]
    return [f"{service.name}-{number}" for number in range(1, count + 1)]


def _metrics_variable(service: str, address: str | None) -> Mapping[str, str]:
    # A variable, not a setting in the file: all processes of a service read the same section of the file.
    return {f"ROADSTEAD_{service.upper()}_METRICS_LISTEN": address} if address else {}


def _listen_variable(plan: Plan, service: Service, name: str) -> Mapping[str, str]:
    # All gateways share the HTTP socket, so a request there does not tell which of them answers. Each has a second one.
    if service.kind != "http":
        return {}
    listen = [plan.http_listen, f"unix:{plan.own_socket(name)}"]
    return {f"ROADSTEAD_{service.name.upper()}_LISTEN": json.dumps(listen)}


def _ask(plan: Plan, service: Service, name: str) -> Ask | None:
    """Asks one process of a service for its health; None for a service that serves nothing."""
    if service.kind == "http":
        return partial(ask_http, plan.own_socket(name), tls=_serves_tls())
    return partial(ask_rpc, plan.sockets / service.socket) if service.socket else None


def _serves_tls() -> bool:
    return bool(os.environ.get("ROADSTEAD_GATEWAY_TLS_CERTIFICATE_FILE"))


def _command(service: str, config: Path) -> tuple[str, ...]:
    # -P: Python must not import modules from the current folder.
    return (sys.executable, "-P", "-m", "ctl.service", service, str(config))


async def _run(plan: Plan, children: list[Child], http: Address, hang_seconds: float) -> int:
    console = Console(sys.stderr.fileno(), pretty=plan.pretty)
    supervisor = Supervisor(children, console, hang_seconds=hang_seconds)
    stop, kill_now = _stop_signals()
    supervisor.start()
    try:
        await _serve(supervisor, http, stop, partial(_write_down, plan.data_dir, console))
    except ChildFailed as error:
        raise CommandError(str(error), error.status) from None
    finally:
        console.log("info", "stopping")
        await supervisor.stop(kill_now)
        console.flush(_FLUSH_SECONDS)
    return 0


def _write_down(data_dir: DataDir, console: Console) -> None:
    """Writes down what this installation has, and takes the reserve. On a full disk, the next start does it."""
    try:
        Established.find(data_dir).save(data_dir)
        fill(data_dir.reserve_file)
    except OSError as error:
        console.log("warning", "cannot write down what this installation has", error=str(error))


async def _serve(supervisor: Supervisor, http: Address, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    tls = _serves_tls()
    try:
        async with asyncio.timeout(_START_SECONDS):
            await _wait_for_first(wait_until_ready(http, tls=tls), stop.wait(), supervisor.failure())
    except TimeoutError:
        raise CommandError(f"not ready after {_START_SECONDS:.0f} s; the log says why") from None
    if not stop.is_set():
        supervisor.mark_ready()
        ready()
        _print(f"ready {'https' if tls else 'http'}://{http}")
        await _wait_for_first(stop.wait(), supervisor.failure())


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Two events: the first stop signal sets the first one, further signals set the second one."""
    stop, kill_now = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def arrived() -> None:
        (kill_now if stop.is_set() else stop).set()

    for number in _STOP_SIGNALS:
        # nohup sets SIGHUP to be ignored. That must stay so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, arrived)
    return stop, kill_now


async def _wait_for_first(*awaitables: Coroutine[Any, Any, object]) -> None:
    """Waits until one of them ends, cancels the others, and raises the exception of that one."""
    tasks = [asyncio.create_task(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _print(line: str) -> None:
    # Flushed at once: programs wait for the ready line and read it through a pipe.
    print(line, flush=True)

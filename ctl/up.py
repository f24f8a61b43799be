"""`roadstead up`: all services on this machine, as supervised child processes."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctl.console import Console
from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.listen import Address, bind_http, grpc_addresses, metrics_addresses
from ctl.plan import STOP_SECONDS, Plan, write_settings
from ctl.ready import wait_until_ready
from ctl.supervisor import Child, ChildFailed, Supervisor
from svckit.services import SERVICES, Service

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Migrations of a large database take their time; what takes longer than this hangs.
_START_SECONDS = 120.0
_FLUSH_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What `roadstead up` was asked for.

    Attributes:
        data_dir: where everything lies.
        http: where HTTP is served.
        grpc_port: the first of the loopback ports for platform callers; 0 for none.
        metrics_port: the first of the loopback ports for Prometheus; 0 for none.
        workers: how many processes of the services that scale, such as the gateway.
        log_level: of all services.
    """

    data_dir: DataDir
    http: Address
    grpc_port: int
    metrics_port: int
    workers: int
    log_level: str


def up(options: Options) -> int:
    """Runs everything until SIGTERM, SIGINT or SIGHUP. Returns the exit code.

    Raises:
        CommandError: if it cannot start.
    """
    with ExitStack() as stack:
        stack.enter_context(options.data_dir.opened())
        listener, http = bind_http(options.http)
        stack.enter_context(listener)
        grpc = grpc_addresses(options.grpc_port)
        others = [name for row in SERVICES.values() if row.port_offset is None for name in _names(row, options.workers)]
        metrics = metrics_addresses(options.metrics_port, others, grpc)
        sockets = stack.enter_context(options.data_dir.socket_folder())
        plan = Plan(options.data_dir, sockets, listener.fileno(), grpc, options.log_level, pretty=sys.stderr.isatty())
        password, is_new = options.data_dir.admin_password()
        write_settings(plan)
        for service, address in grpc.items():
            _say(f"grpc {service} {address}")
        for name, address in metrics.items():
            _say(f"metrics {name} http://{address}/metrics")
        if is_new:
            _say(f"admin password: {password} (kept in {options.data_dir.password_file})")
        children = _children(plan, listener, options.workers, metrics)
        return asyncio.run(_run(children, http, pretty=plan.pretty))


def _children(plan: Plan, listener: socket.socket, workers: int, metrics: Mapping[str, str]) -> list[Child]:
    # The file that DataDir.admin_password keeps says it to the one service that needs it.
    environment = {name: value for name, value in os.environ.items() if name != "ROADSTEAD_ADMIN_PASSWORD"}
    # glibc gives each thread a heap of its own, up to eight for each core; most of that would lie idle here.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    return [
        Child(
            name=name,
            command=_command(service.name, plan.data_dir.config_file),
            environment={**environment, **_metrics_variable(service.name, metrics.get(name))},
            pass_fds=(listener.fileno(),) if service.kind == "http" else (),
            stop_rank=rank,
            drain_seconds=STOP_SECONDS,
        )
        for rank, service in enumerate(SERVICES.values())
        for name in _names(service, workers)
    ]


def _names(service: Service, workers: int) -> Sequence[str]:
    """What the processes of a service are called."""
    if not service.scales or workers == 1:
        return [service.name]
    return [f"{service.name}-{number}" for number in range(1, workers + 1)]


def _metrics_variable(service: str, address: str | None) -> Mapping[str, str]:
    # Not in the settings file: all processes of a service read the same section of it.
    return {f"ROADSTEAD_{service.upper()}_METRICS_LISTEN": address} if address else {}


def _command(service: str, config: Path) -> tuple[str, ...]:
    # -P: the current folder is none of ours, whatever modules lie there.
    return (sys.executable, "-P", "-m", "ctl.service", service, str(config))


async def _run(children: list[Child], http: Address, *, pretty: bool) -> int:
    console = Console(sys.stderr.fileno(), pretty=pretty)
    supervisor = Supervisor(children, console)
    stop, hurry = _stop_signals()
    supervisor.start()
    try:
        await _serve(supervisor, http, stop)
    except ChildFailed as error:
        raise CommandError(str(error)) from None
    finally:
        console.log("info", "stopping")
        await supervisor.stop(hurry)
        console.flush(_FLUSH_SECONDS)
    return 0


async def _serve(supervisor: Supervisor, http: Address, stop: asyncio.Event) -> None:
    tls = bool(os.environ.get("ROADSTEAD_GATEWAY_TLS_CERTIFICATE_FILE"))
    try:
        async with asyncio.timeout(_START_SECONDS):
            await _first(wait_until_ready(http, tls=tls), stop.wait(), supervisor.failure())
    except TimeoutError:
        raise CommandError(f"not ready after {_START_SECONDS:.0f} s; the log says why") from None
    if not stop.is_set():
        supervisor.settle()
        _say(f"ready {'https' if tls else 'http'}://{http}")
        await _first(stop.wait(), supervisor.failure())


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """What is set by the first signal to stop, and by the second."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def arrived() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in _STOP_SIGNALS:
        # What nohup has us ignore stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, arrived)
    return stop, hurry


async def _first(*awaitables: Coroutine[Any, Any, object]) -> None:
    """Waits for the first to end, cancels the others, and raises what it raised."""
    tasks = [asyncio.create_task(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _say(line: str) -> None:
    # At once: whoever waits for the ready line reads it through a pipe.
    print(line, flush=True)

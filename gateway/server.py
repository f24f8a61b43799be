"""Wires the gateway together and serves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hypercorn.asyncio import serve as serve_http
from hypercorn.config import Config as HypercornConfig
from hypercorn.logging import Logger
from quart import Blueprint

from gateway.app import Gateway, Surface
from gateway.clients.channels import Channels, Services
from gateway.clients.readiness import Readiness
from gateway.config import SECTION, GatewaySettings
from gateway.routes import probes
from gateway.routes.api.surface import ApiSurface
from gateway.routes.registry.surface import RegistrySurface
from gateway.routes.token import TokenSurface
from gateway.wire import http1, http2
from gateway.wire.measure import HttpMetrics
from svckit import logging
from svckit.allocator import keep_what_the_start_made
from svckit.metrics import Metrics
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import settle_shielded, stop_signals
from svckit.services import called_by
from svckit.tokens.verifier import TokenVerifier

log = logging.get_logger(__name__)


def build_app(settings: GatewaySettings, channels: Channels, verifier: TokenVerifier, metrics: Metrics) -> Gateway:
    """Builds the app on open channels.

    Args:
        settings: the settings of the gateway.
        channels: the channels to the services.
        verifier: verifies tokens on routes where no service does: at /v2/, the token service and
            /api/v2.0/systeminfo.
        metrics: the metrics of this process.

    Raises:
        ContractError: a contract cannot be served as REST.
    """
    services = Services.over(channels)
    registry = RegistrySurface(settings, services, verifier)
    tokens = TokenSurface(settings, services, verifier)
    readiness = Readiness(channels)
    api = ApiSurface(settings, channels, services, readiness, verifier)
    surfaces: Sequence[Surface] = (
        Surface(registry.prefix, registry),
        Surface(tokens.prefix, tokens),
        Surface(api.prefix, api),
    )
    blueprints: Sequence[Blueprint] = (probes.blueprint(settings, readiness, metrics),)
    return Gateway(settings, surfaces, blueprints, HttpMetrics(metrics.registry), verifier)


async def serve(process: ServiceProcess[GatewaySettings]) -> None:
    """Serves until SIGTERM or SIGINT, then waits for the requests in flight.

    Raises:
        StartError: the gateway cannot start.
        OSError: an address cannot be bound.
    """
    settings = process.settings
    channels = Channels(
        {
            service: process.channel(service, timeout_seconds=settings.limits.request_seconds)
            for service in called_by(SECTION)
        }
    )
    app = build_app(settings, channels, process.verifier, process.metrics)
    keep_what_the_start_made()
    async with process.loops.running():
        with stop_signals() as signals:
            await serve_http(cast("Any", app), hypercorn_config(settings), shutdown_trigger=signals.wait)
        if left := await settle_shielded(settings.limits.commit_seconds):
            log.error("commits left behind", tasks=left)


def hypercorn_config(settings: GatewaySettings) -> HypercornConfig:
    """Hypercorn's settings, made from the gateway's."""
    http1.install()
    http2.install()
    limits = settings.limits
    config = HypercornConfig()
    config.bind = list(settings.listen)
    config.backlog = 1024
    config.graceful_timeout = limits.drain_seconds
    config.keep_alive_timeout = cast("int", limits.keep_alive_seconds)
    # Clients such as containerd send all requests on one connection, a thousand a minute. The default limit is too low.
    config.keep_alive_max_requests = 1_000_000
    # The app refuses requests above the limit with a proper error. Hypercorn, which sends no body, only refuses
    # requests above twice the limit.
    config.h11_max_incomplete_size = 2 * limits.header_bytes
    config.h2_max_header_list_size = 2 * limits.header_bytes
    # How many pieces of a body, of 256 KiB at most, may wait for the app. Two: the end of a request and that of its
    # connection must fit, because nothing reads them in the case of an app that has ended.
    config.max_app_queue_size = 2
    config.include_server_header = False
    config.logger_class = _ServerLog
    if settings.tls_certificate_file is not None and settings.tls_key_file is not None:
        config.certfile = str(settings.tls_certificate_file)
        config.keyfile = str(settings.tls_key_file)
    return config


class _ServerLog(Logger):
    """Sends Hypercorn's logs to the gateway's log. The app writes the access log, not Hypercorn."""

    def __init__(self, config: HypercornConfig) -> None:
        config.accesslog = None
        config.errorlog = None
        super().__init__(config)
        self.error_logger = cast("Any", logging.get_logger("hypercorn.error"))

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        """Not used."""


def main(config_path: Path | None) -> int:
    """Runs the gateway in this process: `roadstead serve gateway`.

    Args:
        config_path: the TOML file; None for the environment alone.

    Returns:
        the exit status.
    """
    return run_service(SECTION, GatewaySettings, config_path, serve, moves_bytes=True)

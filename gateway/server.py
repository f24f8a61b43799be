"""Wires the gateway together and serves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import uvloop
from quart import Blueprint

from gateway.app import Gateway, Surface
from gateway.clients.blob_folder import BlobFolder
from gateway.clients.channels import Channels, Services
from gateway.clients.readiness import Readiness
from gateway.clients.reads.manifest_cache import ManifestCache
from gateway.clients.reads.metrics import ReadMetrics
from gateway.clients.reads.reads import Reads
from gateway.config import SECTION, GatewaySettings
from gateway.routes import probes, version
from gateway.routes.api.surface import ApiSurface
from gateway.routes.registry.surface import RegistrySurface
from gateway.routes.token import TokenSurface
from gateway.servers.chosen import HELD_PIECES, serve_http
from gateway.wire.measure import HttpMetrics
from svckit import logging
from svckit.allocator import keep_what_the_start_made
from svckit.configuration.reader import REFRESH_SECONDS, ConfigurationReader
from svckit.metrics import Metrics
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.revocation.reader import REFRESH_SECONDS as REVOCATIONS_SECONDS
from svckit.revocation.reader import RevocationReader
from svckit.rpc import settle_shielded, stop_signals
from svckit.services import called_by
from svckit.tokens.verifier import TokenVerifier

log = logging.get_logger(__name__)


def build_app(
    settings: GatewaySettings,
    channels: Channels,
    configuration: ConfigurationReader,
    verifier: TokenVerifier,
    metrics: Metrics,
) -> Gateway:
    """Builds the app on open channels.

    Args:
        settings: the settings of the gateway.
        channels: the channels to the services.
        configuration: the runtime configuration, which the caller refreshes.
        verifier: verifies tokens on routes where no service does: at /v2/, the token service and
            /api/v2.0/systeminfo.
        metrics: the metrics of this process.

    Raises:
        ContractError: a contract cannot be served as REST.
    """
    counted = HttpMetrics(metrics.registry)
    folder = None
    if settings.blob_directory is not None:
        folder = BlobFolder(settings.blob_directory, counted, held_pieces=HELD_PIECES[settings.server])
    cache = ManifestCache(settings.manifest_cache_bytes)
    reads = Reads(channels["metasvc"], cache, ReadMetrics(metrics.registry))
    services = Services.over(channels, reads, folder, counted, settings.blob_file_min_bytes)
    registry = RegistrySurface(settings, services, verifier)
    tokens = TokenSurface(settings, services, verifier)
    readiness = Readiness(channels)
    api = ApiSurface(settings, channels, services, readiness, configuration, verifier)
    surfaces: Sequence[Surface] = (
        Surface(registry.prefix, registry),
        Surface(tokens.prefix, tokens),
        Surface(api.prefix, api),
    )
    blueprints: Sequence[Blueprint] = (probes.blueprint(settings, readiness, metrics), version.blueprint())
    return Gateway(settings, surfaces, blueprints, counted, verifier)


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
    configuration = ConfigurationReader(channels["authsvc"])
    process.loops.every(REFRESH_SECONDS, "read_configuration", configuration.refresh)
    revocations = RevocationReader(channels["authsvc"], process.verifier.revocations)
    process.loops.every(REVOCATIONS_SECONDS, "read_revocations", revocations.refresh, waits_first=True)
    await revocations.begin()
    app = build_app(settings, channels, configuration, process.verifier, process.metrics)
    keep_what_the_start_made()
    async with process.loops.running():
        with stop_signals() as signals:
            await serve_http(app, settings, signals.wait)
        if left := await settle_shielded(settings.limits.commit_seconds):
            log.error("commits left behind", tasks=left)


def main(config_path: Path | None) -> int:
    """Runs the gateway in this process: `roadstead serve gateway`.

    Args:
        config_path: the TOML file; None for the environment alone.

    Returns:
        the exit status.
    """
    return run_service(SECTION, GatewaySettings, config_path, serve, moves_bytes=True, new_loop=uvloop.new_event_loop)

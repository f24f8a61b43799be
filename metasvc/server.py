"""Puts metasvc together, and runs it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metasvc.clients.authsvc import AuthDirectory
from metasvc.clients.blobsvc import ConfigBlobs
from metasvc.clients.visible_projects import RememberedVisibleProjects
from metasvc.config import SECTION, MetaSettings
from metasvc.domain.lists import VisibleProjects
from metasvc.domain.ports import Clock, ConfigReader, ProjectDirectory, Store
from metasvc.domain.project import keep_finishing_deletions
from metasvc.domain.pull import PullRecorder
from metasvc.domain.review import ReviewPolicy
from metasvc.servicers.artifact import ArtifactServicer
from metasvc.servicers.blob_link import BlobLinkServicer
from metasvc.servicers.manifest import ManifestServicer
from metasvc.servicers.project import ProjectServicer
from metasvc.servicers.quota import QuotaServicer
from metasvc.servicers.referrer import ReferrerServicer
from metasvc.servicers.repository import RepositoryServicer
from metasvc.servicers.tag import TagServicer
from metasvc.store import migrations
from metasvc.store.unit_of_work import SqlStore
from roadstead.meta.v1.artifact_service_pb2_grpc import add_ArtifactServiceServicer_to_server
from roadstead.meta.v1.blob_link_service_pb2_grpc import add_BlobLinkServiceServicer_to_server
from roadstead.meta.v1.manifest_service_pb2_grpc import add_ManifestServiceServicer_to_server
from roadstead.meta.v1.project_service_pb2_grpc import add_ProjectServiceServicer_to_server
from roadstead.meta.v1.quota_service_pb2_grpc import add_QuotaServiceServicer_to_server
from roadstead.meta.v1.referrer_service_pb2_grpc import add_ReferrerServiceServicer_to_server
from roadstead.meta.v1.repository_service_pb2_grpc import add_RepositoryServiceServicer_to_server
from roadstead.meta.v1.tag_service_pb2_grpc import add_TagServiceServicer_to_server
from svckit import keys, logging
from svckit.access.call import AccessChecker
from svckit.access.remembered import RememberedChecker
from svckit.access.remote import RemoteChecker
from svckit.metrics import Metrics
from svckit.metrics_endpoint import metrics_endpoint
from svckit.rpc import RpcServer, open_channel, serve_until_signal
from svckit.sql.migrate import open_migrated
from svckit.start import run_service
from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle

_log = logging.get_logger(__name__)

_DELETIONS_EVERY_SECONDS = 10.0


def main(config: Path | None) -> int:
    """Runs the service until SIGTERM, and gives the exit status.

    Args:
        config: the TOML file; None for the environment alone.
    """
    return run_service(SECTION, MetaSettings, config, serve)


async def serve(settings: MetaSettings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot; DomainError and OSError likewise.
    """
    keypair = keys.load_or_create(settings.key_file)
    trust = TrustBundle(settings.trust_dir)
    trust.publish(SECTION, keypair)
    signer = TokenSigner(SECTION, keypair)
    tokens = ServiceTokenSource(signer)
    metrics = Metrics(SECTION)
    async with (
        metrics_endpoint(metrics, settings.metrics_listen),
        open_store(settings) as store,
        # Questions about a caller go out with the caller's own token, which authsvc judges.
        open_channel(settings.addresses["authsvc"], service_tokens=tokens, tls=settings.rpc_tls) as asking,
        open_channel(
            settings.addresses["authsvc"],
            acting_tokens=ActingTokenSource(signer, "authsvc"),
            tls=settings.rpc_tls,
        ) as acting,
        open_channel(
            settings.addresses["blobsvc"],
            acting_tokens=ActingTokenSource(signer, "blobsvc"),
            tls=settings.rpc_tls,
        ) as reading,
    ):
        directory = AuthDirectory(acting)
        pulls = PullRecorder(store, utc_now)
        remote = RemoteChecker(asking)
        server = build_server(
            settings,
            store=store,
            directory=directory,
            configs=ConfigBlobs(reading, signer),
            visible=RememberedVisibleProjects(remote),
            checker=RememberedChecker(remote),
            verifier=TokenVerifier(trust, registry_audience=settings.token_service),
            signer=signer,
            pulls=pulls,
            metrics=metrics,
        )
        deletions = keep_finishing_deletions(
            store, directory, utc_now, _DELETIONS_EVERY_SECONDS, _log_interrupted_deletions
        )
        async with (
            in_background(pulls.run(settings.pull_flush_seconds, _log_lost_pulls)),
            in_background(deletions),
        ):
            await serve_until_signal(server)


@asynccontextmanager
async def open_store(settings: MetaSettings) -> AsyncIterator[SqlStore]:
    """The store on its database, with the tables that this program expects.

    Raises:
        MigrationError: a newer program has run on it.
        DomainError: UNAVAILABLE; the database does not answer.
    """
    async with open_migrated(settings, migrations) as database:
        yield SqlStore(database)


def build_server(
    settings: MetaSettings,
    *,
    store: Store,
    directory: ProjectDirectory,
    configs: ConfigReader,
    visible: VisibleProjects,
    checker: AccessChecker,
    verifier: TokenVerifier,
    signer: TokenSigner,
    pulls: PullRecorder,
    metrics: Metrics,
    clock: Clock | None = None,
) -> RpcServer:
    """The server with its servicers."""
    now = utc_now if clock is None else clock
    policy = ReviewPolicy(delay_seconds=settings.review_delay_seconds, push_grace_seconds=settings.push_grace_seconds)
    server = RpcServer(SECTION, settings.server_settings(), verifier=verifier, metrics=metrics, checker=checker)
    server.add(
        add_ManifestServiceServicer_to_server,
        ManifestServicer(
            store,
            directory,
            configs,
            policy,
            now,
            pulls,
            max_bytes=settings.manifest_max_bytes,
            delete_enabled=settings.delete_enabled,
        ),
    )
    server.add(
        add_BlobLinkServiceServicer_to_server,
        BlobLinkServicer(store, directory, policy, now, signer, delete_enabled=settings.delete_enabled),
    )
    server.add(add_ReferrerServiceServicer_to_server, ReferrerServicer(store))
    server.add(add_ProjectServiceServicer_to_server, ProjectServicer(store, directory, now))
    server.add(add_TagServiceServicer_to_server, TagServicer(store, directory, policy, now))
    server.add(add_RepositoryServiceServicer_to_server, RepositoryServicer(store, visible, policy, now))
    server.add(add_ArtifactServiceServicer_to_server, ArtifactServicer(store, policy, now))
    server.add(add_QuotaServiceServicer_to_server, QuotaServicer(store, directory, now))
    return server


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Does work that has no end of its own while inside; it is cancelled then, and waited for."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _log_lost_pulls(error: Exception) -> None:
    _log.warning("pulls_not_recorded", error=str(error))


def _log_interrupted_deletions(error: Exception) -> None:
    _log.warning("deletions_not_finished", error=str(error))

"""Builds metasvc and runs it."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from metasvc.clients.authsvc import AuthDirectory
from metasvc.clients.blobsvc import ConfigBlobs, LayerBlobs, StoredBytes
from metasvc.clients.project_log import project_reader
from metasvc.clients.revoked_tokens import RevokedTokens
from metasvc.clients.store_mode import StoreMode
from metasvc.clients.visible_projects import RememberedVisibleProjects
from metasvc.config import SECTION, MetaSettings
from metasvc.domain.blob_store import forget_store
from metasvc.domain.lists import VisibleProjects
from metasvc.domain.model import ChangeKind
from metasvc.domain.ports import BlobBytes, Clock, ConfigReader, LayerReader, Ports, ProjectDirectory
from metasvc.domain.project import finish_deletions
from metasvc.domain.pull import PullRecorder
from metasvc.domain.review import ReviewPolicy
from metasvc.domain.settled import SettledGenerations
from metasvc.domain.store_memory import StoreMemory
from metasvc.domain.tombstone import delete_generations, delete_unlinked
from metasvc.domain.unit import Store
from metasvc.servicers.addition import AdditionServicer
from metasvc.servicers.artifact import ArtifactServicer
from metasvc.servicers.blob_link import BlobLinkServicer
from metasvc.servicers.change import ChangeServicer, changes_in_repository
from metasvc.servicers.icon import IconServicer
from metasvc.servicers.immutable_rule import ImmutableRuleServicer
from metasvc.servicers.label import LabelServicer
from metasvc.servicers.manifest import ManifestServicer
from metasvc.servicers.project import ProjectServicer
from metasvc.servicers.quota import QuotaServicer
from metasvc.servicers.referrer import ReferrerServicer
from metasvc.servicers.repository import RepositoryServicer
from metasvc.servicers.statistic import StatisticServicer
from metasvc.servicers.system import SystemServicer
from metasvc.servicers.tag import TagServicer
from metasvc.store import migrations
from metasvc.store.blob_log import MeteredBlobLog
from metasvc.store.tables import CHANGES, change_cursors, followed_logs
from metasvc.store.unit_of_work import SqlStore
from roadstead.meta.v1.addition_service_pb2_grpc import add_AdditionServiceServicer_to_server
from roadstead.meta.v1.artifact_service_pb2_grpc import add_ArtifactServiceServicer_to_server
from roadstead.meta.v1.blob_link_service_pb2_grpc import add_BlobLinkServiceServicer_to_server
from roadstead.meta.v1.change_service_pb2_grpc import add_ChangeServiceServicer_to_server
from roadstead.meta.v1.icon_service_pb2_grpc import add_IconServiceServicer_to_server
from roadstead.meta.v1.immutable_rule_service_pb2_grpc import add_ImmutableRuleServiceServicer_to_server
from roadstead.meta.v1.label_service_pb2_grpc import add_LabelServiceServicer_to_server
from roadstead.meta.v1.manifest_service_pb2_grpc import add_ManifestServiceServicer_to_server
from roadstead.meta.v1.project_service_pb2_grpc import add_ProjectServiceServicer_to_server
from roadstead.meta.v1.quota_service_pb2_grpc import add_QuotaServiceServicer_to_server
from roadstead.meta.v1.referrer_service_pb2_grpc import add_ReferrerServiceServicer_to_server
from roadstead.meta.v1.repository_service_pb2_grpc import add_RepositoryServiceServicer_to_server
from roadstead.meta.v1.statistic_service_pb2_grpc import add_StatisticServiceServicer_to_server
from roadstead.meta.v1.system_service_pb2_grpc import add_SystemServiceServicer_to_server
from roadstead.meta.v1.tag_service_pb2_grpc import add_TagServiceServicer_to_server
from svckit.access.call import AccessChecker
from svckit.access.remembered import RememberedChecker
from svckit.access.remote import RemoteChecker
from svckit.changes.process import follow_changes
from svckit.changes.serving import ChangeServing
from svckit.configuration.reader import REFRESH_SECONDS, ConfigurationReader
from svckit.configuration.values import Configuration
from svckit.metrics import Metrics
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.revocation.reader import REFRESH_SECONDS as REVOCATIONS_SECONDS
from svckit.revocation.reader import RevocationReader
from svckit.rpc import RpcServer
from svckit.sql.changes import serve_changes
from svckit.sql.followed_log import FollowedLog
from svckit.sql.process import open_needed
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenVerifier

_DELETIONS_EVERY_SECONDS = 10.0
_FOLLOW_AGAIN_SECONDS = 1.0
_SETTLE_EVERY_SECONDS = 0.5
_DELETE_EVERY_SECONDS = 1.0
_UNLINKED_EVERY_SECONDS = 300.0


def main(config: Path | None) -> int:
    """Runs the service until SIGTERM or SIGINT. Returns the exit status.

    Args:
        config: the TOML file; None to read settings from the environment only.
    """
    return run_service(SECTION, MetaSettings, config, serve)


async def serve(process: ServiceProcess[MetaSettings]) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: the service cannot start; also DomainError and OSError.
    """
    settings = process.settings
    database = await process.enter(open_needed(process, migrations))
    configuration = ConfigurationReader(process.acting_channel("authsvc"))
    process.needs.require("configuration", configuration.require_known)
    revocations = RevocationReader(process.acting_channel("authsvc"), process.verifier.revocations)
    process.needs.require("revocations", revocations.require_known)
    changes = serve_changes(
        database, CHANGES, change_cursors, settings.changes, utc_now, in_repository=changes_in_repository
    )
    store = SqlStore(
        database,
        idempotency_key_seconds=settings.idempotency_key_seconds,
        on_change=changes.feed.notify,
        enforces_quotas=lambda: configuration.values.quota_per_project_enable,
    )
    # Access checks are sent with the caller's own token, so that authsvc decides for that caller.
    checker = RemoteChecker(process.channel("authsvc"))
    blobsvc = process.acting_channel("blobsvc")
    ports = build_ports(
        settings,
        store=store,
        directory=AuthDirectory(process.acting_channel("authsvc")),
        configs=ConfigBlobs(blobsvc, process.signer, process.verifier),
        layers=LayerBlobs(blobsvc, process.signer, process.verifier, process.metrics.refused_place),
        stored=StoredBytes(blobsvc),
        metrics=process.metrics,
        visible=RememberedVisibleProjects(checker),
        configuration=lambda: configuration.values,
    )
    if settings.adopt_blob_store:
        await forget_store(ports)
    pulls = PullRecorder(store, ports.clock, lambda: configuration.values)
    process.loops.every(settings.pull_flush_seconds, "record_pulls", pulls.flush, waits_first=True, has_last_round=True)
    process.loops.every(_DELETIONS_EVERY_SECONDS, "finish_deletions", partial(finish_deletions, ports))
    process.loops.every(_SETTLE_EVERY_SECONDS, "settle_generations", ports.settled.flush, waits_first=True)
    process.loops.every(_DELETE_EVERY_SECONDS, "delete_generations", partial(delete_generations, ports))
    process.loops.every(_UNLINKED_EVERY_SECONDS, "delete_unlinked", partial(delete_unlinked, ports))
    server = build_server(
        settings,
        ports,
        checker=RememberedChecker(checker),
        verifier=process.verifier,
        signer=process.signer,
        pulls=pulls,
        metrics=process.metrics,
        changes=changes,
    )
    follow_changes(process, changes)
    followed = FollowedLog(database, followed_logs, "authsvc projects")
    projects = project_reader(process.acting_channel("authsvc"), ports, followed)
    process.loops.every(_FOLLOW_AGAIN_SECONDS, "follow_projects", projects.run)
    server.set_read_only(None)
    store_mode = StoreMode(blobsvc)

    async def follow_configuration() -> None:
        await configuration.refresh()
        read_only = configuration.values.read_only
        server.set_read_only(read_only)
        # After an answer of authsvc only: a replica that cannot reach authsvc must not undo what others say.
        await store_mode.set_read_only(read_only)

    revoked_tokens = RevokedTokens(blobsvc, process.verifier.revocations)
    process.loops.every(REFRESH_SECONDS, "read_configuration", follow_configuration)
    process.loops.every(REVOCATIONS_SECONDS, "read_revocations", revocations.refresh)
    process.loops.every(REVOCATIONS_SECONDS, "tell_revocations", revoked_tokens.tell)
    await revocations.begin()
    await process.serve(server)


def build_ports(
    settings: MetaSettings,
    *,
    store: Store,
    directory: ProjectDirectory,
    configs: ConfigReader,
    layers: LayerReader,
    stored: BlobBytes,
    metrics: Metrics,
    visible: VisibleProjects,
    clock: Clock | None = None,
    configuration: Callable[[], Configuration] = Configuration,
) -> Ports:
    """The ports of the use cases, on any store."""
    return Ports(
        store=store,
        directory=directory,
        configs=configs,
        layers=layers,
        bytes=stored,
        store_memory=StoreMemory(),
        settled=SettledGenerations(stored),
        blob_log=MeteredBlobLog(metrics.registry),
        visible=visible,
        review_policy=ReviewPolicy(
            delay_seconds=settings.review_delay_seconds, push_grace_seconds=settings.push_grace_seconds
        ),
        clock=utc_now if clock is None else clock,
        manifest_max_bytes=settings.manifest_max_bytes,
        delete_enabled=settings.delete_enabled,
        delete_blobs_in_use=settings.delete_blobs_in_use,
        configuration=configuration,
    )


def build_server(
    settings: MetaSettings,
    ports: Ports,
    *,
    checker: AccessChecker,
    verifier: TokenVerifier,
    signer: TokenSigner,
    pulls: PullRecorder,
    metrics: Metrics,
    changes: ChangeServing[ChangeKind],
) -> RpcServer:
    """The server with its servicers."""
    server = RpcServer(SECTION, settings.server_settings(), verifier=verifier, metrics=metrics, checker=checker)
    server.add(add_ManifestServiceServicer_to_server, ManifestServicer(ports, pulls, server.messages))
    server.add(add_BlobLinkServiceServicer_to_server, BlobLinkServicer(ports, signer))
    server.add(add_ReferrerServiceServicer_to_server, ReferrerServicer(ports))
    server.add(add_ProjectServiceServicer_to_server, ProjectServicer(ports))
    server.add(add_TagServiceServicer_to_server, TagServicer(ports))
    server.add(add_RepositoryServiceServicer_to_server, RepositoryServicer(ports))
    server.add(add_ArtifactServiceServicer_to_server, ArtifactServicer(ports))
    server.add(add_LabelServiceServicer_to_server, LabelServicer(ports))
    server.add(add_ImmutableRuleServiceServicer_to_server, ImmutableRuleServicer(ports))
    server.add(add_AdditionServiceServicer_to_server, AdditionServicer(ports))
    server.add(add_IconServiceServicer_to_server, IconServicer())
    server.add(add_StatisticServiceServicer_to_server, StatisticServicer(ports))
    server.add(add_QuotaServiceServicer_to_server, QuotaServicer(ports))
    server.add(add_SystemServiceServicer_to_server, SystemServicer(ports))
    server.add(add_ChangeServiceServicer_to_server, ChangeServicer(changes))
    return server


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)

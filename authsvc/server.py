"""Builds authsvc and runs it."""

from datetime import UTC, datetime
from pathlib import Path

from authsvc.config import SECTION, AuthSettings
from authsvc.domain.attempts import Attempts
from authsvc.domain.bootstrap import bootstrap
from authsvc.domain.bundle import Ports, Rules
from authsvc.domain.change import ChangeKind
from authsvc.domain.configuration import RuntimeConfiguration, refresh, warn_of_taken_prefix
from authsvc.domain.hashing import Argon2Hasher, VerifiedSecrets, give_back_hashing_memory
from authsvc.domain.login import Login
from authsvc.domain.ports import Clock, Hasher
from authsvc.domain.refresh_login import RefreshLogin, RefreshTokenRules
from authsvc.domain.refresh_token import remove_expired
from authsvc.domain.refresh_token_text import RefreshTokenTexts
from authsvc.domain.revocation import remove_outdated
from authsvc.domain.robot_secret import RobotSecrets
from authsvc.domain.rows import Store
from authsvc.servicers.access import AccessServicer, StoreChecker
from authsvc.servicers.change import ChangeServicer
from authsvc.servicers.configuration import ConfigurationServicer
from authsvc.servicers.counters import Counters
from authsvc.servicers.cve_allowlist import CveAllowlistServicer
from authsvc.servicers.member import MemberServicer
from authsvc.servicers.project import ProjectServicer
from authsvc.servicers.project_metadata import ProjectMetadataServicer
from authsvc.servicers.refresh_token import RefreshTokenServicer
from authsvc.servicers.revocation import RevocationServicer
from authsvc.servicers.robot import CallRobotAccess, RobotServicer
from authsvc.servicers.token import TokenServicer
from authsvc.servicers.user import UserServicer
from authsvc.servicers.user_group import UserGroupServicer
from authsvc.store import migrations
from authsvc.store.tables import change_cursors, change_log
from authsvc.store.unit_of_work import SqlStore
from roadstead.auth.v1.access_service_pb2_grpc import add_AccessServiceServicer_to_server
from roadstead.auth.v1.change_service_pb2_grpc import add_ChangeServiceServicer_to_server
from roadstead.auth.v1.configuration_service_pb2_grpc import add_ConfigurationServiceServicer_to_server
from roadstead.auth.v1.cve_allowlist_service_pb2_grpc import add_CveAllowlistServiceServicer_to_server
from roadstead.auth.v1.member_service_pb2_grpc import add_MemberServiceServicer_to_server
from roadstead.auth.v1.project_metadata_service_pb2_grpc import add_ProjectMetadataServiceServicer_to_server
from roadstead.auth.v1.project_service_pb2_grpc import add_ProjectServiceServicer_to_server
from roadstead.auth.v1.refresh_token_service_pb2_grpc import add_RefreshTokenServiceServicer_to_server
from roadstead.auth.v1.revocation_service_pb2_grpc import add_RevocationServiceServicer_to_server
from roadstead.auth.v1.robot_service_pb2_grpc import add_RobotServiceServicer_to_server
from roadstead.auth.v1.token_service_pb2_grpc import add_TokenServiceServicer_to_server
from roadstead.auth.v1.user_group_service_pb2_grpc import add_UserGroupServiceServicer_to_server
from roadstead.auth.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server
from svckit.changes.process import follow_changes
from svckit.changes.serving import ChangeServing
from svckit.configuration.reader import REFRESH_SECONDS
from svckit.metrics import Metrics
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from svckit.rpc import RpcServer
from svckit.sql.changes import serve_changes
from svckit.sql.process import open_needed
from svckit.tokens import IdentityToken, RegistryToken
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle

_EXPIRED_TOKENS_SECONDS = 3600.0
_OUTDATED_SECONDS = 3600.0


def main(config: Path | None) -> int:
    """Runs the service until SIGTERM or SIGINT. Returns the exit status.

    Args:
        config: the TOML file; None to read settings from the environment only.
    """
    return run_service(SECTION, AuthSettings, config, serve)


async def serve(process: ServiceProcess[AuthSettings]) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: the service cannot start; also DomainError and OSError.
    """
    settings = process.settings
    give_back_hashing_memory()
    hasher = Argon2Hasher(
        memory_kib=settings.argon2_memory_kib, passes=settings.argon2_passes, threads=settings.hash_threads
    )
    process.resources.callback(hasher.close)
    database = await process.enter(open_needed(process, migrations))
    configuration = RuntimeConfiguration(settings.configuration.fixed())
    changes = serve_changes(database, change_log, change_cursors, settings.changes, utc_now)
    store = SqlStore(
        database,
        configuration,
        idempotency_key_seconds=settings.idempotency_key_seconds,
        on_change=changes.feed.notify,
    )
    robot_secret_key = await bootstrap(store, hasher, utc_now, settings.first_admin_password)
    counters = Counters(process.metrics.registry)
    ports = build_ports(
        settings,
        store=store,
        configuration=configuration,
        hasher=hasher,
        robot_secret_key=robot_secret_key,
        signer=process.signer,
        counters=counters,
    )
    server = build_server(
        settings, ports, counters=counters, trust=process.trust, metrics=process.metrics, changes=changes
    )
    follow_changes(process, changes)

    async def follow_configuration() -> None:
        await refresh(store, configuration)
        server.set_read_only(configuration.values.read_only)

    async def remove_refresh_tokens() -> None:
        await remove_expired(ports)

    async def remove_revocations() -> None:
        await remove_outdated(ports)

    await follow_configuration()
    await warn_of_taken_prefix(store, configuration)
    process.loops.every(_EXPIRED_TOKENS_SECONDS, "remove_expired_refresh_tokens", remove_refresh_tokens)
    process.loops.every(_OUTDATED_SECONDS, "remove_outdated_revocations", remove_revocations)
    process.loops.every(REFRESH_SECONDS, "read_configuration", follow_configuration, waits_first=True)
    await process.serve(server)


def build_ports(
    settings: AuthSettings,
    *,
    store: Store,
    configuration: RuntimeConfiguration,
    hasher: Hasher,
    robot_secret_key: bytes,
    signer: TokenSigner,
    counters: Counters,
    clock: Clock | None = None,
) -> Ports:
    """The ports and rules of the use cases, on any store."""
    now = utc_now if clock is None else clock
    secrets = RobotSecrets(robot_secret_key, hasher)
    # Shared: who has guessed passwords waits with refresh tokens, too.
    attempts = Attempts(settings.failure_delay_seconds, settings.failure_delay_longest_seconds)
    verified = VerifiedSecrets(settings.verification_seconds)
    login = Login(store, hasher, secrets, attempts, verified, now, configuration=configuration, observe=counters.login)
    texts = RefreshTokenTexts(robot_secret_key)
    refresh_tokens = RefreshTokenRules(
        service=settings.token_service,
        days=settings.refresh_token_days,
        shared_by=frozenset(settings.refresh_token_shared_by),
    )
    return Ports(
        store=store,
        clock=now,
        hasher=hasher,
        robot_secrets=secrets,
        login=login,
        refresh_login=RefreshLogin(
            store, texts, attempts, verified, now, refresh_tokens, observe=counters.refresh_token
        ),
        refresh_token_texts=texts,
        signer=signer,
        robot_access=CallRobotAccess(),
        rules=Rules(
            token_grant=settings.token_grant,
            identity_token_seconds=settings.identity_token_seconds,
            refresh_tokens=refresh_tokens,
        ),
        configuration=configuration,
    )


def build_server(
    settings: AuthSettings,
    ports: Ports,
    *,
    counters: Counters,
    trust: TrustBundle,
    metrics: Metrics,
    changes: ChangeServing[ChangeKind],
) -> RpcServer:
    """The server with its servicers."""
    server = RpcServer(
        SECTION,
        settings.server_settings(),
        verifier=TokenVerifier(trust, registry_audience=settings.token_service),
        metrics=metrics,
        checker=StoreChecker(ports),
        caller_tokens=(RegistryToken, IdentityToken),
    )
    server.add(
        add_TokenServiceServicer_to_server,
        TokenServicer(ports, trust, counters, token_service=settings.token_service),
    )
    server.add(
        add_RefreshTokenServiceServicer_to_server,
        RefreshTokenServicer(ports, counters, token_service=settings.token_service),
    )
    server.add(add_RevocationServiceServicer_to_server, RevocationServicer(ports))
    server.add(add_AccessServiceServicer_to_server, AccessServicer(ports))
    server.add(add_UserServiceServicer_to_server, UserServicer(ports))
    server.add(add_UserGroupServiceServicer_to_server, UserGroupServicer(ports))
    server.add(add_ProjectServiceServicer_to_server, ProjectServicer(ports))
    server.add(add_MemberServiceServicer_to_server, MemberServicer(ports))
    server.add(add_RobotServiceServicer_to_server, RobotServicer(ports))
    server.add(add_ProjectMetadataServiceServicer_to_server, ProjectMetadataServicer(ports))
    server.add(add_CveAllowlistServiceServicer_to_server, CveAllowlistServicer(ports))
    server.add(add_ConfigurationServiceServicer_to_server, ConfigurationServicer(ports))
    server.add(add_ChangeServiceServicer_to_server, ChangeServicer(changes))
    return server


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)

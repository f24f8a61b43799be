"""A running authsvc in this process, on any database, and callers of it."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest

from authsvc.config import AuthSettings
from authsvc.domain.bootstrap import bootstrap
from authsvc.domain.bundle import Ports
from authsvc.domain.configuration import RuntimeConfiguration
from authsvc.domain.hashing import Argon2Hasher
from authsvc.server import build_ports, build_server
from authsvc.servicers.counters import Counters
from authsvc.store import migrations as history
from authsvc.store.tables import change_cursors, change_log
from authsvc.store.unit_of_work import SqlStore
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import (
    access_service_pb2_grpc,
    configuration_service_pb2_grpc,
    cve_allowlist_service_pb2_grpc,
    member_service_pb2,
    member_service_pb2_grpc,
    project_metadata_service_pb2_grpc,
    project_service_pb2,
    project_service_pb2_grpc,
    refresh_token_pb2,
    refresh_token_service_pb2,
    refresh_token_service_pb2_grpc,
    robot_pb2,
    robot_service_pb2,
    robot_service_pb2_grpc,
    token_pb2,
    token_service_pb2,
    token_service_pb2_grpc,
    user_group_service_pb2,
    user_group_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)
from roadstead.auth.v1.member_pb2 import MemberGroup, MemberUser
from svckit.metrics import Metrics
from svckit.rpc import RpcChannel, RpcServerSettings, open_channel
from svckit.sql.changes import serve_changes
from svckit.sql.database import Database
from tests.harness.keyring import Keyring

S = TypeVar("S")

ADMIN_PASSWORD = "Admin-password-1"
PASSWORD = "Correct-horse-1"
PREFIX = "robot$"
IDEMPOTENCY_KEY_SECONDS = 3600

ROLES = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}


class MovableClock:
    """A clock that a test can set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def cheap_hasher() -> Argon2Hasher:
    """The cheapest argon2id. Its cost is not tested here, and would make tests slow."""
    return Argon2Hasher(memory_kib=8, passes=1, threads=1)


@dataclass
class Caller:
    """Someone who calls authsvc."""

    service: AuthService
    token: str = field(repr=False, default="")
    id: int = 0
    name: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def _stub(self, stub: type[S]) -> _Bound:
        # The generated type takes a channel; mypy sees only an interface.
        return _Bound(stub(self.service.channel), self.metadata)  # type: ignore[call-arg]

    @property
    def users(self) -> _Bound:
        return self._stub(user_service_pb2_grpc.UserServiceStub)

    @property
    def groups(self) -> _Bound:
        return self._stub(user_group_service_pb2_grpc.UserGroupServiceStub)

    @property
    def projects(self) -> _Bound:
        return self._stub(project_service_pb2_grpc.ProjectServiceStub)

    @property
    def members(self) -> _Bound:
        return self._stub(member_service_pb2_grpc.MemberServiceStub)

    @property
    def robots(self) -> _Bound:
        return self._stub(robot_service_pb2_grpc.RobotServiceStub)

    @property
    def tokens(self) -> _Bound:
        return self._stub(token_service_pb2_grpc.TokenServiceStub)

    @property
    def refresh_tokens(self) -> _Bound:
        return self._stub(refresh_token_service_pb2_grpc.RefreshTokenServiceStub)

    @property
    def project_metadata(self) -> _Bound:
        return self._stub(project_metadata_service_pb2_grpc.ProjectMetadataServiceStub)

    @property
    def allowlists(self) -> _Bound:
        return self._stub(cve_allowlist_service_pb2_grpc.CveAllowlistServiceStub)

    @property
    def configuration(self) -> _Bound:
        return self._stub(configuration_service_pb2_grpc.ConfigurationServiceStub)

    @property
    def access(self) -> _Bound:
        return self._stub(access_service_pb2_grpc.AccessServiceStub)

    async def make_project(self, name: str, *, public: bool = False, **fields: Any) -> int:
        answer = await self.projects.CreateProject(
            project_service_pb2.CreateProjectRequest(name=name, public=public, **fields)
        )
        return int(answer.project.id)

    async def add_member(self, project: str, user: Caller, role: str) -> int:
        answer = await self.members.CreateMember(
            member_service_pb2.CreateMemberRequest(
                project=ProjectRef(name=project),
                role_id=ROLES[role],
                member_user=MemberUser(user_id=user.id),
            )
        )
        return int(answer.member.id)

    async def make_group(self, name: str, *users: Caller, group_type: int = 3) -> int:
        """A group with these users. The caller must be an administrator."""
        request = user_group_service_pb2.CreateUserGroupRequest(group_name=name, group_type=group_type)
        group_id = int((await self.groups.CreateUserGroup(request)).user_group.id)
        for user in users:
            await self.groups.AddUserGroupMember(
                user_group_service_pb2.AddUserGroupMemberRequest(group_id=group_id, user_id=user.id)
            )
        return group_id

    async def add_group(self, project: str, group_id: int, role: str) -> int:
        """Makes a group a member of a project."""
        answer = await self.members.CreateMember(
            member_service_pb2.CreateMemberRequest(
                project=ProjectRef(name=project), role_id=ROLES[role], member_group=MemberGroup(id=group_id)
            )
        )
        return int(answer.member.id)

    async def make_robot(self, project: str, name: str, *permissions: str, **fields: Any) -> robot_pb2.CreatedRobot:
        answer = await self.robots.CreateRobot(
            robot_service_pb2.CreateRobotRequest(
                name=name,
                level="project",
                permissions=[permission_group(project, *permissions)],
                **{"duration_days": -1, **fields},
            )
        )
        created: robot_pb2.CreatedRobot = answer.robot
        return created

    async def make_system_robot(
        self, name: str, *groups: robot_pb2.RobotPermission, **fields: Any
    ) -> robot_pb2.CreatedRobot:
        answer = await self.robots.CreateRobot(
            robot_service_pb2.CreateRobotRequest(
                name=name, level="system", permissions=groups, **{"duration_days": -1, **fields}
            )
        )
        created: robot_pb2.CreatedRobot = answer.robot
        return created

    async def registry_token(self, *scopes: str) -> token_service_pb2.CreateRegistryTokenResponse:
        answer: token_service_pb2.CreateRegistryTokenResponse = await self.tokens.CreateRegistryToken(
            token_service_pb2.CreateRegistryTokenRequest(scopes=scopes)
        )
        return answer


class _Bound:
    """A stub whose calls carry a caller's token."""

    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)

        async def invoke(request: Any) -> Any:
            return await call(request, metadata=self._metadata)

        return invoke


@dataclass
class AuthService:
    """A running authsvc."""

    store: SqlStore
    ports: Ports
    channel: RpcChannel
    target: str
    clock: MovableClock
    keyring: Keyring
    metrics: Metrics
    admin: Caller = field(init=False)
    anonymous: Caller = field(init=False)

    def service_channel(self, name: str) -> RpcChannel:
        """A channel on which another service passes on calls. The test closes it."""
        return open_channel(self.target, service_tokens=self.keyring.service_tokens(name))

    def acting_channel(self, name: str) -> RpcChannel:
        """A channel on which another service acts for itself. The test closes it."""
        return open_channel(self.target, acting_tokens=self.keyring.acting_tokens(name, "authsvc"))

    async def log_in(self, username: str, password: str) -> Caller:
        answer = await self.anonymous.tokens.CreateIdentityToken(
            token_service_pb2.CreateIdentityTokenRequest(credentials=credentials(username, password))
        )
        claims = json.loads(base64.urlsafe_b64decode(f"{answer.token.split('.')[1]}=="))
        return Caller(self, answer.token, int(claims["sub"].partition(":")[2]), username)

    async def user(self, name: str) -> Caller:
        """A new user, logged in."""
        await self.admin.users.CreateUser(
            user_service_pb2.CreateUserRequest(
                username=name, password=PASSWORD, email=f"{name}@example.org", realname=name
            )
        )
        return await self.log_in(name, PASSWORD)

    async def refresh_token(self, username: str, secret: str = PASSWORD, client_id: str = "docker") -> str:
        """A refresh token that a client gets for a password or a robot's secret."""
        answer = await self.anonymous.refresh_tokens.CreateRefreshToken(
            refresh_token_service_pb2.CreateRefreshTokenRequest(
                credentials=credentials(username, secret), client_id=client_id
            )
        )
        return str(answer.token_secret)

    async def exchange(
        self, token: str, *scopes: str, client_id: str = "docker"
    ) -> token_service_pb2.CreateRegistryTokenResponse:
        """The registry token that a client gets for a refresh token."""
        answer: token_service_pb2.CreateRegistryTokenResponse = await self.anonymous.tokens.CreateRegistryToken(
            token_service_pb2.CreateRegistryTokenRequest(
                refresh_token=refresh_token_pb2.PresentedRefreshToken(token_secret=token, client_id=client_id),
                scopes=scopes,
            )
        )
        return answer


def credentials(username: str, secret: str) -> token_pb2.Credentials:
    return token_pb2.Credentials(password=token_pb2.Credentials.Password(username=username, secret=secret))


def permission_group(namespace: str, *permissions: str) -> robot_pb2.RobotPermission:
    """Permissions such as "repository:pull", or "repository:pull:deny". The namespace "/" is the system level."""
    entries = [f"{permission}:".split(":") for permission in permissions]
    return robot_pb2.RobotPermission(
        kind="system" if namespace == "/" else "project",
        namespace=namespace,
        access=[
            robot_pb2.RobotAccess(resource=resource, action=action, effect=effect)
            for resource, action, effect, *_ in entries
        ],
    )


def sql_store(database: Database, **fixed: bool | int | str) -> SqlStore:
    """The store on a database that has its tables, with the values of the configuration that the settings fix."""
    return SqlStore(database, RuntimeConfiguration(fixed), idempotency_key_seconds=IDEMPOTENCY_KEY_SECONDS)


@pytest.fixture(scope="session")
def migrations() -> ModuleType:
    """The history of authsvc's tables."""
    return history


@pytest.fixture
async def auth_store(migrated_database: Database) -> SqlStore:
    """A store with its tables, on each of the databases."""
    return sql_store(migrated_database)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="rs-auth-", dir="/tmp") as folder:
        yield Path(folder)


@asynccontextmanager
async def serving(store: SqlStore, folder: Path, **settings: Any) -> AsyncIterator[AuthService]:
    """Runs authsvc on a store that has its tables."""
    clock = MovableClock()
    hasher = cheap_hasher()
    keyring = Keyring(folder / "trust")
    metrics = Metrics("authsvc")
    configured = AuthSettings(
        rpc=RpcServerSettings(listen=(f"unix:{folder}/auth.sock",), drain_seconds=1),
        **{"failure_delay_seconds": 0, **settings},
    )
    key = await bootstrap(store, hasher, clock, lambda: ADMIN_PASSWORD)
    counters = Counters(metrics.registry)
    ports = build_ports(
        configured,
        store=store,
        configuration=store.runtime,
        hasher=hasher,
        robot_secret_key=key,
        signer=keyring.signer("authsvc", registry_audience=configured.token_service),
        counters=counters,
        clock=clock,
    )
    changes = serve_changes(store.database, change_log, change_cursors, configured.changes, clock)
    server = build_server(configured, ports, counters=counters, trust=keyring.trust, metrics=metrics, changes=changes)
    await server.start()
    server.set_serving()
    target = str(server.addresses[0])
    try:
        async with open_channel(target) as channel:
            service = AuthService(store, ports, channel, target, clock, keyring, metrics)
            service.anonymous = Caller(service)
            service.admin = await service.log_in("admin", ADMIN_PASSWORD)
            yield service
    finally:
        await server.drain(0)
        hasher.close()


@pytest.fixture
async def authsvc(auth_store: SqlStore, socket_folder: Path) -> AsyncIterator[AuthService]:
    """A running authsvc, on each of the databases, with its first user and project."""
    async with serving(auth_store, socket_folder) as service:
        yield service

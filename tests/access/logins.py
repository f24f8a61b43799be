"""Makes all kinds of callers in a running installation, and keeps tokens for them."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import grpc

from roadstead.auth.v1 import token_service_pb2, token_service_pb2_grpc
from roadstead.auth.v1.token_pb2 import Credentials
from tests.access.callers import BY_GROUP, ROBOTS, RobotKind
from tests.access.matrix import ROLES
from tests.harness.workspace import Login, Management

ROLE_IDS = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}
_RENEW_SECONDS = 100.0
"""Identity tokens live for five minutes, and a run may take longer."""
_LIMIT_SECONDS = 30.0

Logins = Mapping[str, Login | None]
"""By caller and project, such as "guest/private". None is anonymous."""


def make_logins(management: Management, projects: Mapping[str, str]) -> Logins:
    """All callers of `EVERY_CALLER`, for each of the projects: people have their roles in all of them."""
    people: dict[str, Login | None] = {name: management.create_user() for name in ("outsider", *ROLES, *BY_GROUP)}
    for role in ROLES:
        for project in projects.values():
            management.add_member(project, _present(people[role]), ROLE_IDS[role])
    for caller, role in BY_GROUP.items():
        group_id = management.create_group(_present(people[caller]))
        for project in projects.values():
            management.add_group(project, group_id, ROLE_IDS[role])
    people |= {"sysadmin": management.admin, "anonymous": None}
    elsewhere = management.create_project()
    made: dict[str, Login | None] = {f"{caller}/{kind}": login for kind in projects for caller, login in people.items()}
    for kind, project in projects.items():
        for caller, robot in ROBOTS.items():
            maker = made[f"{robot.maker}/{kind}"] if robot.maker else management.admin
            made[f"{caller}/{kind}"] = make_robot(management, robot, project, elsewhere, _present(maker))
    return made


def make_robot(management: Management, robot: RobotKind, project: str, elsewhere: str, maker: Login) -> Login:
    """Makes a robot, as another robot or an administrator."""
    where = {"project": project, "everywhere": "*", "elsewhere": elsewhere, "system": "/"}[robot.where]
    access = [{"resource": resource, "action": action} for resource, action in sorted(robot.held)]
    body = {
        "name": f"r{secrets.token_hex(5)}",
        "level": robot.level,
        "duration": -1,
        "permissions": [{"kind": "system" if where == "/" else "project", "namespace": where, "access": access}],
    }
    answer = management.client.post("/robots", json=body, auth=maker.basic)
    assert answer.status_code == 201, answer.text
    return Login(answer.json()["name"], answer.json()["secret"])


def _present(login: Login | None) -> Login:
    assert login is not None
    return login


@dataclass
class Tokens(Mapping[str, Mapping[str, str]]):
    """The metadata of calls by each caller. Tokens are made when they are needed, and anew when they are old."""

    logins: Logins
    make: Callable[[str, Login | None], str | None]
    _held: dict[str, tuple[float, Mapping[str, str]]] = field(default_factory=dict)

    def __getitem__(self, caller: str) -> Mapping[str, str]:
        """The metadata of a caller such as "guest/private"."""
        made, metadata = self._held.get(caller, (0.0, {}))
        if caller not in self._held or time.monotonic() - made > _RENEW_SECONDS:
            token = self.make(caller, self.logins[caller])
            metadata = {} if token is None else {"authorization": f"Bearer {token}"}
            self._held[caller] = (time.monotonic(), metadata)
        return metadata

    def __iter__(self) -> Iterator[str]:
        """All callers."""
        return iter(self.logins)

    def __len__(self) -> int:
        """How many they are."""
        return len(self.logins)


def credentials(login: Login) -> Credentials:
    """The name and the secret, as authsvc takes them."""
    return Credentials(password=Credentials.Password(username=login.name, secret=login.secret))


def identity_tokens(authsvc: grpc.Channel, logins: Logins) -> Tokens:
    """Identity tokens; anonymous callers have none."""
    stub = token_service_pb2_grpc.TokenServiceStub(authsvc)

    def make(_: str, login: Login | None) -> str | None:
        if login is None:
            return None
        request = token_service_pb2.CreateIdentityTokenRequest(credentials=credentials(login))
        token: str = stub.CreateIdentityToken(request, timeout=_LIMIT_SECONDS).token
        return token

    return Tokens(logins, make)


def registry_tokens(authsvc: grpc.Channel, logins: Logins, projects: Mapping[str, str]) -> Tokens:
    """Registry tokens for the repository "app" of the caller's project; anonymous callers have one, too."""
    stub = token_service_pb2_grpc.TokenServiceStub(authsvc)

    def make(caller: str, login: Login | None) -> str:
        project = projects[caller.rpartition("/")[2]]
        request = token_service_pb2.CreateRegistryTokenRequest(
            credentials=None if login is None else credentials(login),
            scopes=[f"repository:{project}/app:pull,push,delete"],
        )
        token: str = stub.CreateRegistryToken(request, timeout=_LIMIT_SECONDS).token
        return token

    return Tokens(logins, make)

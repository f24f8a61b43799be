"""Every RPC of every contract, called by everybody: let in or kept out as rpcs.toml and matrix.toml say.

Both tables are written by hand. What is sent names things that do not exist where a call would change something, so
that who is let in hears of that, and who is kept out hears nothing.
"""

import secrets
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.message import Message

from roadstead.access.v1 import rule_pb2
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import token_service_pb2, token_service_pb2_grpc
from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.blob.v1.upload_service_pb2 import WriteUploadRequest
from svckit import keys
from svckit.services import SERVICES
from svckit.tokens.signer import ServiceTokenSource, TokenSigner
from tests.access.matrix import MATRIX, PUBLIC, ROLES
from tests.harness.contracts import Rpc, every_rpc
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import BUILDER_PERMISSIONS, Login, Management

RPCS = {rpc.name: rpc for rpc in every_rpc()}
RIGHTS: Mapping[str, str] = {
    f"{service}/{method}": right
    for service, methods in tomllib.loads((Path(__file__).parent / "rpcs.toml").read_text(encoding="utf-8")).items()
    for method, right in methods.items()
}
ROLE_IDS = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}
CALLERS = ("anonymous", "outsider", *ROLES, "sysadmin", "robot")
# What those hear who are kept out. Everything else, errors about what was sent included, is said to those let in.
REFUSALS = {
    "UNAUTHORIZED",
    "INSUFFICIENT_SCOPE",
    "FORBIDDEN",
    "PROJECT_UNKNOWN",
    "TICKET_INVALID",
    "RECEIPT_INVALID",
    "GRANT_INVALID",
    # A robot of a project that the caller may not see: the one that is asked for does exist.
    "ROBOT_UNKNOWN",
}
ABSENT_DIGEST = f"sha256:{'0' * 64}"
ABSENT_ID = 999_999_999


@dataclass(frozen=True)
class World:
    """Two projects with an image each, everybody's tokens, and the services' own."""

    projects: Mapping[str, str]
    project_ids: Mapping[str, int]
    identity: Mapping[str, Mapping[str, str]]
    registry: Mapping[str, Mapping[str, str]]
    services: Mapping[str, Mapping[str, str]]
    channels: Mapping[str, grpc.Channel]
    management: Management
    victim_id: int
    outsider: Login

    def request(self, rpc: Rpc, kind: str) -> Message:
        """A request that is well-formed as far as access goes, and does no harm."""
        project = self.projects[kind]
        samples: dict[str, object] = {
            "project": ProjectRef(name=project),
            "repository": f"{project}/app",
            "repository_name": "absent",
            "reference": "absent",
            "tag_name": "absent",
            "digest": ABSENT_DIGEST,
            "user_id": self.victim_id if RIGHTS[rpc.name] == "self" else ABSENT_ID,
            "member_id": ABSENT_ID,
            "id": self.project_ids[kind],
            "project_id": ABSENT_ID,
            "etag": "stale",
            "project_name": project,
            "header": WriteUploadRequest.Header(),
        }
        if rpc.name == "auth.v1.TokenService/CreateIdentityToken":
            password = Credentials.Password(username=self.outsider.name, secret=self.outsider.secret)
            samples["credentials"] = Credentials(password=password)
        if rpc.name.startswith("auth.v1.RobotService/"):
            samples |= self._robot_samples(rpc, kind)
        request = rpc.request_class()
        for field in rpc.method.input_type.fields:
            value = samples.get(field.name)
            if value is None:
                continue
            if field.is_repeated or field.message_type is not None:
                request.MergeFrom(rpc.request_class(**{field.name: value}))
            else:
                setattr(request, field.name, value)
        return request

    def _robot_samples(self, rpc: Rpc, kind: str) -> dict[str, object]:
        project = self.projects[kind]
        name = f"r{secrets.token_hex(6)}"
        pull = {"resource": "repository", "action": "pull"}
        permissions = [{"kind": "project", "namespace": project, "access": [pull]}]
        samples: dict[str, object] = {"level": "project", "duration_days": -1, "permissions": permissions}
        if rpc.method.name == "CreateRobot":
            return samples | {"name": name}
        if rpc.method.name == "ListRobots":
            return {}
        body = {"name": name, "level": "project", "duration": -1, "permissions": permissions}
        created = self.management.client.post("/robots", json=body).raise_for_status().json()
        only_for_update = samples if rpc.method.name == "UpdateRobot" else {}
        return {**only_for_update, "robot_id": created["id"]}


@pytest.fixture(scope="session")
def world(installation: Installation, management: Management) -> Iterator[World]:
    """Everybody, in two projects of the shared installation."""
    projects = {
        "private": management.create_project(public=False),
        "public": management.create_project(public=True),
    }
    logins = {name: management.create_user() for name in ("outsider", *ROLES)}
    for project in projects.values():
        for role in ROLES:
            management.add_member(project, logins[role], ROLE_IDS[role])
    logins["sysadmin"] = management.admin
    robots = {kind: management.create_robot(project) for kind, project in projects.items()}
    for project in projects.values():
        push(installation.http_url, management.admin, f"{project}/app", image(7), "v1")

    channels = {
        service: grpc.insecure_channel(f"127.0.0.1:{port}") for service, port in installation.grpc_ports.items()
    }
    tokens = token_service_pb2_grpc.TokenServiceStub(channels["authsvc"])
    victim = management.client.get("/users", params={"q": f"username={management.create_user().name}"}).json()[0]

    def bearer(login: Login, scopes: list[str] | None) -> dict[str, str]:
        credentials = Credentials(password=Credentials.Password(username=login.name, secret=login.secret))
        if scopes is None:
            asked = token_service_pb2.CreateIdentityTokenRequest(credentials=credentials)
            return {"authorization": f"Bearer {tokens.CreateIdentityToken(asked).token}"}
        granted = token_service_pb2.CreateRegistryTokenRequest(credentials=credentials, scopes=scopes)
        return {"authorization": f"Bearer {tokens.CreateRegistryToken(granted).token}"}

    def everybody(kind: str, scopes: list[str] | None) -> dict[str, Mapping[str, str]]:
        held: dict[str, Mapping[str, str]] = {
            f"{caller}/{kind}": bearer(login, scopes) for caller, login in logins.items()
        }
        held[f"robot/{kind}"] = bearer(robots[kind], scopes)
        nobody = tokens.CreateRegistryToken(token_service_pb2.CreateRegistryTokenRequest(scopes=scopes or []))
        held[f"anonymous/{kind}"] = {} if scopes is None else {"authorization": f"Bearer {nobody.token}"}
        return held

    identity: dict[str, Mapping[str, str]] = {}
    registry: dict[str, Mapping[str, str]] = {}
    for kind, project in projects.items():
        identity |= everybody(kind, None)
        registry |= everybody(kind, [f"repository:{project}/app:pull,push,delete"])
    services = {
        service: {
            "x-roadstead-service": ServiceTokenSource(
                TokenSigner(service, keys.load(installation.data_dir / "keys" / f"{service}.pem"))
            ).current()
        }
        for service in SERVICES
    }
    yield World(
        projects,
        {kind: management.project_id(project) for kind, project in projects.items()},
        identity,
        registry,
        services,
        channels,
        management,
        victim["user_id"],
        logins["outsider"],
    )
    for channel in channels.values():
        channel.close()


def may(caller: str, kind: str, right: str) -> bool:
    """What the two tables say."""
    how, _, what = right.partition(" ")
    pair = (what.partition(":")[0], what.partition(":")[2])
    match how:
        case "public" | "filtered":
            return True
        case "authenticated":
            return caller != "anonymous"
        case "self":
            return caller == "sysadmin"
        case "system":
            return caller == "sysadmin" or (what == "project:create" and caller not in ("anonymous", "robot"))
        case "project":
            return _in_project(caller, kind, pair)
        case _:
            return False


def _in_project(caller: str, kind: str, pair: tuple[str, str]) -> bool:
    if caller == "sysadmin":
        return True
    if kind == "public" and pair in MATRIX[PUBLIC]:
        return True
    if caller == "robot":
        return {"resource": pair[0], "action": pair[1]} in BUILDER_PERMISSIONS
    return caller in MATRIX and pair in MATRIX[caller]


def test_every_rpc_has_a_rule_and_a_line_in_the_table() -> None:
    assert set(RPCS) == set(RIGHTS)
    without = [name for name, rpc in RPCS.items() if not rpc.method.GetOptions().HasExtension(rule_pb2.rule)]
    assert not without


@pytest.mark.parametrize("kind", ["private", "public"])
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", RIGHTS)
def test_who_is_let_in(world: World, name: str, caller: str, kind: str) -> None:
    rpc = RPCS[name]
    # blobsvc knows registry tokens only: it asks nobody, so an identity alone opens nothing there.
    held = world.registry if rpc.server == "blobsvc" else world.identity

    reason = rpc.call(world.channels[rpc.server], world.request(rpc, kind), held[f"{caller}/{kind}"])

    assert (reason not in REFUSALS) == may(caller, kind, RIGHTS[name]), reason
    assert "INTERNAL" not in reason


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", [name for name in RIGHTS if name.startswith("meta.v1.")])
def test_a_registry_token_opens_its_repository_and_nothing_else(world: World, name: str, caller: str) -> None:
    rpc = RPCS[name]
    right = RIGHTS[name]
    by_token = right in ("project repository:pull", "project repository:push", "project repository:delete")
    in_the_registry = rpc.method.input_type.fields_by_name.get("repository") is not None

    reason = rpc.call(world.channels["metasvc"], world.request(rpc, "private"), world.registry[f"{caller}/private"])

    assert (reason not in REFUSALS) == (by_token and in_the_registry and may(caller, "private", right)), reason


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", [name for name, right in RIGHTS.items() if right.startswith("service ")])
def test_which_services_are_let_in(world: World, name: str, service: str) -> None:
    rpc = RPCS[name]

    reason = rpc.call(world.channels[rpc.server], world.request(rpc, "private"), world.services[service])

    assert (reason not in REFUSALS) == (service in RIGHTS[name].split()[1:]), reason


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "name", [name for name, right in RIGHTS.items() if right.split()[0] in ("project", "system", "self", "holder")]
)
def test_being_a_service_opens_nothing_that_is_a_callers(world: World, name: str, service: str) -> None:
    rpc = RPCS[name]

    reason = rpc.call(world.channels[rpc.server], world.request(rpc, "private"), world.services[service])

    assert reason in REFUSALS


@pytest.mark.parametrize("name", [name for name, right in RIGHTS.items() if right == "self"])
def test_everybody_may_look_after_themselves(world: World, name: str) -> None:
    rpc = RPCS[name]
    current = httpx.get(
        f"{world.management.client.base_url}users/current", auth=world.outsider.basic, trust_env=False
    ).json()
    request = rpc.request_class(user_id=current["user_id"])

    assert rpc.call(world.channels["authsvc"], request, world.identity["outsider/private"]) not in REFUSALS

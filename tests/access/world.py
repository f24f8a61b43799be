"""All kinds of callers, in two projects of an installation."""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.message import Message

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import token_service_pb2, token_service_pb2_grpc
from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.blob.v1.upload_service_pb2 import WriteUploadFileRequest, WriteUploadRequest
from roadstead.meta.v1.manifest_service_pb2 import WriteManifestRequest
from tests.access.markers import acting_token
from tests.access.matrix import ROLES
from tests.access.rights import RIGHTS, SYSTEM_ROBOT_IN_PROJECTS, SYSTEM_ROBOT_ON_SYSTEM
from tests.harness.contracts import Rpc
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.keyring import Keyring
from tests.harness.push import push
from tests.harness.workspace import Login, Management

Bearer = Callable[[Login, list[str] | None], Mapping[str, str]]

ROLE_IDS = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}
ABSENT_DIGEST = f"sha256:{'0' * 64}"
ABSENT_ID = 999_999_999


@dataclass(frozen=True)
class World:
    """Two projects with an image each, the tokens of all callers, and the keys of the services.

    DEAD_ROBOTS have tokens in `identity` only, because a registry token says itself what it allows, until it ends.
    """

    projects: Mapping[str, str]
    project_ids: Mapping[str, int]
    identity: Mapping[str, Mapping[str, str]]
    registry: Mapping[str, Mapping[str, str]]
    keyring: Keyring
    channels: Mapping[str, grpc.Channel]
    management: Management
    victim_id: int
    outsider: Login

    def passing_on(self, service: str) -> Mapping[str, str]:
        """The metadata of a call that a service passes on for the anonymous caller."""
        return {"x-roadstead-service": self.keyring.service_token(service)}

    def acting(self, service: str, audience: str) -> Mapping[str, str]:
        """The metadata of a call in which a service acts for itself."""
        return {"x-roadstead-acting": acting_token(self.keyring, service, audience)}

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
            "user_id": self.victim_id if RIGHTS[rpc.name].kind == "self" else ABSENT_ID,
            "member_id": ABSENT_ID,
            "id": self.project_ids[kind],
            # A real project is refused by nobody but the gate; an absent one would be refused like a foreign one.
            "project_id": self.project_ids[kind] if rpc.name == "meta.v1.QuotaService/CheckUploadSize" else ABSENT_ID,
            "etag": "stale",
            "label_id": ABSENT_ID,
            "project_name": project,
            "header": WriteManifestRequest.Header(repository=f"{project}/app", reference="absent")
            if rpc.name == "meta.v1.ManifestService/WriteManifest"
            else WriteUploadFileRequest.Header()
            if rpc.name == "blob.v1.UploadService/WriteUploadFile"
            else WriteUploadRequest.Header(),
        }
        if rpc.name == "auth.v1.TokenService/CreateIdentityToken":
            password = Credentials.Password(username=self.outsider.name, secret=self.outsider.secret)
            samples["credentials"] = Credentials(password=password)
        if rpc.method.name.startswith("Search"):
            samples |= {"username": "absent", "group_name": "absent"}
        if rpc.name.startswith("auth.v1.RobotService/"):
            samples |= self._robot_samples(rpc, kind)
        if rpc.name.startswith("meta.v1.LabelService/"):
            samples |= self._label_samples(rpc, kind)
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

    def _label_samples(self, rpc: Rpc, kind: str) -> dict[str, object]:
        samples: dict[str, object] = {"scope": "p", "project_id": self.project_ids[kind]}
        if rpc.method.name == "ListLabels":
            return samples
        samples["name"] = f"l{secrets.token_hex(6)}"
        if rpc.method.name == "CreateLabel":
            return samples
        created = self.management.client.post("/labels", json=samples).raise_for_status()
        return {"label_id": int(created.headers["Location"].rpartition("/")[2])}

    def _robot_samples(self, rpc: Rpc, kind: str) -> dict[str, object]:
        project = self.projects[kind]
        name = f"r{secrets.token_hex(6)}"
        pull = {"resource": "repository", "action": "pull"}
        permissions = [{"kind": "project", "namespace": project, "access": [pull]}]
        samples: dict[str, object] = {"level": "project", "duration_days": -1, "permissions": permissions}
        if rpc.method.name == "CreateProjectRobot":
            access = {"resource": f"/project/{self.project_ids[kind]}/repository", "action": "pull"}
            return {"name": name, "access": [access]}
        if rpc.method.name == "CreateRobot":
            return samples | {"name": name}
        if rpc.method.name == "ListRobots":
            return {}
        body = {"name": name, "level": "project", "duration": -1, "permissions": permissions}
        created = self.management.client.post("/robots", json=body).raise_for_status().json()
        return {"robot_id": created["id"]}


@pytest.fixture(scope="session")
def world(installation: Installation, management: Management) -> Iterator[World]:
    """All callers, in two projects of the shared installation."""
    projects = {
        "private": management.create_project(public=False),
        "public": management.create_project(public=True),
    }
    logins = {name: management.create_user() for name in ("outsider", *ROLES)}
    for role in ROLES:
        # By group in one project, by itself in the other: the answers must be the same.
        management.add_group(projects["private"], management.create_group(logins[role]), ROLE_IDS[role])
        management.add_member(projects["public"], logins[role], ROLE_IDS[role])
    logins["sysadmin"] = management.admin
    robots = {kind: management.create_robot(project) for kind, project in projects.items()}
    logins["system-robot"], _ = _system_robot(management, SYSTEM_ROBOT_IN_PROJECTS, SYSTEM_ROBOT_ON_SYSTEM)
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
    identity["disabled-robot"] = _disabled_robot(management, bearer)
    identity["expired-robot"] = _expired_robot(management, management.project_id(projects["private"]), bearer)
    for kind, project in projects.items():
        identity |= everybody(kind, None)
        registry |= everybody(kind, [f"repository:{project}/app:pull,push,delete"])
    yield World(
        projects,
        {kind: management.project_id(project) for kind, project in projects.items()},
        identity,
        registry,
        Keyring.of(installation.data_dir),
        channels,
        management,
        victim["user_id"],
        logins["outsider"],
    )
    for channel in channels.values():
        channel.close()


Pairs = Collection[tuple[str, str]]


def _system_robot(management: Management, in_projects: Pairs, on_system: Pairs) -> tuple[Login, int]:
    """A robot of the system level, and its id."""
    permissions = [
        {"kind": kind, "namespace": namespace, "access": _accesses(pairs)}
        for kind, namespace, pairs in (("project", "*", in_projects), ("system", "/", on_system))
    ]
    body = {"name": f"r{secrets.token_hex(6)}", "level": "system", "duration": -1, "permissions": permissions}
    created = management.client.post("/robots", json=body).raise_for_status().json()
    return Login(created["name"], created["secret"]), created["id"]


def _accesses(pairs: Pairs, prefix: str = "") -> list[dict[str, str]]:
    return [{"resource": f"{prefix}{resource}", "action": action} for resource, action in sorted(pairs)]


def _catalogue(management: Management, level: str) -> Pairs:
    catalogue = management.client.get("/permissions").raise_for_status().json()
    return {(each["resource"], each["action"]) for each in catalogue[level]}


def _disabled_robot(management: Management, bearer: Bearer) -> Mapping[str, str]:
    """A token of a robot that was given all there is, and was disabled since."""
    login, robot_id = _system_robot(management, _catalogue(management, "project"), _catalogue(management, "system"))
    token = bearer(login, None)
    robot = management.client.get(f"/robots/{robot_id}").json()
    management.client.put(f"/robots/{robot_id}", json={**robot, "disable": True}).raise_for_status()
    return token


def _expired_robot(management: Management, project_id: int, bearer: Bearer) -> Mapping[str, str]:
    """A token of a robot that was given all there is in a project, and expires as soon as it has the token."""
    body = {
        "name": f"r{secrets.token_hex(6)}",
        "access": _accesses(_catalogue(management, "project"), f"/project/{project_id}/"),
        "expires_at": int(time.time()) + 3,
    }
    created = management.client.post(f"/projects/{project_id}/robots", json=body).raise_for_status().json()
    token = bearer(Login(created["name"], created["secret"]), None)
    # There is no event for this. The tests that use the token must not begin before.
    time.sleep(max(0.0, created["expires_at"] + 0.1 - time.time()))
    return token

"""All kinds of callers, in two projects of an installation."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.message import Message

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.blob.v1.upload_service_pb2 import WriteUploadFileRequest, WriteUploadRequest
from roadstead.meta.v1.manifest_service_pb2 import WriteManifestRequest
from tests.access.logins import Logins, Tokens, credentials, identity_tokens, make_logins, registry_tokens
from tests.access.markers import acting_token
from tests.access.rights import RIGHTS
from tests.harness.contracts import Rpc
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.keyring import Keyring
from tests.harness.push import push
from tests.harness.workspace import Login, Management

ABSENT_DIGEST = f"sha256:{'0' * 64}"
ABSENT_ID = 999_999_999


@dataclass(frozen=True)
class World:
    """Two projects with an image each, the tokens of all callers, and the keys of the services.

    DEAD_ROBOTS have tokens in `identity` only, because a registry token says itself what it allows, until it ends.
    """

    projects: Mapping[str, str]
    project_ids: Mapping[str, int]
    logins: Logins
    identity: Tokens
    registry: Tokens
    keyring: Keyring
    channels: Mapping[str, grpc.Channel]
    management: Management
    victim_id: int
    _made: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def outsider(self) -> Login:
        """A user without any role."""
        login = self.logins["outsider/private"]
        assert login is not None
        return login

    def delete(self, path: str) -> None:
        """Deletes what is at a path of the REST API."""
        self.management.client.delete(path).raise_for_status()

    def forget(self, rpc: Rpc, kind: str) -> None:
        """Makes the next request name another row, because a call has deleted the last one."""
        self._made.pop((rpc.name, kind), None)

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
            "addition": "build_history",
            "meta_name": "absent",
            "tag_name": "absent",
            "digest": ABSENT_DIGEST,
            "user_id": self.victim_id if RIGHTS[rpc.name].kind == "self" else ABSENT_ID,
            "group_id": ABSENT_ID,
            "member_id": ABSENT_ID,
            "id": self.project_ids[kind],
            "project_id": self._project_id(rpc, kind),
            "etag": "stale",
            "label_id": ABSENT_ID,
            "project_name": project,
            "refresh_token_id": ABSENT_ID,
            "header": WriteManifestRequest.Header(repository=f"{project}/app", reference="absent")
            if rpc.name == "meta.v1.ManifestService/WriteManifest"
            else WriteUploadFileRequest.Header()
            if rpc.name == "blob.v1.UploadService/WriteUploadFile"
            else WriteUploadRequest.Header(),
        }
        if rpc.name in {
            "auth.v1.TokenService/CreateIdentityToken",
            "auth.v1.RefreshTokenService/CreateRefreshToken",
        }:
            samples |= {"credentials": credentials(self.outsider), "client_id": "docker"}
        if rpc.method.name.startswith("Search"):
            samples |= {"username": "nobody", "group_name": "nothing"}
        if "RobotRefreshToken" in rpc.method.name:
            samples |= {"robot_id": self._robot_id(rpc, kind)}
        if rpc.name.startswith("auth.v1.RobotService/"):
            samples |= self._robot_samples(rpc, kind)
        if rpc.name.startswith("meta.v1.LabelService/"):
            samples |= self._label_samples(rpc, kind)
        if rpc.name.startswith("meta.v1.ImmutableRuleService/"):
            samples |= self._immutable_rule_samples(rpc, kind)
        if rpc.name.startswith("job.v1."):
            # What an admitted caller names does not exist, so nothing is started or stopped.
            absent = {"kind": "ABSENT", "job_id": "absent", "job_type": "all", "pool_id": "absent"}
            samples |= absent | {"execution_id": ABSENT_ID, "task_id": ABSENT_ID}
        request = rpc.request_class()
        for descriptor in rpc.method.input_type.fields:
            value = samples.get(descriptor.name)
            if value is None:
                continue
            if descriptor.is_repeated or descriptor.message_type is not None:
                request.MergeFrom(rpc.request_class(**{descriptor.name: value}))
            else:
                setattr(request, descriptor.name, value)
        return request

    def _project_id(self, rpc: Rpc, kind: str) -> int:
        # A real project is refused by nobody but the gate; an absent one would be refused like a foreign one.
        if rpc.name == "meta.v1.QuotaService/CheckUploadSize":
            return self.project_ids[kind]
        # All projects: a project has no quota to recount before it was used.
        return 0 if rpc.name == "meta.v1.QuotaService/RecountQuotas" else ABSENT_ID

    def _label_samples(self, rpc: Rpc, kind: str) -> dict[str, object]:
        samples: dict[str, object] = {"scope": "p", "project_id": self.project_ids[kind]}
        if rpc.method.name == "ListLabels":
            return samples
        if rpc.method.name == "CreateLabel":
            return samples | {"name": f"l{secrets.token_hex(6)}"}
        samples["name"] = rpc.method.name
        return {"label_id": self._row(rpc, kind, "/labels", samples), "name": samples["name"]}

    def _immutable_rule_samples(self, rpc: Rpc, kind: str) -> dict[str, object]:
        # It covers a repository that does not exist. A project has 15 rules at most, and each of them once.
        selector = {"kind": "doublestar", "decoration": "matches", "pattern": "absent"}
        repository = {"repository": [selector | {"decoration": "repoMatches"}]}
        if rpc.method.name == "CreateImmutableRule":
            return {"tag_selectors": {"selectors": [selector]}, "scope_selectors": repository}
        if rpc.method.name == "ListImmutableRules":
            return {}
        body = {"template": rpc.method.name, "tag_selectors": [selector], "scope_selectors": repository}
        rule_id = self._row(rpc, kind, f"/projects/{self.projects[kind]}/immutabletagrules", body)
        # Without the id of the body, which need not be there.
        return {"immutable_rule_id": rule_id, "id": None}

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
        updated = {"permissions": {"permissions": permissions}} if rpc.method.name == "UpdateRobot" else {}
        return {"robot_id": self._robot_id(rpc, kind), **updated}

    def _robot_id(self, rpc: Rpc, kind: str) -> int:
        permissions = [
            {
                "kind": "project",
                "namespace": self.projects[kind],
                "access": [{"resource": "repository", "action": "pull"}],
            }
        ]
        body = {
            "name": f"r{secrets.token_hex(6)}",
            "level": "project",
            "duration": -1,
            "permissions": permissions,
        }
        return self._row(rpc, kind, "/robots", body)

    def _row(self, rpc: Rpc, kind: str, path: str, body: Mapping[str, object]) -> int:
        """The id of a row that exists, made for this RPC and project when it is first needed."""
        if (rpc.name, kind) not in self._made:
            created = self.management.client.post(path, json=body).raise_for_status()
            self._made[rpc.name, kind] = int(created.headers["Location"].rpartition("/")[2])
        return self._made[rpc.name, kind]


@pytest.fixture(scope="session")
def world(installation: Installation, management: Management) -> Iterator[World]:
    """All callers, in two projects of the shared installation."""
    projects = {
        "private": management.create_project(public=False),
        "public": management.create_project(public=True),
    }
    logins = make_logins(management, projects)
    for project in projects.values():
        push(installation.http_url, management.admin, f"{project}/app", image(7), "v1")
    channels = {
        service: grpc.insecure_channel(f"127.0.0.1:{port}") for service, port in installation.grpc_ports.items()
    }
    victim = management.client.get("/users", params={"q": f"username={management.create_user().name}"}).json()[0]
    yield World(
        projects,
        {kind: management.project_id(project) for kind, project in projects.items()},
        logins,
        identity_tokens(channels["authsvc"], logins),
        registry_tokens(channels["authsvc"], logins, projects),
        Keyring.of(installation.data_dir),
        channels,
        management,
        victim["user_id"],
    )
    for channel in channels.values():
        channel.close()

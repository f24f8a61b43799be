"""A registry token from before its subject's loss of rights is refused within five seconds, by every service."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import httpx
import pytest

from roadstead.blob.v1.upload_service_pb2 import StartUploadRequest
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from roadstead.meta.v1.blob_link_service_pb2 import ResolveBlobRequest
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from tests.harness.images import digest_of, image
from tests.harness.installation import PLACEMENTS, Installation, running_installation
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.waiting import result_of, wait_until
from tests.harness.workspace import DEVELOPER, GUEST, Login, Management

STORED = image(1)
EFFECTIVE_SECONDS = 5.0
HALF_BYTES = 4 * 1024 * 1024


@dataclass
class Token:
    """A registry token for one repository, on every way in."""

    installation: Installation
    repository: str
    text: str
    is_anonymous: bool

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.installation.http_url, headers=self.headers, timeout=60, trust_env=False, verify=NO_TLS
        )

    def accepted(self) -> dict[str, bool]:
        """Who accepts it, whatever it allows there."""
        with self.client() as http:
            answers = {
                "manifest": http.get(f"/v2/{self.repository}/manifests/v1"),
                "blob": http.head(f"/v2/{self.repository}/blobs/{next(iter(STORED.blobs))}"),
            }
            if not self.is_anonymous:
                # It asks everybody to log in.
                answers["base"] = http.get("/v2/")
        for answer in answers.values():
            assert answer.status_code in {200, 401}
            assert (answer.status_code == 401) == ("WWW-Authenticate" in answer.headers)
        return {name: answer.status_code == 200 for name, answer in answers.items()} | {
            "metasvc": self._is_accepted_by("metasvc"),
            "blobsvc": self._is_accepted_by("blobsvc"),
        }

    def _is_accepted_by(self, service: str) -> bool:
        metadata = (("authorization", f"Bearer {self.text}"),)
        with grpc.insecure_channel(f"127.0.0.1:{self.installation.grpc_ports[service]}") as channel:
            try:
                if service == "metasvc":
                    request = ResolveBlobRequest(repository=self.repository, digest=next(iter(STORED.blobs)))
                    BlobLinkServiceStub(channel).ResolveBlob(request, metadata=metadata, timeout=30)
                else:
                    begin = StartUploadRequest(repository=self.repository)
                    UploadServiceStub(channel).StartUpload(begin, metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                # Who may not push is refused by blobsvc in other words.
                return "is revoked" not in str(error)
            return True

    def is_refused(self) -> bool:
        return not any(self.accepted().values())


@dataclass
class World:
    """A project with an image, and those who have tokens for it."""

    installation: Installation
    management: Management
    project: str
    bob: Login
    eve: Login
    group_id: int
    robot: Login

    @property
    def http(self) -> httpx.Client:
        return self.management.client

    def token(self, login: Login | None) -> Token:
        repository = f"{self.project}/app"
        answer = httpx.get(
            f"{self.installation.http_url}/service/token",
            params={"scope": f"repository:{repository}:pull,push", "service": "harbor-registry"},
            auth=None if login is None else login.basic,
            trust_env=False,
            verify=NO_TLS,
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return Token(self.installation, repository, answer.json()["token"], login is None)

    def user_id(self, login: Login) -> int:
        found = self.http.get("/users", params={"q": f"username={login.name}"}).json()
        return int(found[0]["user_id"])

    def member_path(self, name: str) -> str:
        members = self.http.get(f"/projects/{self.project}/members").json()
        [member_id] = [member["id"] for member in members if member["entity_name"] == name]
        return f"/projects/{self.project}/members/{member_id}"

    def robot_path(self) -> str:
        robots = self.http.get("/robots", params={"q": f"Level=project,ProjectID={self.project_id}"}).json()
        [robot] = [robot for robot in robots if robot["name"] == self.robot.name]
        return f"/robots/{robot['id']}"

    @property
    def project_id(self) -> int:
        return self.management.project_id(self.project)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation for these tests only: they restart its services."""
    folder = tmp_path_factory.mktemp("own") / "data"
    with running_installation(folder, workers=2, environment=PLACEMENTS["file"]) as running:
        yield running


@pytest.fixture
def world(own: Installation) -> Iterator[World]:
    management = Management.of(own)
    project = management.create_project(public=True)
    bob, eve = management.create_user(), management.create_user()
    management.add_member(project, bob, DEVELOPER)
    management.add_member(project, eve, DEVELOPER)
    grouped = management.create_user()
    group_id = management.create_group(grouped)
    management.add_group(project, group_id, DEVELOPER)
    push(own.http_url, management.admin, f"{project}/app", STORED, "v1")
    yield World(own, management, project, bob, grouped, group_id, management.create_robot(project))
    management.close()


def _succeeded(answer: httpx.Response) -> None:
    assert answer.is_success, answer.text


def _disable_robot(world: World) -> None:
    path = world.robot_path()
    _succeeded(world.http.put(path, json={**world.http.get(path).json(), "disable": True}))


# Whose token is refused, and by which change. All losses are in tests/contract/authsvc/test_revocations.py.
LOSSES: dict[str, tuple[str, Callable[[World], object]]] = {
    "removed": ("bob", lambda world: _succeeded(world.http.delete(world.member_path(world.bob.name)))),
    "lowered": (
        "bob",
        lambda world: _succeeded(world.http.put(world.member_path(world.bob.name), json={"role_id": GUEST})),
    ),
    "password": (
        "bob",
        lambda world: _succeeded(
            world.http.put(f"/users/{world.user_id(world.bob)}/password", json={"new_password": "Battery-staple-2"})
        ),
    ),
    "deleted": ("bob", lambda world: _succeeded(world.http.delete(f"/users/{world.user_id(world.bob)}"))),
    "group": (
        "eve",
        lambda world: _succeeded(world.http.delete(f"/usergroups/{world.group_id}/members/{world.user_id(world.eve)}")),
    ),
    "robot_secret": ("robot", lambda world: _succeeded(world.http.patch(world.robot_path(), json={"secret": ""}))),
    "robot_disabled": ("robot", _disable_robot),
    "private": (
        "nobody",
        lambda world: _succeeded(world.http.put(f"/projects/{world.project}", json={"metadata": {"public": "false"}})),
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_effective_everywhere_within_five_seconds_and_for_nobody_else(world: World, loss: str) -> None:
    loser, act = LOSSES[loss]
    tokens = {
        "bob": world.token(world.bob),
        "eve": world.token(world.eve),
        "robot": world.token(world.robot),
        "nobody": world.token(None),
        "admin": world.token(world.management.admin),
    }
    assert [name for name, token in tokens.items() if not all(token.accepted().values())] == []
    act(world)
    wait_until(tokens.pop(loser).is_refused, f"the refusal after {loss}", seconds=EFFECTIVE_SECONDS)
    assert [name for name, token in tokens.items() if not all(token.accepted().values())] == []


def test_who_asks_for_a_new_token_goes_on_with_what_is_left(world: World) -> None:
    old = world.token(world.bob)
    _succeeded(world.http.put(world.member_path(world.bob.name), json={"role_id": GUEST}))
    new = world.token(world.bob)
    wait_until(old.is_refused, "the refusal", seconds=EFFECTIVE_SECONDS)
    assert all(new.accepted().values())


def test_a_push_under_way_ends_for_who_has_lost_and_goes_on_for_others(world: World) -> None:
    content = secrets.token_bytes(2 * HALF_BYTES)
    bob, robot = world.token(world.bob), world.token(world.robot)
    with bob.client() as of_bob, robot.client() as of_robot, ThreadPoolExecutor(2) as pool:
        clients = {"bob": of_bob, "robot": of_robot}
        path = f"/v2/{world.project}/app/blobs/uploads/"
        locations = {name: http.post(path).headers["Location"] for name, http in clients.items()}
        go_on, begun = threading.Event(), {name: threading.Event() for name in clients}

        def body(name: str) -> Iterator[bytes]:
            yield content[:HALF_BYTES]
            begun[name].set()
            go_on.wait(60)
            yield content[HALF_BYTES:]

        sending = {
            name: pool.submit(
                http.patch, locations[name], content=body(name), headers={"Content-Length": str(len(content))}
            )
            for name, http in clients.items()
        }
        try:
            for event in begun.values():
                assert event.wait(30)
            _succeeded(world.http.delete(world.member_path(world.bob.name)))
            wait_until(bob.is_refused, "the refusal", seconds=EFFECTIVE_SECONDS)
        finally:
            go_on.set()
        assert result_of(sending["bob"], "the refusal of the upload").status_code == 401
        accepted = result_of(sending["robot"], "the other upload")
        assert accepted.status_code == 202, accepted.text
        # The ticket alone opens nothing: neither for going on nor for the end.
        digest = digest_of(content)
        for answer in (
            of_bob.get(locations["bob"]),
            of_bob.put(httpx.URL(locations["bob"]).copy_add_param("digest", digest), content=content),
        ):
            assert answer.status_code == 401, answer.text
        ended = of_robot.put(httpx.URL(accepted.headers["Location"]).copy_add_param("digest", digest))
        assert ended.status_code == 201, ended.text


@pytest.mark.parametrize("service", ["gateway", "metasvc", "blobsvc", "authsvc"])
def test_a_process_that_restarts_knows_what_was_revoked_before(world: World, service: str) -> None:
    token, other = world.token(world.bob), world.token(world.robot)
    _succeeded(world.http.delete(world.member_path(world.bob.name)))
    wait_until(token.is_refused, "the refusal", seconds=EFFECTIVE_SECONDS)
    installation = world.installation
    installation.wait_for_new(service, installation.kill(service))
    installation.wait_until_ready()
    wait_until(token.is_refused, "the refusal again", seconds=EFFECTIVE_SECONDS)
    assert all(other.accepted().values())

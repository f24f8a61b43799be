"""Going on with an upload: for whom its URL, its ticket and its receipt open something, over HTTP and over gRPC."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import pytest

from roadstead.blob.v1 import upload_service_pb2 as pb
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from roadstead.meta.v1.blob_link_service_pb2 import LinkBlobRequest
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from tests.access.realm import Realm, bearer, outcome
from tests.harness import plain_http
from tests.harness.claims import claims_of
from tests.harness.contracts import reason_of
from tests.harness.images import digest_of
from tests.harness.plain_http import NO_TLS
from tests.harness.workspace import DEVELOPER, GUEST, Login, Management

CONTENT = b"bytes of an upload"
DIGEST = digest_of(CONTENT)

STEPS: Mapping[str, Callable[[str], object]] = {
    "GetUploadStatus": lambda ticket: pb.GetUploadStatusRequest(ticket=ticket),
    "WriteUpload": lambda ticket: iter([pb.WriteUploadRequest(header=pb.WriteUploadRequest.Header(ticket=ticket))]),
    "AppendUpload": lambda ticket: pb.AppendUploadRequest(ticket=ticket, data=b"more"),
    "FinishUpload": lambda ticket: pb.FinishUploadRequest(ticket=ticket, digest=DIGEST),
    "CancelUpload": lambda ticket: pb.CancelUploadRequest(ticket=ticket),
}
METHODS = ("GET", "HEAD", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True)
class Scene:
    """A project of its own, and an upload into it with all its bytes.

    Attributes:
        realm: the installation.
        project: the project.
        project_id: its id.
        pusher: who began the upload.
        token: the registry token that began it.
        location: its URL, as clients print it.
    """

    realm: Realm
    project: str
    project_id: int
    pusher: Login
    token: str
    location: str

    @property
    def repository(self) -> str:
        return f"{self.project}/app"

    @property
    def ticket(self) -> str:
        return parse_qs(urlsplit(self.location).query)["_state"][0]

    @property
    def uploads(self) -> Any:
        return UploadServiceStub(self.realm.channel["blobsvc"])

    def request(self, method: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"{self.realm.installation.http_url}{self.location}"
        if method == "PUT":
            url += f"&digest={DIGEST}"
        return plain_http.request(method, url, headers=headers, **more)

    def outcomes(self, token: str | None) -> dict[str, str]:
        """The answer of blobsvc to each step with this token. CancelUpload comes last."""
        return {name: outcome(getattr(self.uploads, name), make(self.ticket), token) for name, make in STEPS.items()}

    def receipt(self) -> str:
        request = pb.FinishUploadRequest(ticket=self.ticket, digest=DIGEST)
        receipt: str = self.uploads.FinishUpload(request, metadata=bearer(self.token)).receipt
        return receipt

    def link(self, receipt: str, token: str | None) -> str:
        links = BlobLinkServiceStub(self.realm.channel["metasvc"])
        return outcome(links.LinkBlob, LinkBlobRequest(receipt=receipt, repository=self.repository), token)

    def is_untouched(self) -> bool:
        """Whether the upload has made no repository."""
        found: list[object] = self.realm.management.client.get(f"/projects/{self.project}/repositories").json()
        return found == []

    def forged_token(self, **changes: Any) -> str:
        """A token of the pusher, signed by authsvc, but for what is changed."""
        claims = claims_of(self.token)
        return self.realm.sign({**claims, "jti": f"forged-{time.monotonic_ns()}", **changes})


@pytest.fixture
def begin(realm: Realm) -> Callable[[str], Scene]:
    """Begins uploads by a user, by a user whose role is a group's, or by a robot."""

    def begin(kind: str) -> Scene:
        project = realm.management.create_project()
        if kind == "robot":
            pusher = realm.management.create_robot(project)
        else:
            pusher = realm.management.create_user()
            if kind == "user by group":
                realm.management.add_group(project, realm.management.create_group(pusher), DEVELOPER)
            else:
                realm.management.add_member(project, pusher, DEVELOPER)
        token = realm.registry_token(pusher, f"repository:{project}/app:pull,push")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=realm.installation.http_url, trust_env=False, verify=NO_TLS) as client:
            begun = client.post(f"/v2/{project}/app/blobs/uploads/", headers=headers)
            written = client.patch(begun.headers["Location"], content=CONTENT, headers=headers)
            assert written.status_code == 202
        return Scene(realm, project, realm.management.project_id(project), pusher, token, written.headers["Location"])

    return begin


@pytest.fixture
def scene(begin: Callable[[str], Scene]) -> Scene:
    return begin("user")


def remove_member(management: Management, scene: Scene) -> None:
    members = management.client.get(f"/projects/{scene.project}/members").json()
    [member] = [each for each in members if each["entity_name"] == scene.pusher.name]
    management.client.delete(f"/projects/{scene.project}/members/{member['id']}").raise_for_status()


def lower_role(management: Management, scene: Scene) -> None:
    members = management.client.get(f"/projects/{scene.project}/members").json()
    [member] = [each for each in members if each["entity_name"] == scene.pusher.name]
    path = f"/projects/{scene.project}/members/{member['id']}"
    management.client.put(path, json={"role_id": GUEST}).raise_for_status()


def delete_user(management: Management, scene: Scene) -> None:
    [user] = management.client.get("/users", params={"q": f"username={scene.pusher.name}"}).json()
    management.client.delete(f"/users/{user['user_id']}").raise_for_status()


def remove_group(management: Management, scene: Scene) -> None:
    path = f"/projects/{scene.project}/members"
    management.client.delete(f"{path}/{_group(management, scene)['id']}").raise_for_status()


def delete_group(management: Management, scene: Scene) -> None:
    management.client.delete(f"/usergroups/{_group(management, scene)['entity_id']}").raise_for_status()


def leave_group(management: Management, scene: Scene) -> None:
    path = f"/usergroups/{_group(management, scene)['entity_id']}/members"
    [user] = management.client.get(path).json()
    management.client.delete(f"{path}/{user['user_id']}").raise_for_status()


def _group(management: Management, scene: Scene) -> dict[str, Any]:
    [member] = management.client.get(f"/projects/{scene.project}/members", params={"q": "entity_type=g"}).json()
    found: dict[str, Any] = member
    return found


def disable_robot(management: Management, scene: Scene) -> None:
    robot = _robot(management, scene)
    management.client.put(f"/robots/{robot['id']}", json={**robot, "disable": True}).raise_for_status()


def delete_robot(management: Management, scene: Scene) -> None:
    management.client.delete(f"/robots/{_robot(management, scene)['id']}").raise_for_status()


def _robot(management: Management, scene: Scene) -> dict[str, Any]:
    q = f"Level=project,ProjectID={scene.project_id}"
    [robot] = management.client.get("/robots", params={"q": q}).raise_for_status().json()
    found: dict[str, Any] = robot
    return found


LOSSES = {
    "removed member": ("user", remove_member),
    "removed group": ("user by group", remove_group),
    "deleted group": ("user by group", delete_group),
    "removed from the group": ("user by group", leave_group),
    "lowered role": ("user", lower_role),
    "deleted user": ("user", delete_user),
    "disabled robot": ("robot", disable_robot),
    "deleted robot": ("robot", delete_robot),
}


@pytest.fixture(params=sorted(LOSSES))
def lost(request: pytest.FixtureRequest, begin: Callable[[str], Scene]) -> Scene:
    """An upload whose pusher may not push any more. The token that began it has not expired."""
    kind, lose = LOSSES[request.param]
    scene = begin(kind)
    lose(scene.realm.management, scene)
    return scene


class TestLostRights:
    """The rights were lost after the upload began. What comes of the upload is refused, though the token is valid."""

    def test_the_closing_put_is_refused_and_links_nothing(self, lost: Scene) -> None:
        for answer in (
            lost.request("PUT"),
            lost.request("PUT", lost.token),
            lost.request("PUT", auth=lost.pusher.basic),
            # Now the upload is finished, as after a lost answer.
            lost.request("PUT", lost.token),
        ):
            assert answer.status_code == 401, answer.text
            assert f'scope="repository:{lost.repository}:pull,push"' in answer.headers["WWW-Authenticate"]
        assert lost.is_untouched()

    def test_a_receipt_links_nothing(self, lost: Scene) -> None:
        receipt = lost.receipt()
        assert lost.link(receipt, lost.token) == "UNAUTHENTICATED INSUFFICIENT_SCOPE"
        assert lost.link(receipt, None) == "UNAUTHENTICATED UNAUTHORIZED"
        assert lost.is_untouched()


class TestOthers:
    """Others have found the URL of an upload, or its receipt."""

    @pytest.mark.parametrize("method", METHODS)
    def test_a_url_alone_is_answered_by_a_challenge(self, scene: Scene, method: str) -> None:
        answer = scene.request(method)
        assert answer.status_code == 401
        assert f'scope="repository:{scene.repository}:pull,push"' in answer.headers["WWW-Authenticate"]
        assert scene.request("GET", scene.token).headers["Range"] == f"0-{len(CONTENT) - 1}"
        assert scene.request("PUT", scene.token).status_code == 201

    def test_who_may_push_there_does_not_go_on_with_the_upload_of_somebody_else(self, scene: Scene) -> None:
        colleague = scene.realm.management.create_user()
        scene.realm.management.add_member(scene.project, colleague, DEVELOPER)
        token = scene.realm.registry_token(colleague, f"repository:{scene.repository}:pull,push")
        for method in METHODS:
            assert scene.request(method, token).status_code == 404, method
            assert scene.request(method, auth=colleague.basic).status_code == 404, method
        assert set(scene.outcomes(token).values()) == {"UNAUTHENTICATED TICKET_INVALID"}
        receipt = scene.receipt()
        assert scene.link(receipt, token) == "UNAUTHENTICATED RECEIPT_INVALID"
        assert scene.is_untouched()
        assert scene.link(receipt, scene.token) == "OK"

    def test_who_may_not_push_there_is_challenged(self, scene: Scene) -> None:
        realm = scene.realm
        for token in (
            realm.registry_token(realm.other, f"repository:{scene.repository}:pull,push"),
            realm.registry_token(realm.other, f"repository:{realm.other_repository}:pull,push"),
            realm.registry_token(scene.pusher, f"repository:{scene.repository}:pull"),
            scene.forged_token(sub="anonymous", access=[]),
        ):
            for method in METHODS:
                assert scene.request(method, token).status_code == 401, method
            assert set(scene.outcomes(token).values()) == {"UNAUTHENTICATED INSUFFICIENT_SCOPE"}
        assert set(scene.outcomes(None).values()) == {"UNAUTHENTICATED UNAUTHORIZED"}

    def test_neither_a_service_nor_one_that_acts_for_itself_goes_on_with_an_upload(self, scene: Scene) -> None:
        keyring = scene.realm.keyring
        request = pb.GetUploadStatusRequest(ticket=scene.ticket)
        for header, token in (
            ("x-roadstead-service", keyring.service_token("gateway")),
            ("x-roadstead-acting", keyring.acting_token("jobsvc", "blobsvc")),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                scene.uploads.GetUploadStatus(request, metadata=((header, token),), timeout=20)
            assert reason_of(refused.value) == "UNAUTHORIZED"


class TestExpiry:
    """A token may expire in the middle of a push, and not before it."""

    def test_a_token_that_has_expired_since_the_upload_began_finishes_it(self, scene: Scene) -> None:
        now = int(time.time())
        token = scene.forged_token(iat=now - 5400, nbf=now - 5400, exp=now - 3600)
        begun = scene.realm.sign(
            {**claims_of(scene.ticket), "iat": now - 4000, "nbf": now - 4000},
            key=scene.realm.keyring.keypairs["blobsvc"],
            typ="ticket+jwt",
        )
        assert scene.request("GET", token).status_code == 401
        older = Scene(
            scene.realm,
            scene.project,
            scene.project_id,
            scene.pusher,
            token,
            scene.location.replace(scene.ticket, begun),
        )
        assert older.request("GET", token).status_code == 204
        assert older.request("PATCH", token).status_code == 202
        assert older.request("PUT", token).status_code == 201

    def test_a_token_that_expired_before_the_upload_began_opens_nothing(self, scene: Scene) -> None:
        now = int(time.time())
        token = scene.forged_token(iat=now - 5400, nbf=now - 5400, exp=now - 600)
        for method in METHODS:
            answer = scene.request(method, token)
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert set(scene.outcomes(token).values()) == {"UNAUTHENTICATED UNAUTHORIZED"}
        assert scene.link(scene.receipt(), token) == "UNAUTHENTICATED UNAUTHORIZED"
        assert scene.is_untouched()

    def test_a_new_token_of_the_same_user_goes_on(self, scene: Scene) -> None:
        token = scene.realm.registry_token(scene.pusher, f"repository:{scene.repository}:push")
        assert scene.request("PATCH", token).status_code == 202
        assert scene.request("PUT", token).status_code == 201

    def test_basic_credentials_of_the_same_user_go_on(self, scene: Scene) -> None:
        assert scene.request("PATCH", auth=scene.pusher.basic).status_code == 202
        assert scene.request("PUT", auth=scene.pusher.basic).status_code == 201

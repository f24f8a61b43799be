"""In read-only mode everything is read and nothing changes: over REST, under /v2, and over gRPC to each service."""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import token_service_pb2, token_service_pb2_grpc, user_service_pb2, user_service_pb2_grpc
from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.blob.v1.upload_service_pb2 import StartUploadRequest
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from roadstead.meta.v1.tag_service_pb2 import DeleteTagRequest
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceStub
from svckit.errors.status import from_rpc_error
from tests.harness.images import digest_of, image
from tests.harness.installation import Installation, running_installation
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.waiting import result_of, wait_until
from tests.harness.workspace import Login

STORED = image(1)
TEXT = "The system is in read only mode. Any modification is prohibited."
EFFECTIVE_SECONDS = 5.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with one image, for these tests only."""
    with running_installation(tmp_path_factory.mktemp("own") / "data", workers=2) as running:
        push(running.http_url, Login("admin", running.admin_password), "library/app", STORED, "v1")
        yield running


@pytest.fixture
def http(own: Installation) -> Iterator[httpx.Client]:
    auth = ("admin", own.admin_password)
    with httpx.Client(base_url=own.http_url, auth=auth, timeout=60, trust_env=False, verify=NO_TLS) as client:
        yield client


def set_read_only(http: httpx.Client, *, read_only: bool) -> None:
    assert http.put("/api/v2.0/configurations", json={"read_only": read_only}).status_code == 200


def begins_an_upload(http: httpx.Client) -> int:
    return http.post("/v2/library/app/blobs/uploads/").status_code


@contextmanager
def read_only_mode(http: httpx.Client) -> Iterator[None]:
    """Read-only, everywhere, and writable again at the end."""
    set_read_only(http, read_only=True)
    for look in (lambda: begins_an_upload(http), lambda: http.put("/api/v2.0/projects/library", json={}).status_code):
        wait_until(look, "read-only mode", wanted=lambda status: status == 403, seconds=EFFECTIVE_SECONDS)
    yield
    set_read_only(http, read_only=False)
    for look in (lambda: begins_an_upload(http), lambda: http.put("/api/v2.0/projects/library", json={}).status_code):
        wait_until(look, "writes", wanted=lambda status: status < 300, seconds=EFFECTIVE_SECONDS)


@pytest.fixture
def read_only(http: httpx.Client) -> Iterator[None]:
    """See `read_only_mode`."""
    with read_only_mode(http):
        yield


def manifest(http: httpx.Client, method: str, reference: str) -> httpx.Response:
    content = STORED.manifest if method == "PUT" else None
    return http.request(
        method,
        f"/v2/library/app/manifests/{reference}",
        content=content,
        headers={"Content-Type": STORED.media_type},
    )


CHANGES: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "upload": lambda http: http.post("/v2/library/app/blobs/uploads/"),
    "monolithic upload": lambda http: http.post(
        "/v2/library/app/blobs/uploads/", params={"digest": next(iter(STORED.blobs))}, content=b"x"
    ),
    "mount": lambda http: http.post(
        "/v2/library/other/blobs/uploads/", params={"mount": next(iter(STORED.blobs)), "from": "library/app"}
    ),
    "manifest": lambda http: manifest(http, "PUT", "v2"),
    "delete manifest": lambda http: manifest(http, "DELETE", STORED.digest),
    "delete tag": lambda http: manifest(http, "DELETE", "v1"),
    "delete blob": lambda http: http.delete(f"/v2/library/app/blobs/{next(iter(STORED.blobs))}"),
    "create project": lambda http: http.post("/api/v2.0/projects", json={"project_name": "other"}),
    "update project": lambda http: http.put("/api/v2.0/projects/library", json={"metadata": {"public": "false"}}),
    "delete project": lambda http: http.delete("/api/v2.0/projects/library"),
    "create user": lambda http: http.post(
        "/api/v2.0/users", json={"username": "u", "email": "u@example.com", "realname": "U", "password": "Passw0rd-1"}
    ),
    "set quota": lambda http: http.put("/api/v2.0/quotas/1", json={"hard": {"storage": 4096}}),
    "delete repository": lambda http: http.delete("/api/v2.0/projects/library/repositories/app"),
}


@pytest.mark.usefixtures("read_only")
def test_every_change_over_http_hears_harbors_refusal(http: httpx.Client) -> None:
    for name, change in CHANGES.items():
        answer = change(http)
        assert answer.status_code == 403, name
        [error] = answer.json()["errors"]
        assert (error["code"], error["message"]) == ("DENIED", TEXT), name


@pytest.mark.usefixtures("read_only")
def test_pulls_logins_and_reads_go_on(http: httpx.Client) -> None:
    assert manifest(http, "GET", "v1").content == STORED.manifest
    for digest, content in STORED.blobs.items():
        assert http.get(f"/v2/library/app/blobs/{digest}", follow_redirects=True).content == content
    assert http.get("/service/token", params={"scope": "repository:library/app:pull,push"}).status_code == 200
    for path in ("projects", "users", "quotas", "configurations", "projects/library/repositories/app/artifacts"):
        assert http.get(f"/api/v2.0/{path}").status_code == 200
    assert http.get("/api/v2.0/systeminfo").json()["read_only"] is True


def _refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return from_rpc_error(refused.value).reason  # type: ignore[arg-type]


@pytest.mark.usefixtures("read_only")
def test_each_service_refuses_callers_of_its_own_port(own: Installation) -> None:
    channels = {name: grpc.insecure_channel(f"127.0.0.1:{port}") for name, port in own.grpc_ports.items()}
    tokens = token_service_pb2_grpc.TokenServiceStub(channels["authsvc"])
    credentials = Credentials(password=Credentials.Password(username="admin", secret=own.admin_password))
    identity = tokens.CreateIdentityToken(token_service_pb2.CreateIdentityTokenRequest(credentials=credentials)).token
    registry = tokens.CreateRegistryToken(
        token_service_pb2.CreateRegistryTokenRequest(
            credentials=credentials, scopes=["repository:library/app:pull,push,delete"]
        )
    ).token
    as_user, as_client = (("authorization", f"Bearer {identity}"),), (("authorization", f"Bearer {registry}"),)
    users = user_service_pb2_grpc.UserServiceStub(channels["authsvc"])
    assert (
        _refusal(
            lambda: users.CreateUser(
                user_service_pb2.CreateUserRequest(
                    username="u", password="Passw0rd-1", email="u@example.com", realname="U"
                ),
                metadata=as_user,
            )
        )
        == "READ_ONLY"
    )
    tags = TagServiceStub(channels["metasvc"])
    request = DeleteTagRequest(project=ProjectRef(name="library"), repository_name="app", reference="v1", tag_name="v1")
    assert _refusal(lambda: tags.DeleteTag(request, metadata=as_user)) == "READ_ONLY"
    uploads = UploadServiceStub(channels["blobsvc"])
    begin = StartUploadRequest(repository="library/app")
    assert _refusal(lambda: uploads.StartUpload(begin, metadata=as_client)) == "READ_ONLY"
    for channel in channels.values():
        channel.close()


def test_a_file_that_a_gateway_is_writing_is_refused_and_goes_on_afterwards(
    own: Installation, http: httpx.Client
) -> None:
    # Such a body is large enough for the gateway to write the file itself.
    half_bytes = 4 * 1024 * 1024
    content = secrets.token_bytes(2 * half_bytes)
    location = http.post("/v2/library/app/blobs/uploads/").headers["Location"]
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield content[:half_bytes]
        go_on.wait(60)
        yield content[half_bytes:]

    def has_begun() -> bool:
        return any(file.stat().st_size for file in own.data_dir.glob("blobsvc/uploads/*/data"))

    assert not has_begun()
    size = {"Content-Length": str(len(content))}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(http.patch, location, content=body(), headers=size)
        try:
            wait_until(has_begun, "the first bytes")
            with read_only_mode(http):
                go_on.set()
                assert result_of(sending, "the refusal of the upload").status_code == 403
        finally:
            go_on.set()
    received = http.get(location).headers["Range"].removeprefix("0-")
    digest = digest_of(content)
    rest = content[int(received) + 1 :]
    ended = http.put(httpx.URL(location).copy_add_param("digest", digest), content=rest)
    assert ended.status_code == 201, ended.text
    assert http.get(f"/v2/library/app/blobs/{digest}", follow_redirects=True).content == content


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize("service", ["blobsvc", "metasvc", "authsvc"])
def test_a_service_that_restarts_is_read_only_again(own: Installation, http: httpx.Client, service: str) -> None:
    own.wait_for_new(service, own.kill(service))
    own.wait_until_ready()

    wait_until(
        lambda: begins_an_upload(http), "a refusal", wanted=lambda status: status == 403, seconds=EFFECTIVE_SECONDS
    )
    assert manifest(http, "PUT", "v2").status_code == 403
    assert http.put("/api/v2.0/projects/library", json={}).status_code == 403


def test_a_project_with_repositories_is_not_deletable_in_harbors_words(http: httpx.Client) -> None:
    told = http.get("/api/v2.0/projects/library/_deletable").json()
    assert told == {"deletable": False, "message": "the project contains repositories, can not be deleted"}
    refused = http.delete("/api/v2.0/projects/library")
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (412, told["message"])


def test_pushes_work_again_afterwards(own: Installation) -> None:
    push(own.http_url, Login("admin", own.admin_password), "library/app", image(2), "v9")

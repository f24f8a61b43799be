"""Copies of artifacts: who may, by rights in the source and in the target, over HTTP and over gRPC."""

import secrets
from collections.abc import Callable

import httpx
import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.auth.v1.token_service_pb2 import CreateIdentityTokenRequest
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
from roadstead.meta.v1.artifact_service_pb2 import CopyArtifactRequest
from roadstead.meta.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from tests.access.realm import Realm, bearer, outcome
from tests.harness import plain_http
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import DEVELOPER, GUEST, LIMITED_GUEST, MAINTAINER, Login, Management

Copy = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def source(installation: Installation, management: Management) -> str:
    """A private project with an image."""
    project = management.create_project()
    push(installation.http_url, management.admin, f"{project}/app", image(31), "v1")
    return project


@pytest.fixture(scope="module")
def shown(installation: Installation, management: Management) -> str:
    """A public project with an image."""
    project = management.create_project(public=True)
    push(installation.http_url, management.admin, f"{project}/app", image(32), "v1")
    return project


@pytest.fixture
def target(management: Management) -> str:
    return management.create_project()


@pytest.fixture
def copy(installation: Installation) -> Copy:
    """Copies the image of a project into another, as somebody."""

    def send(source: str, target: str, login: Login | None, reference: str = ":v1") -> httpx.Response:
        return plain_http.request(
            "POST",
            f"{installation.http_url}/api/v2.0/projects/{target}/repositories/copied/artifacts",
            params={"from": f"{source}/app{reference}"},
            auth=None if login is None else login.basic,
        )

    return send


@pytest.fixture
def identity(realm: Realm) -> Callable[[Login], str]:
    """Identity tokens, by password."""
    tokens = TokenServiceStub(realm.channel["authsvc"])

    def create(login: Login) -> str:
        password = Credentials.Password(username=login.name, secret=login.secret)
        request = CreateIdentityTokenRequest(credentials=Credentials(password=password))
        token: str = tokens.CreateIdentityToken(request).token
        return token

    return create


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"] if answer.content else ""


@pytest.mark.parametrize("role", [MAINTAINER, DEVELOPER, GUEST, LIMITED_GUEST])
def test_whoever_may_read_and_pull_copies_to_where_they_may_create(
    copy: Copy, management: Management, source: str, target: str, role: int
) -> None:
    login = management.create_user()
    management.add_member(source, login, role)
    # A stranger to the target does not learn that it exists.
    assert said(copy(source, target, login)) == (404, "NOT_FOUND")
    management.add_member(target, login, DEVELOPER)
    assert said(copy(source, target, login)) == (201, "")


def test_a_source_that_the_caller_may_not_see_does_not_exist(
    copy: Copy, management: Management, source: str, target: str
) -> None:
    login = management.create_user()
    management.add_member(target, login, DEVELOPER)
    hidden = copy(source, target, login)
    absent = copy(f"no{secrets.token_hex(5)}", target, login)
    assert said(hidden) == said(absent) == (404, "NOT_FOUND")
    assert hidden.json() == absent.json()
    assert said(copy(source, target, login, f"@sha256:{'0' * 64}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize("role", [GUEST, LIMITED_GUEST])
def test_a_guest_of_the_target_copies_nothing_into_it(
    copy: Copy, management: Management, shown: str, target: str, role: int
) -> None:
    login = management.create_user()
    management.add_member(target, login, role)
    assert said(copy(shown, target, login)) == (403, "FORBIDDEN")


def test_anybody_who_is_known_copies_from_a_public_project(
    copy: Copy, management: Management, shown: str, target: str
) -> None:
    login = management.create_user()
    management.add_member(target, login, DEVELOPER)
    assert said(copy(shown, target, login)) == (201, "")
    assert said(copy(shown, target, None)) == (401, "UNAUTHORIZED")
    # A public target shows itself and takes nothing.
    assert said(copy(shown, shown, management.create_user())) == (403, "FORBIDDEN")
    assert said(copy(shown, shown, None)) == (401, "UNAUTHORIZED")


def access(*held: str) -> list[dict[str, str]]:
    return [dict(zip(("resource", "action"), each.split(":"), strict=True)) for each in held]


def test_a_robot_needs_its_rights_on_both_sides(
    copy: Copy, management: Management, source: str, shown: str, target: str
) -> None:
    creates = access("artifact:create")
    reads = access("artifact:read", "repository:pull")
    # With rights in the target only.
    assert said(copy(source, target, management.create_robot(target, creates + reads))) == (404, "NOT_FOUND")
    assert said(copy(shown, target, management.create_robot(target, creates))) == (201, "")
    # With rights in the source only.
    assert said(copy(source, target, management.create_robot(source, creates + reads))) == (404, "NOT_FOUND")
    assert said(copy(source, shown, management.create_robot(source, creates + reads))) == (403, "FORBIDDEN")


def system_robot(management: Management, rights: dict[str, list[dict[str, str]]]) -> Login:
    """A robot of the system level, with rights in several projects; "*" stands for all."""
    permissions = [{"kind": "project", "namespace": name, "access": held} for name, held in rights.items()]
    body = {"name": f"r{secrets.token_hex(4)}", "level": "system", "duration": -1, "permissions": permissions}
    created = management.client.post("/robots", json=body).raise_for_status().json()
    return Login(created["name"], created["secret"])


def test_a_robot_of_many_projects_copies_as_far_as_it_has_rights_in_each(
    copy: Copy, management: Management, source: str, target: str
) -> None:
    creates, reads = access("artifact:create"), access("artifact:read", "repository:pull")
    assert said(copy(source, target, system_robot(management, {source: reads, target: creates}))) == (201, "")
    assert said(copy(source, target, system_robot(management, {"*": creates + reads}))) == (201, "")
    # The same rights the other way round.
    assert said(copy(source, target, system_robot(management, {source: creates, target: reads}))) == (403, "FORBIDDEN")
    no_pull = access("artifact:read")
    assert said(copy(source, target, system_robot(management, {source: no_pull, target: creates}))) == (
        403,
        "FORBIDDEN",
    )
    assert said(copy(source, target, system_robot(management, {target: creates + reads}))) == (404, "NOT_FOUND")


@pytest.mark.parametrize("missing", ["artifact:create", "artifact:read", "repository:pull"])
def test_a_robot_that_lacks_one_right_copies_nothing(
    copy: Copy, management: Management, source: str, missing: str
) -> None:
    """Without repository:pull, a copy would open the bytes to somebody who may not pull them."""
    rights = {"artifact:create", "artifact:read", "repository:pull"}
    assert said(copy(source, source, management.create_robot(source, access(*rights)))) == (201, "")
    assert said(copy(source, source, management.create_robot(source, access(*rights - {missing})))) == (
        403,
        "FORBIDDEN",
    )


def test_over_grpc_it_is_the_same_wall(
    realm: Realm, identity: Callable[[Login], str], management: Management, source: str, target: str
) -> None:
    login = management.create_user()
    management.add_member(target, login, DEVELOPER)
    stub = ArtifactServiceStub(realm.channel["metasvc"])
    request = CopyArtifactRequest(project=ProjectRef(name=target), repository_name="app", source=f"{source}/app:v1")
    token = identity(login)
    assert outcome(stub.CopyArtifact, request, token) == "NOT_FOUND PROJECT_UNKNOWN"
    assert outcome(stub.CopyArtifact, request, None) == "UNAUTHENTICATED UNAUTHORIZED"
    # A registry token says what may be pulled and pushed, and opens nothing here.
    registry = realm.registry_token(login, f"repository:{target}/app:pull,push")
    assert outcome(stub.CopyArtifact, request, registry) == "UNAUTHENTICATED INSUFFICIENT_SCOPE"
    management.add_member(source, login, GUEST)
    assert stub.CopyArtifact(request, metadata=bearer(identity(login))).digest == image(31).digest

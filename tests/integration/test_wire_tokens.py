"""Challenges, tokens and credentials over the wire."""

import base64
import re
import time

import httpx
import jwt
import pytest

from svckit import keys
from tests.harness.claims import claims_of, granted_by
from tests.harness.images import OCI_MANIFEST, digest_of
from tests.harness.installation import Installation, on_both_servers
from tests.harness.raw_http import RawConnection, head_of
from tests.harness.repository import (
    EMPTY_CONFIG,
    MakeRepository,
    Repository,
    challenge_of,
    dumped,
    error_code,
    token_for,
)
from tests.harness.workspace import Login, Management, Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

TOKEN = "/service/token"
ZEROS = "sha256:" + "0" * 64


class TestTheTokenService:
    def test_the_answer_is_docker_s_and_the_token_says_no_more_than_was_asked_and_allowed(
        self, plain: httpx.Client, workspace: Workspace
    ) -> None:
        scopes = [f"repository:{workspace.project}/a:pull,push", f"repository:{workspace.project}/b:pull"]
        query = {"service": "harbor-registry", "account": "x", "client_id": "docker", "offline_token": "true"}
        answer = plain.get(TOKEN, params=[*query.items(), ("scope", " ".join(scopes))], auth=workspace.guest.basic)
        document = answer.json()
        assert document["token"] == document["access_token"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["issued_at"])
        assert answer.headers["Cache-Control"] == "no-store"
        claims = claims_of(document["token"])
        assert {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access"} <= set(claims)
        assert claims["aud"] == "harbor-registry"
        # containerd cannot replay a body after a 401 in the middle of a push.
        assert claims["exp"] - claims["iat"] == document["expires_in"] >= 1800
        assert granted_by(document["token"]) == {f"{workspace.project}/a": ["pull"], f"{workspace.project}/b": ["pull"]}
        head = jwt.get_unverified_header(document["token"])
        assert (head["alg"], head["typ"]) == ("ES256", "registry+jwt")

    def test_scopes_may_repeat_share_a_parameter_and_overlap(self, workspace: Workspace) -> None:
        name = f"{workspace.project}/a"
        scopes = (f"repository:{name}:pull", f"repository:{name}:push repository:{name}/b:pull", f"repository:{name}:*")
        found = granted_by(token_for(workspace.http_url, workspace.maintainer, *scopes))
        assert {key: set(actions) for key, actions in found.items()} == {
            name: {"pull", "push", "delete"},
            f"{name}/b": {"pull"},
        }

    def test_nobody_in_particular_pulls_what_is_public_and_no_more(
        self, plain: httpx.Client, management: Management, workspace: Workspace
    ) -> None:
        public = management.create_project(public=True)
        scopes = [f"repository:{project}/x:pull,push" for project in (public, workspace.project)]
        token = token_for(workspace.http_url, None, *scopes, "registry:catalog:*")
        assert granted_by(token) == {f"{public}/x": ["pull"]}
        plain.headers["Authorization"] = f"Bearer {token}"
        assert plain.get(f"/v2/{public}/x/manifests/v1").status_code == 404
        assert challenge_of(plain.post(f"/v2/{public}/x/blobs/uploads/"))["error"] == "insufficient_scope"
        assert challenge_of(plain.get(f"/v2/{workspace.project}/x/manifests/v1"))["error"] == "insufficient_scope"
        # As in Harbor, it is no log-in.
        assert challenge_of(plain.get("/v2/"))["error"] == "insufficient_scope"

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "scope=",
            "scope=repository",
            "scope=repository:",
            "scope=repository:{project}/x",
            "scope=repository:{project}/x:",
            "scope=repository:{project}/x:destroy,PULL",
            "scope=repository:{project}/../x:pull",
            "scope=repository:{project}/%2e%2e/x:pull",
            "scope=repository:{project}/x%00:pull",
            "scope=repository:{project}:pull",
            "scope=repository:x:pull",
            "scope=repository:/x:pull",
            "scope=repository:nothing/x:pull,push",
            "scope=project:{project}:*",
            "scope=registry:catalog:*",
            "scope=:::::",
            "scope=%F0%9F%92%A9:%F0%9F%92%A9:pull",
            "scope=%00",
            "scope=" + "x" * 9000,
            "scope=repository:" + "x/" * 3000 + "x:pull",
        ],
    )
    def test_what_is_not_understood_or_not_allowed_is_not_granted(
        self, plain: httpx.Client, workspace: Workspace, query: str
    ) -> None:
        answer = plain.get(f"{TOKEN}?{query.format(project=workspace.project)}", auth=workspace.maintainer.basic)
        assert answer.status_code == 200, answer.text
        assert granted_by(answer.json()["token"]) == {}

    @pytest.mark.parametrize(
        "query",
        [
            "service=another",
            "service=HARBOR-REGISTRY",
            "scope=%ff",
            "&".join(f"scope=repository:p/x{n}:pull" for n in range(101)),
            "&".join(f"scope=repository:PROJECT/{'y' * 120}{n}:pull,push,delete" for n in range(80)),
        ],
    )
    def test_what_cannot_be_answered_rightly_is_400(
        self, plain: httpx.Client, workspace: Workspace, query: str
    ) -> None:
        answer = plain.get(f"{TOKEN}?{query.replace('PROJECT', workspace.project)}", auth=workspace.maintainer.basic)
        assert answer.status_code == 400

    @pytest.mark.parametrize("name", ["maintainer", "nobody", "robot$nothing+at-all", "", "ü", "a" * 3000, "a\0b"])
    def test_wrong_credentials_are_401_without_saying_which_half(
        self, plain: httpx.Client, workspace: Workspace, name: str
    ) -> None:
        username = workspace.maintainer.name if name == "maintainer" else name
        answer = plain.get(TOKEN, auth=(username, "Wrong-Secret1"))
        assert (answer.status_code, error_code(answer)) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        message = answer.json()["errors"][0]["message"]
        others = {"": "the Basic credentials have no name; log in again", "a\0b": "the Basic credentials are malformed"}
        assert message == others.get(name, "wrong name or password")

    def test_a_bearer_that_does_not_count_is_nobody_s_token(self, plain: httpx.Client, workspace: Workspace) -> None:
        registry_token = token_for(workspace.http_url, workspace.maintainer)
        for bearer in ("nonsense", registry_token):
            answer = plain.get(TOKEN, headers={"Authorization": f"Bearer {bearer}"})
            assert (answer.status_code, error_code(answer)) == (401, "UNAUTHORIZED")

    @pytest.mark.parametrize("who", ["maintainer", "robot"])
    def test_the_form_of_oauth2_is_taken_too(self, plain: httpx.Client, workspace: Workspace, who: str) -> None:
        # containerd sends it first, and asks again by GET where it is refused.
        login: Login = getattr(workspace, who)
        scope = f"repository:{workspace.project}/x:pull repository:nothing/x:pull"
        form = {"grant_type": "password", "username": login.name, "password": login.secret, "scope": scope}
        answer = plain.post(TOKEN, data={**form, "service": "harbor-registry", "client_id": "containerd-client"})
        document = answer.json()
        assert document["scope"] == f"repository:{workspace.project}/x:pull"
        assert granted_by(document["access_token"]) == {f"{workspace.project}/x": ["pull"]}
        assert plain.post(TOKEN, data={**form, "password": "Wrong-Secret1"}).status_code == 401
        assert plain.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": "x"}).status_code == 400

    @pytest.mark.parametrize("path", ["/service/tokens", "/service//token", "/service/%74oken", "/Service/Token"])
    def test_only_its_own_path_is_the_token_service(self, plain: httpx.Client, path: str) -> None:
        assert plain.get(path).status_code == 404


class TestCredentialsOnV2:
    def test_basic_alone_pushes_and_pulls(self, plain: httpx.Client, workspace: Workspace) -> None:
        plain.auth = httpx.BasicAuth(*workspace.robot.basic)
        path = f"/v2/{workspace.project}/by-basic"
        assert plain.get("/v2/").json() == {}
        location = plain.post(f"{path}/blobs/uploads/").headers["Location"]
        location = plain.patch(location, content=EMPTY_CONFIG).headers["Location"]
        closed = plain.put(f"{location}&digest={digest_of(EMPTY_CONFIG)}")
        assert closed.status_code == 201, closed.text
        manifest = dumped(Repository("", "", "", plain).manifest())
        put = plain.put(f"{path}/manifests/v1", content=manifest, headers={"Content-Type": OCI_MANIFEST})
        assert put.status_code == 201, put.text
        assert plain.get(f"{path}/manifests/v1").content == manifest
        assert plain.get(f"{path}/blobs/{digest_of(EMPTY_CONFIG)}").content == EMPTY_CONFIG
        assert plain.get(f"{path}/tags/list").json()["tags"] == ["v1"]
        mounted = plain.post(
            f"{path}2/blobs/uploads/?mount={digest_of(EMPTY_CONFIG)}&from={workspace.project}/by-basic"
        )
        assert mounted.status_code == 201
        assert plain.delete(f"{path}/manifests/v1").status_code == 202

    def test_basic_may_no_more_than_its_owner(self, plain: httpx.Client, workspace: Workspace) -> None:
        path = f"/v2/{workspace.project}/by-basic"
        assert plain.get(f"{path}/manifests/none", auth=workspace.guest.basic).status_code == 404
        refused = plain.post(f"{path}/blobs/uploads/", auth=workspace.guest.basic)
        assert challenge_of(refused)["scope"] == f"repository:{workspace.project}/by-basic:pull,push"
        assert challenge_of(plain.get(f"{path}/manifests/none", auth=workspace.outsider.basic))

    @pytest.mark.parametrize(
        "values",
        [
            ["Basic"],
            ["Basic !!!!"],
            ["Basic " + base64.b64encode(b"no colon").decode()],
            ["Basic " + base64.b64encode(b":no name").decode()],
            ["Basic " + base64.b64encode(b"latin:\xe9").decode()],
            ["Basic " + base64.b64encode(b"a\0b:c").decode()],
            ["Basic " + base64.b64encode(b"nobody:wrong").decode()],
            ["Basic " + "A" * 30_000],
            ["Bearer"],
            ["Bearer a b"],
            ["Bearer \xe9"],
            ["Bearer " + "a" * 17_000],
            ["Bearer a.b.c"],
            ["Bearer ...."],
            ["Bearer " + base64.b64encode(b'{"alg":"none"}').decode() + ".e30."],
            ["Negotiate x"],
            ["nonsense"],
            [""],
            ["Bearer a.b.c", "Basic eDp5"],
            ["Bearer a.b.c", "Bearer a.b.c"],
        ],
    )
    def test_credentials_that_are_none_are_401_with_a_challenge(self, workspace: Workspace, values: list[str]) -> None:
        for path in ("/v2/", f"/v2/{workspace.project}/app/tags/list"):
            with RawConnection(workspace.host) as connection:
                answer = connection.request("GET", path, [("Authorization", value) for value in values])
            assert answer.status in {401, 431}
            if answer.status == 401:
                assert answer.headers["www-authenticate"].startswith('Bearer realm="http://registry/')
                assert answer.code == "UNAUTHORIZED"

    def test_a_push_goes_on_to_its_last_blob_when_its_token_has_ended(
        self, repository: Repository, installation: Installation
    ) -> None:
        def signed_again(service: str, token: str, **changes: int) -> str:
            key = keys.load(installation.data_dir / "keys" / f"{service}.pem")
            headers = {"typ": jwt.get_unverified_header(token)["typ"], "kid": key.kid}
            claims = claims_of(token) | {"nbf": 0, "jti": "again"} | changes
            return jwt.encode(claims, key.private_key, "ES256", headers=headers)

        hour_ago = int(time.time()) - 3600
        path, _, ticket = repository.begin().partition("?_state=")
        location = f"{path}?_state={signed_again('blobsvc', ticket, iat=hour_ago - 600)}"
        fresh, repository.token = (
            repository.token,
            signed_again("authsvc", repository.token, iat=hour_ago - 1800, exp=hour_ago),
        )
        for body in (EMPTY_CONFIG[:1], EMPTY_CONFIG[1:]):
            location = repository.http.patch(location, content=body).headers["Location"]
        closed = repository.http.put(f"{location}&digest={digest_of(EMPTY_CONFIG)}")
        assert closed.status_code == 201, closed.text
        manifest = dumped(repository.manifest())
        for refused in (repository.put("v1", manifest), repository.http.post(f"{repository.path}/blobs/uploads/")):
            assert challenge_of(refused)["error"] == "invalid_token"
        repository.token = fresh
        assert repository.put("v1", manifest).status_code == 201

    def test_what_was_taken_away_is_not_in_the_next_token(
        self, management: Management, workspace: Workspace, plain: httpx.Client
    ) -> None:
        project, login = management.create_project(), management.create_user()
        management.add_member(project, login, 2)
        scope = f"repository:{project}/x:pull,push"
        assert granted_by(token_for(workspace.http_url, login, scope)) == {f"{project}/x": ["pull", "push"]}
        [member] = management.client.get(f"/projects/{project}/members?entityname={login.name}").json()
        management.client.delete(f"/projects/{project}/members/{member['id']}")
        assert granted_by(token_for(workspace.http_url, login, scope)) == {}
        assert challenge_of(plain.get(f"/v2/{project}/x/tags/list", auth=login.basic))


class TestNames:
    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_a_name_without_a_project_says_what_is_missing(self, repository: Repository, method: str) -> None:
        answer = repository.http.request(method, "/v2/nginx/manifests/latest")
        assert (answer.status_code, error_code(answer)) == (400, "NAME_INVALID")
        assert "<project>/<name>" in answer.json()["errors"][0]["message"]

    def test_a_project_that_is_not_there_answers_as_one_that_is_closed(
        self, plain: httpx.Client, management: Management, workspace: Workspace
    ) -> None:
        closed = management.create_project()
        messages = []
        for project in (closed, "nothing"):
            scope = f"repository:{project}/x:pull,push"
            token = token_for(workspace.http_url, workspace.outsider, scope)
            assert granted_by(token) == {}
            answer = plain.post(f"/v2/{project}/x/blobs/uploads/", headers={"Authorization": f"Bearer {token}"})
            assert challenge_of(answer)["error"] == "insufficient_scope"
            messages.append(answer.json()["errors"][0]["message"].replace(project, "PROJECT"))
        assert messages[0] == messages[1]
        assert "does not exist" in messages[0]


class TestTheCatalog:
    def test_administrators_read_it_in_pages_and_nobody_else_at_all(
        self, plain: httpx.Client, management: Management, workspace: Workspace, make_repository: MakeRepository
    ) -> None:
        made = [make_repository() for _ in range(3)]
        for each in made:
            each.push_blob(EMPTY_CONFIG)
        for login in (None, workspace.maintainer, workspace.outsider):
            token = token_for(workspace.http_url, login, "registry:catalog:*")
            answer = plain.get("/v2/_catalog", headers={"Authorization": f"Bearer {token}"})
            assert challenge_of(answer)["scope"] == "registry:catalog:*"
        token = token_for(workspace.http_url, management.admin, "registry:catalog:*")
        plain.headers["Authorization"] = f"Bearer {token}"
        found: list[str] = []
        following = "/v2/_catalog?n=2"
        while following:
            answer = plain.get(following)
            found += answer.json()["repositories"]
            assert len(answer.json()["repositories"]) <= 2
            match = re.fullmatch(r'<(/v2/_catalog\?[^>]+)>; rel="next"', answer.headers.get("Link", ""))
            following = match[1] if match else ""
        assert found == sorted(set(found))
        assert {each.name for each in made} <= set(found)
        assert plain.get("/v2/_catalog?n=0").json() == {"repositories": []}
        assert plain.get("/v2/_catalog?n=x").status_code == 400
        assert plain.get("/v2/_catalog?last=zzz").json() == {"repositories": []}


def test_a_client_that_was_refused_goes_on_over_the_same_connection(workspace: Workspace) -> None:
    token = token_for(workspace.http_url, workspace.guest)
    with RawConnection(workspace.host) as connection:
        for authorization, status in (("Basic eDp5", 401), (f"Bearer {token}", 200), ("Bearer x", 401)):
            connection.send(head_of("GET", "/v2/", {"Authorization": authorization}))
            assert connection.read().status == status

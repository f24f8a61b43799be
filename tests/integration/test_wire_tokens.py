"""Challenges, tokens and credentials over the wire."""

import base64
import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from svckit import keys
from tests.harness.images import OCI_MANIFEST, digest_of
from tests.harness.installation import Installation
from tests.harness.raw_http import RawConnection, head_of
from tests.harness.repository import EMPTY_CONFIG, NO_TLS, MakeRepository, Repository, error_code, token_for
from tests.harness.second_gateway import second_gateway
from tests.harness.workspace import Login, Management, Workspace

pytestmark = pytest.mark.usefixtures("no_errors_logged")

TOKEN = "/service/token"
ZEROS = "sha256:" + "0" * 64


@pytest.fixture
def plain(workspace: Workspace) -> Iterator[httpx.Client]:
    """Somebody who has not logged in."""
    with httpx.Client(base_url=workspace.http_url, timeout=30, verify=NO_TLS, trust_env=False) as client:
        yield client


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 401, answer.text
    scheme, _, parameters = answer.headers["WWW-Authenticate"].partition(" ")
    assert scheme == "Bearer"
    found = re.findall(r'(\w+)="([^"]*)"', parameters)
    # Each of them quoted, and nothing else.
    assert ",".join(f'{name}="{value}"' for name, value in found) == parameters
    return dict(found)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def granted(token: str) -> dict[str, Sequence[str]]:
    return {each["name"]: each["actions"] for each in claims_of(token)["access"]}


class TestChallenges:
    @pytest.mark.parametrize("path", ["/v2/", "/v2"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_the_base_asks_for_a_token_without_saying_what_for(
        self, plain: httpx.Client, workspace: Workspace, method: str, path: str
    ) -> None:
        answer = plain.request(method, path)
        realm = f"http://{workspace.host}{TOKEN}"
        assert challenge_of(answer) == {"realm": realm, "service": "harbor-registry"}
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"

    @pytest.mark.parametrize(
        ("method", "path", "actions"),
        [
            ("GET", "manifests/v1", "pull"),
            ("HEAD", "manifests/v1", "pull"),
            ("PUT", "manifests/v1", "pull,push"),
            ("DELETE", "manifests/v1", "delete"),
            ("GET", f"blobs/{ZEROS}", "pull"),
            ("HEAD", f"blobs/{ZEROS}", "pull"),
            ("DELETE", f"blobs/{ZEROS}", "delete"),
            ("GET", "tags/list", "pull"),
            ("GET", f"referrers/{ZEROS}", "pull"),
            ("POST", "blobs/uploads/", "pull,push"),
            ("GET", f"blobs/uploads/{'0' * 32}", "pull,push"),
            ("HEAD", f"blobs/uploads/{'0' * 32}", "pull,push"),
            ("PATCH", f"blobs/uploads/{'0' * 32}", "pull,push"),
            ("PUT", f"blobs/uploads/{'0' * 32}?digest={ZEROS}", "pull,push"),
            ("DELETE", f"blobs/uploads/{'0' * 32}", "pull,push"),
        ],
    )
    def test_a_path_says_which_scope_it_needs_and_a_token_without_it_hears_that(
        self, plain: httpx.Client, workspace: Workspace, method: str, path: str, actions: str
    ) -> None:
        scope = f"repository:{workspace.project}/app:{actions}"
        url = f"/v2/{workspace.project}/app/{path}"
        first = challenge_of(plain.request(method, url))
        assert (first["scope"], first.get("error")) == (scope, None)
        if "uploads/0" in path:
            # There the ticket is the right, and the session is what is not known.
            return
        token = token_for(workspace.http_url, workspace.guest, f"repository:{workspace.project}/other:pull")
        refused = challenge_of(plain.request(method, url, headers={"Authorization": f"Bearer {token}"}))
        assert (refused["scope"], refused["error"]) == (scope, "insufficient_scope")

    @pytest.mark.parametrize(
        "host",
        [
            "registry.example.com",
            "registry.example.com:8443",
            "REGISTRY.example.com",
            "a_b.example",
            "10.0.0.1:5000",
            "localhost",
            "[::1]",
            "[::1]:5000",
            "[2001:db8::1]:443",
            "[::ffff:10.0.0.1]:5000",
        ],
    )
    def test_the_realm_is_where_the_client_came(self, workspace: Workspace, host: str) -> None:
        head = f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n"
        with RawConnection(workspace.host) as connection:
            connection.send(head)
            assert f'realm="http://{host}{TOKEN}"' in connection.read().headers["www-authenticate"]

    @pytest.mark.parametrize(
        "host",
        [
            "",
            'evil"host',
            "a b",
            "a,b",
            "a\\b",
            "user@host",
            "host/path",
            "host?x",
            "-h",
            "[::1",
            "::1",
            "[x]",
            "h:port",
        ],
    )
    def test_a_host_that_is_none_gets_into_no_realm(self, workspace: Workspace, host: str) -> None:
        with RawConnection(workspace.host) as connection:
            connection.send(f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n")
            answer = connection.read()
        assert answer.status in {400, 401}
        if answer.status == 401:
            assert answer.headers["www-authenticate"] == f'Bearer realm="{TOKEN}",service="harbor-registry"'

    def test_who_names_no_host_or_two_is_told_of_none(self, workspace: Workspace) -> None:
        for request, status in (
            ("GET /v2/ HTTP/1.0\r\n\r\n", 401),
            ("GET /v2/ HTTP/1.1\r\n\r\n", 400),
            ("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ):
            with RawConnection(workspace.host) as connection:
                connection.send(request)
                answer = connection.read()
            assert answer.status == status
            assert status == 400 or answer.headers["www-authenticate"].startswith(f'Bearer realm="{TOKEN}"')

    def test_an_absolute_target_is_read_as_its_path(self, workspace: Workspace) -> None:
        with RawConnection(workspace.host) as connection:
            connection.send("GET http://other.example/v2/ HTTP/1.1\r\nHost: registry\r\n\r\n")
            assert f'realm="http://registry{TOKEN}"' in connection.read().headers["www-authenticate"]

    def test_what_a_client_says_of_itself_in_a_proxy_s_name_does_not_count(self, plain: httpx.Client) -> None:
        forwarded = {
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "10.0.0.1",
            "Forwarded": "host=evil.example;proto=https",
            "X-Original-URL": "/v2/library/x/tags/list",
        }
        challenge = challenge_of(plain.get("/v2/", headers=forwarded))
        assert challenge["realm"] == f"{plain.base_url.copy_with(path=TOKEN)}"
        assert "scope" not in challenge


class TestBehindAProxy:
    """A gateway that trusts 127.0.0.2, and listens on IPv6."""

    @pytest.fixture(scope="class")
    @staticmethod
    def listening(installation: Installation) -> Iterator[list[str]]:
        with second_gateway(installation, "127.0.0.1", "[::1]", trusted_proxies='["127.0.0.2/32"]') as hosts:
            yield hosts

    @pytest.fixture
    def trusting(self, listening: list[str]) -> str:
        return listening[0]

    def realm(self, host: str, local_host: str | None, **headers: str) -> str:
        with RawConnection(host, local_host=local_host) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = connection.request("GET", "/v2/", named)
        return answer.headers["www-authenticate"].partition('"')[2].partition('"')[0]

    @pytest.mark.parametrize(
        ("headers", "realm"),
        [
            ({"X_Forwarded_Proto": "https", "X_Forwarded_Host": "hub.example:8443"}, "https://hub.example:8443"),
            ({"X_Forwarded_Proto": "https", "X_Forwarded_Host": "[2001:db8::7]"}, "https://[2001:db8::7]"),
            ({"X_Forwarded_Proto": "https"}, "https://registry"),
            # Each proxy appends; what stands before the last is whatever the client wrote.
            ({"X_Forwarded_Host": "evil.example, hub.example"}, "http://hub.example"),
            ({"X_Forwarded_Proto": "http, https"}, "https://registry"),
            ({"X_Forwarded_Proto": "gopher"}, "http://registry"),
            ({"X_Forwarded_Host": 'evil"host'}, ""),
            ({}, "http://registry"),
        ],
    )
    def test_the_proxy_is_believed_and_nobody_else(self, trusting: str, headers: dict[str, str], realm: str) -> None:
        assert self.realm(trusting, "127.0.0.2", **headers) == f"{realm}{TOKEN}"
        assert self.realm(trusting, "127.0.0.3", **headers) == f"http://registry{TOKEN}"

    def test_an_external_url_is_the_realm_whatever_a_client_says(self, installation: Installation) -> None:
        settings = {"external_url": "https://hub.example", "token_service": "hub"}
        with second_gateway(installation, "127.0.0.1", **settings) as (host,), RawConnection(host) as connection:
            answer = connection.request("GET", "/v2/", {"X-Forwarded-Host": "evil.example"})
        expected = f'Bearer realm="https://hub.example{TOKEN}",service="hub"'
        assert answer.headers["www-authenticate"] == expected

    def test_over_ipv6_the_realm_is_in_brackets(self, listening: list[str]) -> None:
        answer = httpx.get(f"http://{listening[1]}/v2/", verify=NO_TLS, trust_env=False)
        assert listening[1].startswith("[::1]:")
        assert challenge_of(answer)["realm"] == f"http://{listening[1]}{TOKEN}"

    def test_who_guesses_waits_and_the_owner_does_not(self, trusting: str, management: Management) -> None:
        victim = management.create_user()

        def log_in(secret: str, local_host: str, forwarded: str) -> tuple[int, float, str]:
            authorization = "Basic " + base64.b64encode(f"{victim.name}:{secret}".encode()).decode()
            began = time.monotonic()
            with RawConnection(trusting, local_host=local_host) as connection:
                headers = {"Authorization": authorization, "X-Forwarded-For": forwarded}
                answer = connection.request("GET", TOKEN, headers)
            return answer.status, time.monotonic() - began, answer.headers.get("retry-after", "")

        # The guesser names another address each time, which only the proxy may do.
        waits = [log_in("Wrong1234", "127.0.0.4", f"10.9.9.{number}") for number in range(4)]
        assert [status for status, _, _ in waits] == [401] * 4
        assert waits[3][1] > 0.4
        with ThreadPoolExecutor(16) as pool:
            tries = [pool.submit(log_in, "Wrong1234", "127.0.0.4", f"10.9.8.{number}") for number in range(16)]
            owner = log_in(victim.secret, "127.0.0.2", "10.1.1.1")
            answers = [each.result() for each in tries]
        assert owner[0] == 200
        assert {status for status, _, _ in answers} == {401, 429}
        assert all(retry_after for status, _, retry_after in answers if status == 429)


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
        assert granted(document["token"]) == {f"{workspace.project}/a": ["pull"], f"{workspace.project}/b": ["pull"]}
        head = jwt.get_unverified_header(document["token"])
        assert (head["alg"], head["typ"]) == ("ES256", "registry+jwt")

    def test_scopes_may_repeat_share_a_parameter_and_overlap(self, workspace: Workspace) -> None:
        name = f"{workspace.project}/a"
        scopes = (f"repository:{name}:pull", f"repository:{name}:push repository:{name}/b:pull", f"repository:{name}:*")
        found = granted(token_for(workspace.http_url, workspace.maintainer, *scopes))
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
        assert granted(token) == {f"{public}/x": ["pull"]}
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
        assert granted(answer.json()["token"]) == {}

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
        assert message in {"wrong name or password", "the Basic credentials are malformed"}

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
        assert granted(document["access_token"]) == {f"{workspace.project}/x": ["pull"]}
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
        manifest = json.dumps(Repository("", "", "", plain).manifest()).encode()
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
        key = keys.load(installation.data_dir / "keys" / "authsvc.pem")
        ended = claims_of(repository.token) | {"exp": int(time.time()) - 3600, "nbf": 0, "iat": 0, "jti": "ended"}
        headers = {"typ": "registry+jwt", "kid": key.kid}
        location = repository.begin()
        fresh, repository.token = repository.token, jwt.encode(ended, key.private_key, "ES256", headers=headers)
        for body in (EMPTY_CONFIG[:1], EMPTY_CONFIG[1:]):
            location = repository.http.patch(location, content=body).headers["Location"]
        closed = repository.http.put(f"{location}&digest={digest_of(EMPTY_CONFIG)}")
        assert closed.status_code == 201, closed.text
        manifest = json.dumps(repository.manifest()).encode()
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
        assert granted(token_for(workspace.http_url, login, scope)) == {f"{project}/x": ["pull", "push"]}
        [member] = management.client.get(f"/projects/{project}/members?entityname={login.name}").json()
        management.client.delete(f"/projects/{project}/members/{member['id']}")
        assert granted(token_for(workspace.http_url, login, scope)) == {}
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
            assert granted(token) == {}
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

"""Challenges over the wire: where to get a token, what for, and whose word for it counts."""

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.harness import plain_http
from tests.harness.installation import Installation, on_both_servers
from tests.harness.raw_http import RawConnection
from tests.harness.repository import challenge_of, token_for
from tests.harness.second_gateway import second_gateway
from tests.harness.workspace import Management, Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

TOKEN = "/service/token"
ZEROS = "sha256:" + "0" * 64


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
            # Without a ticket, the session is not known.
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

    def test_an_absolute_target_names_path_and_host(self, installation: Installation, workspace: Workspace) -> None:
        # RFC 9112 §3.2.2: the Host header is ignored. Granian does not tell the host of such a target.
        host = "registry" if installation.server == "granian" else "other.example"
        with RawConnection(workspace.host) as connection:
            connection.send("GET http://other.example/v2/ HTTP/1.1\r\nHost: registry\r\n\r\n")
            assert f'realm="http://{host}{TOKEN}"' in connection.read().headers["www-authenticate"]

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
    def listening(installation: Installation) -> Iterator[tuple[str, ...]]:
        with second_gateway(installation, "127.0.0.1", "[::1]", trusted_proxies='["127.0.0.2/32"]') as second:
            yield second.addresses

    @pytest.fixture
    def trusting(self, listening: tuple[str, ...]) -> str:
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
            ({"X_Forwarded_Host": 'evil"host'}, "http://registry"),
            ({"Forwarded": 'for="[2001:db8::7]:4711";proto=https;host="hub.example:8443"'}, "https://hub.example:8443"),
            ({}, "http://registry"),
        ],
    )
    def test_the_proxy_is_believed_and_nobody_else(self, trusting: str, headers: dict[str, str], realm: str) -> None:
        assert self.realm(trusting, "127.0.0.2", **headers) == f"{realm}{TOKEN}"
        assert self.realm(trusting, "127.0.0.3", **headers) == f"http://registry{TOKEN}"

    def test_an_external_url_is_the_realm_whatever_a_client_says(self, installation: Installation) -> None:
        with (
            second_gateway(
                installation, "127.0.0.1", external_url="https://hub.example", token_service="hub"
            ) as second,
            RawConnection(second.addresses[0]) as connection,
        ):
            answer = connection.request("GET", "/v2/", {"X-Forwarded-Host": "evil.example"})
        expected = f'Bearer realm="https://hub.example{TOKEN}",service="hub"'
        assert answer.headers["www-authenticate"] == expected

    def test_over_ipv6_the_realm_is_in_brackets(self, listening: tuple[str, ...]) -> None:
        answer = plain_http.get(f"http://{listening[1]}/v2/")
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

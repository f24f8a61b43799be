"""The conventions of /api/v2.0, as Harbor's clients rely on them, and requests that are none."""

import base64
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.harness.installation import on_both_servers
from tests.harness.plain_http import NO_TLS
from tests.harness.raw_http import RawConnection
from tests.harness.repository import EMPTY_CONFIG, MakeRepository, error_code, refuse_fault
from tests.harness.workspace import Login, Management, Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

API = "/api/v2.0"
# The codes that Harbor's clients know (its lib/errors).
CODES = {
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "CONFLICT",
    "BAD_REQUEST",
    "PRECONDITION",
    "METHOD_NOT_ALLOWED",
    "DIGEST_INVALID",
    "DENIED",
    "UNKNOWN",
}


@pytest.fixture
def api(workspace: Workspace, management: Management) -> Iterator[httpx.Client]:
    """An administrator; fails on a status of 500 or more."""

    def check(answer: httpx.Response) -> None:
        refuse_fault(answer.status_code, f"{answer.request.method} {answer.request.url}")

    with httpx.Client(
        base_url=f"{workspace.http_url}{API}",
        auth=management.admin.basic,
        timeout=30,
        verify=NO_TLS,
        trust_env=False,
        event_hooks={"response": [check]},
    ) as client:
        yield client


@pytest.fixture(scope="module")
def projects(management: Management) -> list[str]:
    """Names of projects, sorted, that share their beginning with no others."""
    made = []
    for number in range(5):
        name = f"wire{management.create_project()}-{number}"
        answer = management.client.post("/projects", json={"project_name": name, "metadata": {"public": "true"}})
        assert answer.status_code == 201
        made.append(name)
    return sorted(made)


def linked(answer: httpx.Response, relation: str) -> str | None:
    match = re.search(rf'<([^>]+)>; rel="{relation}"', answer.headers.get("Link", ""))
    return match[1].removeprefix(API) if match else None


def called(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()]


class TestPaging:
    def test_ten_come_without_asking_and_the_total_is_said(self, api: httpx.Client, projects: list[str]) -> None:
        for _ in range(8):
            projects_total = int(api.get("/projects").headers["X-Total-Count"])
            if projects_total > 10:
                break
            api.post("/projects", json={"project_name": f"more{projects_total}", "metadata": {"public": "true"}})
        answer = api.get("/projects")
        assert len(answer.json()) == 10
        assert int(answer.headers["X-Total-Count"]) > 10
        assert linked(answer, "next") == "/projects?page=2&page_size=10"
        assert linked(answer, "prev") is None

    @pytest.mark.parametrize("size", [1, 2, 5, 100])
    def test_the_links_lead_there_and_back(self, api: httpx.Client, projects: list[str], size: int) -> None:
        answer = api.get(f"/projects?q=name=~wire&sort=name&page_size={size}")
        pages = [called(answer)]
        while following := linked(answer, "next"):
            answer = api.get(following)
            pages.append(called(answer))
            assert answer.headers["X-Total-Count"] == str(len(projects))
        assert [name for page in pages for name in page] == projects
        for page in reversed(pages[:-1]):
            back = linked(answer, "prev")
            assert back
            answer = api.get(back)
            assert called(answer) == page
        assert linked(answer, "prev") is None

    @pytest.mark.parametrize(
        "query",
        [
            *("page=0", "page=-1", "page=x", "page=1.5", "page=" + "9" * 30),
            *("page_size=0", "page_size=-1", "page_size=101", "page_size=x", "page_size=" + "9" * 30),
            *("page_token=garbage", "page_token=" + "A" * 5000),
        ],
    )
    def test_a_page_that_is_none_is_400(self, api: httpx.Client, query: str) -> None:
        answer = api.get(f"/projects?{query}")
        assert (answer.status_code, error_code(answer)) == (400, "BAD_REQUEST")

    def test_a_page_beyond_the_last_is_empty(self, api: httpx.Client) -> None:
        answer = api.get("/projects?page=2000000&page_size=100")
        assert (answer.status_code, answer.json()) == (200, [])


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "wanted"),
        [
            ("name={0}", [0]),
            ("name=~wire", [0, 1, 2, 3, 4]),
            ("name={{{0} {3}}}", [0, 3]),
            ("name={{{0} nothing}}", [0]),
            ("name=~wire,name=~{1}", [1]),
            ("name=~WIRE%", []),
            ("name=~_", []),
            ("name=~wire'", []),
            ("name=' OR 1=1 --", []),
            ("name=\\", []),
            ("name=\U0001f4a9", []),
        ],
    )
    def test_q_finds_what_it_says(self, api: httpx.Client, projects: list[str], query: str, wanted: list[int]) -> None:
        answer = api.get("/projects", params={"q": query.format(*projects), "sort": "name"})
        assert called(answer) == [projects[number] for number in wanted]
        assert answer.headers["X-Total-Count"] == str(len(wanted))

    def test_a_range_of_numbers_is_found(self, api: httpx.Client, projects: list[str]) -> None:
        ids = [api.get(f"/projects/{name}").json()["project_id"] for name in projects]
        first, last = min(ids), max(ids)
        found = called(api.get("/projects", params={"q": f"project_id=[{first}~{last}],name=~wire", "page_size": 100}))
        assert sorted(found) == projects

    @pytest.mark.parametrize(
        "query",
        [
            "name",
            "=",
            "=x",
            "nothing=1",
            "name=[a~b",
            "name={a",
            "project_id=x",
            "project_id=[x~y]",
            "name=\0",
            "a=b=c,,",
        ],
    )
    def test_q_that_is_none_is_400_and_says_why_once(self, api: httpx.Client, query: str) -> None:
        answer = api.get("/projects", params={"q": query})
        assert (answer.status_code, error_code(answer)) == (400, "BAD_REQUEST")
        assert answer.json()["errors"][0]["message"].count("q: ") == 1

    @pytest.mark.parametrize(("sort", "reverse"), [("name", False), ("-name", True), ("name,-creation_time", False)])
    def test_sort_orders(self, api: httpx.Client, projects: list[str], sort: str, reverse: bool) -> None:
        found = called(api.get("/projects", params={"q": "name=~wire", "sort": sort}))
        assert found == sorted(projects, reverse=reverse)

    @pytest.mark.parametrize("sort", ["nothing", "-", "name;x", "name desc", "name,nothing", "\0", "(select 1)"])
    def test_sort_that_is_none_is_400(self, api: httpx.Client, sort: str) -> None:
        assert error_code(api.get("/projects", params={"sort": sort})) == "BAD_REQUEST"


class TestNames:
    def test_a_name_of_digits_is_a_name_where_the_header_says_so(
        self, api: httpx.Client, management: Management
    ) -> None:
        named = {"X-Is-Resource-Name": "true"}
        name = str(management.project_id(management.create_project()) + 1_000_000)
        assert api.post("/projects", json={"project_name": name, "metadata": {}}).status_code == 201
        assert api.get(f"/projects/{name}").status_code == 404
        found = api.get(f"/projects/{name}", headers=named).json()
        assert found["name"] == name
        assert api.get(f"/projects/{found['project_id']}").json() == found
        assert api.get(f"/projects/{found['project_id']}", headers=named).status_code == 404
        assert api.delete(f"/projects/{name}", headers=named).status_code == 200

    @pytest.mark.parametrize("encoded", ["a%252Fb%252Fc", "a%2Fb%2Fc", "a%252fb%252fc"])
    def test_a_repository_s_name_is_encoded_once_or_twice(
        self, api: httpx.Client, make_repository: MakeRepository, encoded: str
    ) -> None:
        nested = make_repository(name="a/b/c")
        nested.push_blob(EMPTY_CONFIG)
        assert nested.put("v1", httpx.Request("PUT", "http://x", json=nested.manifest()).content).status_code == 201
        project = nested.name.partition("/")[0]
        path = f"/projects/{project}/repositories/{encoded}"
        assert api.get(path).json()["name"] == nested.name
        assert api.get(f"{path}/artifacts/v1").json()["tags"][0]["name"] == "v1"

    @pytest.mark.parametrize(
        ("path", "statuses"),
        [
            ("/projects/..", {404}),
            ("/projects/%2e%2e", {404}),
            ("/projects/%2e%2e%2fusers", {404}),
            ("/projects/x%00", {400}),
            ("/projects/%ff", {400}),
            ("/projects/%", {400}),
            ("/projects/%F0%9F%92%A9", {400, 404}),
            ("/projects/-1", {404}),
            ("/projects/" + "9" * 30, {404}),
            ("/projects/" + "x" * 5000, {400, 404}),
            ("/projects//", {404}),
            ("//projects", {404}),
            ("/projects/{project}/repositories/a%252F..%252Fb", {400}),
            ("/projects/{project}/repositories/%252e%252e", {400}),
            ("/projects/{project}/repositories/a%25252Fb", {400}),
            ("/projects/{project}/repositories/A", {400}),
            ("/projects/{project}/repositories/" + "x" * 600, {400}),
            ("/projects/{project}/repositories/x/artifacts/sha256:x", {400}),
            ("/projects/{project}/repositories/x/artifacts/..", {400, 404}),
            ("/projects/{project}/repositories/x/artifacts/" + "t" * 200, {400, 404}),
            ("/users/x", {400, 404}),
            ("/users/-1", {400, 404}),
            ("/users/" + "9" * 30, {400, 404}),
            ("/robots/0", {400, 404}),
            ("/nothing", {404}),
            ("/", {404}),
        ],
    )
    def test_a_path_that_is_a_trick_is_refused_in_harbor_s_form(
        self, workspace: Workspace, management: Management, path: str, statuses: set[int]
    ) -> None:
        authorization = "Basic " + base64.b64encode(":".join(management.admin.basic).encode()).decode()
        with RawConnection(workspace.host) as connection:
            target = API + path.replace("{project}", workspace.project)
            answer = connection.request("GET", target, {"Authorization": authorization})
        assert answer.status in statuses
        assert answer.code in CODES


class TestAnswers:
    def test_a_create_says_where_and_an_update_nothing(self, api: httpx.Client, management: Management) -> None:
        name = f"answers{management.create_project()}"
        created = api.post("/projects", json={"project_name": name, "metadata": {"public": "false"}})
        assert (created.status_code, created.content) == (201, b"")
        location = created.headers["Location"].removeprefix(API)
        assert api.get(location).json()["name"] == name
        again = api.post("/projects", json={"project_name": name})
        assert (again.status_code, error_code(again)) == (409, "CONFLICT")
        for method, sent in (("PUT", {"metadata": {"public": "true"}}), ("DELETE", None)):
            answer = api.request(method, location, json=sent)
            assert (answer.status_code, answer.content) == (200, b"")
        assert api.get(location).status_code == 404

    def test_head_is_get_without_its_body(self, api: httpx.Client, workspace: Workspace) -> None:
        for path in ("/ping", "/health", "/systeminfo", "/users/current", f"/projects/{workspace.project}", "/nothing"):
            got, head = api.get(path), api.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["Content-Type"] == got.headers["Content-Type"]

    def test_the_id_of_a_request_comes_back_if_it_is_sane(self, api: httpx.Client) -> None:
        for given, same in (("tour-1", True), ("x" * 400, False), ("a b", False)):
            assert (api.get("/ping", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given) == same

    def test_who_may_not_is_401_403_or_404(
        self, api: httpx.Client, workspace: Workspace, management: Management
    ) -> None:
        path = f"/projects/{workspace.project}"
        body = {"metadata": {"public": "true"}}

        def refusal(login: Login | None, method: str = "PUT", at: str = path) -> tuple[int, str]:
            with httpx.Client(base_url=api.base_url, verify=NO_TLS, trust_env=False) as client:
                auth = login.basic if login else None
                answer = client.request(method, at, json=body if method == "PUT" else None, auth=auth)
            # A browser would open its own dialogue.
            assert "WWW-Authenticate" not in answer.headers
            return answer.status_code, error_code(answer)

        assert refusal(None) == (401, "UNAUTHORIZED")
        assert refusal(Login(workspace.guest.name, "Wrong-Secret1")) == (401, "UNAUTHORIZED")
        assert refusal(workspace.guest) == (403, "FORBIDDEN")
        assert refusal(workspace.outsider) == refusal(workspace.outsider, at="/projects/nothing") == (404, "NOT_FOUND")
        assert refusal(workspace.outsider, "GET") == (404, "NOT_FOUND")
        assert refusal(workspace.guest, "GET", "/users/1") == (403, "FORBIDDEN")

    def test_a_method_that_is_not_there_is_405_with_those_that_are(self, api: httpx.Client) -> None:
        for path, allowed in (("/projects", "GET, HEAD, POST"), ("/ping", "GET, HEAD")):
            answer = api.patch(path)
            assert (answer.status_code, error_code(answer)) == (405, "METHOD_NOT_ALLOWED")
            assert answer.headers["Allow"] == allowed

    @pytest.mark.parametrize(
        "values",
        [
            ["Basic"],
            ["Basic !!"],
            ["Bearer"],
            ["Bearer a.b.c"],
            ["Bearer " + "a" * 17_000],
            ["Basic eDp5", "Basic eDp5"],
            [""],
        ],
    )
    def test_credentials_that_are_none_are_401(self, workspace: Workspace, values: list[str]) -> None:
        with RawConnection(workspace.host) as connection:
            headers = [("Authorization", value) for value in values]
            answer = connection.request("GET", f"{API}/users/current", headers)
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"project_name":"x"',
    "a list": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "no UTF-8": b'{"project_name":"\xff"}',
    "NaN": b'{"project_name":"x","storage_limit":NaN}',
    "deep": b'{"project_name":' * 20_000,
    "name a number": b'{"project_name":1}',
    "name a list": b'{"project_name":["x"]}',
    "name empty": b'{"project_name":""}',
    "name with a slash": b'{"project_name":"a/b"}',
    "name in capitals": b'{"project_name":"ABC"}',
    "name of dots": b'{"project_name":".."}',
    "name with a NUL": b'{"project_name":"a\\u0000b"}',
    "name half a pair": b'{"project_name":"\\ud800"}',
    "name endless": b'{"project_name":"' + b"a" * 10_000 + b'"}',
    "limit a text": b'{"project_name":"limits","storage_limit":"much"}',
    "limit enormous": b'{"project_name":"limits","storage_limit":1e400}',
    "limit beyond 64 bits": b'{"project_name":"limits","storage_limit":' + b"9" * 40 + b"}",
    "limit endless": b'{"project_name":"limits","storage_limit":' + b"9" * 5000 + b"}",
    "limit half": b'{"project_name":"limits","storage_limit":1.5}',
    "limit below -1": b'{"project_name":"limits","storage_limit":-2}',
    "metadata a list": b'{"project_name":"limits","metadata":[]}',
    "public a number": b'{"project_name":"limits","metadata":{"public":{"a":1}}}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_none_is_refused_and_makes_nothing(api: httpx.Client, name: str) -> None:
    before = api.get("/projects?page_size=1").headers["X-Total-Count"]
    answer = api.post("/projects", content=BODIES[name], headers={"Content-Type": "application/json"})
    wanted = (422, "UNPROCESSABLE_ENTITY") if BODIES[name] == b"" else (400, "BAD_REQUEST")
    assert (answer.status_code, error_code(answer)) == wanted, answer.text
    assert api.get("/projects?page_size=1").headers["X-Total-Count"] == before


def test_a_body_is_read_to_its_limit_and_only_as_json(api: httpx.Client) -> None:
    large = api.post("/projects", content=b" " * 1_100_000, headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    form = api.post("/projects", data={"project_name": "x"})
    assert form.status_code == 415
    assert api.get("/ping").text == "Pong"


def test_a_field_that_nobody_knows_is_passed_over(api: httpx.Client, management: Management) -> None:
    # Harbor's clients send fields of other versions.
    name = f"unknown{management.create_project()}"
    document: dict[str, Any] = {"project_name": name, "cve_allowlist": {"items": []}, "from_2099": [1, {"a": None}]}
    assert api.post("/projects", json=document).status_code == 201
    assert api.get(f"/projects/{quote(name)}").status_code == 200

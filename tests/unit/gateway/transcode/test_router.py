import pytest

from gateway.transcode.fields import ContractError
from gateway.transcode.router import PathRouter
from gateway.transcode.template import PathTemplate, Variable, fill
from svckit.errors import DomainError

ROUTES = (
    ("GET", "/api/v2.0/users/{user_id}"),
    ("PUT", "/api/v2.0/users/{user_id}"),
    ("GET", "/api/v2.0/users/current"),
    ("GET", "/api/v2.0/users/current/permissions"),
    ("PUT", "/api/v2.0/users/{user_id}/password"),
    ("HEAD", "/api/v2.0/projects"),
    ("GET", "/api/v2.0/projects/{project.name}/repositories/{repository_name}/artifacts/{reference}"),
    ("GET", "/api/v2.0/projects/{project.name}/repositories/{repository_name}"),
)
ARTIFACTS = "/api/v2.0/projects/p/repositories"


@pytest.fixture
def router() -> PathRouter[str]:
    router: PathRouter[str] = PathRouter()
    for method, text in ROUTES:
        router.add(method, PathTemplate.parse(text), f"{method} {text.removeprefix('/api/v2.0')}")
    return router


@pytest.mark.parametrize(
    "method, path, route, variables",
    [
        ("GET", "/api/v2.0/users/7", "GET /users/{user_id}", ["7"]),
        ("GET", "/api/v2.0/users/current", "GET /users/current", []),
        ("GET", "/api/v2.0/users/curr%65nt", "GET /users/current", []),
        ("GET", "/api/v2.0/users/current/permissions", "GET /users/current/permissions", []),
        ("PUT", "/api/v2.0/users/current", "PUT /users/{user_id}", ["current"]),
        ("PUT", "/api/v2.0/users/current/password", "PUT /users/{user_id}/password", ["current"]),
        ("HEAD", "/api/v2.0/projects/", "HEAD /projects", []),
        ("HEAD", "/api/v2.0/users/current", "GET /users/current", []),
    ],
)
def test_literals_go_before_variables_for_the_method_that_is_asked_for(
    router: PathRouter[str], method: str, path: str, route: str, variables: list[str]
) -> None:
    assert router.find(method, path) == (route, variables)


@pytest.mark.parametrize("encoded", ["library%2Fnginx", "library%252Fnginx", "library%2fnginx", "library%252fnginx"])
def test_a_slash_within_a_name_is_encoded_once_or_twice(router: PathRouter[str], encoded: str) -> None:
    route, variables = router.find("GET", f"{ARTIFACTS}/{encoded}/artifacts/sha256:abc")
    assert route.endswith("/artifacts/{reference}")
    assert variables == ["p", "library/nginx", "sha256:abc"]


def test_a_digest_s_colon_may_be_encoded_and_is_no_verb(router: PathRouter[str]) -> None:
    assert router.find("GET", f"{ARTIFACTS}/nginx/artifacts/sha256%3Aabc")[1] == ["p", "nginx", "sha256:abc"]
    assert router.find("GET", f"{ARTIFACTS}/nginx:pull")[1] == ["p", "nginx:pull"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2.0",
        "/api/v2.0/",
        "/api/v2.0/users/7/8",
        "/api/v2.0/users//password",
        "/api/v2.0//users/7",
        "/api/v2.0/projects/p/repositories/library/nginx/artifacts/latest",
        "/api/v2.0/Users/7",
        "/api/v2.0/users%2F7",
    ],
)
def test_what_no_route_serves_is_not_found(router: PathRouter[str], path: str) -> None:
    with pytest.raises(DomainError) as refusal:
        router.find("GET", path)
    assert refusal.value.reason == "NOT_FOUND"


def test_another_method_is_told_which_there_are(router: PathRouter[str]) -> None:
    with pytest.raises(DomainError) as refusal:
        router.find("PATCH", "/api/v2.0/users/current")
    assert refusal.value.reason == "UNSUPPORTED"
    assert refusal.value.metadata == {"allow": "GET, HEAD, PUT"}


@pytest.mark.parametrize("name", ["%", "%zz", "%ff", "a%00b", "a%2500b", "a%0ab", "%25ff"])
def test_a_path_that_cannot_be_decoded_is_refused(router: PathRouter[str], name: str) -> None:
    with pytest.raises(DomainError) as refusal:
        router.find("GET", f"{ARTIFACTS}/{name}")
    assert refusal.value.reason == "BAD_REQUEST"


def test_one_path_and_method_have_one_route() -> None:
    router: PathRouter[str] = PathRouter()
    router.add("GET", PathTemplate.parse("/a/{b}"), "one")
    with pytest.raises(ContractError):
        router.add("GET", PathTemplate.parse("/a/{c}"), "two")


@pytest.mark.parametrize("text", ["a", "/a//b", "/a/{b", "/a/{b=**}", "/a/{b=c/*}", "/a:verb", "/{B}", "/a/"])
def test_templates_beyond_one_segment_for_each_variable_are_refused(text: str) -> None:
    with pytest.raises(ContractError):
        PathTemplate.parse(text)


def test_what_a_location_holds_leads_back_to_the_same_route(router: PathRouter[str]) -> None:
    segments = PathTemplate.parse("/projects/{p}/repositories/{r}/artifacts/{d}").segments
    location = fill(segments, ["10% ä", "a/b", "sha256:0"])
    assert location == "/projects/10%25%20%C3%A4/repositories/a%252Fb/artifacts/sha256:0"
    assert router.find("GET", f"/api/v2.0{location}")[1] == ["10% ä", "a/b", "sha256:0"]


def test_a_template_reads_one_variable_in_each_segment() -> None:
    assert PathTemplate.parse("/a/{b.c}/{d=*}").segments == ("a", Variable("b.c"), Variable("d"))

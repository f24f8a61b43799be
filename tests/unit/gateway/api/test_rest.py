"""What a client of the REST API meets, over stand-ins of the services."""

import re

import pytest

from gateway.routes.api.transcoded import TranscodedRoute
from roadstead.auth.v1 import member_service_pb2, project_service_pb2, robot_service_pb2, user_service_pb2
from roadstead.meta.v1 import artifact_service_pb2, repository_service_pb2, tag_service_pb2
from svckit.errors import error_for
from tests.unit.gateway.api.conftest import Api
from tests.unit.gateway.api.stand_ins import message

BASIC = ("alice", "open sesame")


async def test_a_name_and_its_secret_become_an_identity_token_that_goes_along(api: Api) -> None:
    api.authsvc.replies["UserService.GetCurrentUser"] = message(
        user_service_pb2.GetCurrentUserResponse, user={"id": 7, "username": "alice", "administrator": True}
    )
    answer = await api.http.get(
        "/users/current", auth=BASIC, headers={"X-Forwarded-For": "203.0.113.9", "X-Request-Id": "my-id"}
    )
    assert answer.status_code == 200
    assert answer.json()["sysadmin_flag"] is True
    assert answer.headers["X-Request-Id"] == "my-id"
    assert api.authsvc.last("TokenService.CreateIdentityToken").call.client_address == "203.0.113.9"
    received = api.authsvc.last("UserService.GetCurrentUser")
    assert received.call.principal.name == "alice"
    assert received.call.caller_service == "gateway"
    assert received.call.client_address == "203.0.113.9"
    assert received.metadata["x-request-id"] == "my-id"
    assert received.seconds_left is not None
    # gRPC rounds a time-out up on its way.
    assert received.seconds_left < 6.0


async def test_an_identity_token_is_taken_as_it_comes_and_nobody_needs_one(api: Api) -> None:
    assert (await api.http.get("/users/current", headers=api.alice)).status_code == 200
    assert "TokenService.CreateIdentityToken" not in api.authsvc.received
    assert (await api.http.get("/repositories")).status_code == 200
    assert "authorization" not in api.metasvc.last("RepositoryService.ListAllRepositories").metadata


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Basic YWxpY2U6d3Jvbmc="}, {"Authorization": "Bearer e30.e30.x"}, {"Authorization": "?"}],
)
async def test_wrong_credentials_are_401_in_harbor_s_form_without_a_challenge(
    api: Api, headers: dict[str, str]
) -> None:
    answer = await api.http.get("/repositories", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
    assert "WWW-Authenticate" not in answer.headers


async def test_nobody_is_asked_to_log_in_where_only_somebody_may(api: Api) -> None:
    answer = await api.http.get("/users/current")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")


async def test_a_create_answers_201_with_a_location_and_nothing_else(api: Api) -> None:
    api.authsvc.replies["ProjectService.CreateProject"] = message(
        project_service_pb2.CreateProjectResponse, project={"id": 31}
    )
    answer = await api.http.post(
        "/projects",
        headers=api.alice,
        # As Harbor's clients send it, with what we do not know and what is null.
        json={
            "project_name": "team",
            "public": None,
            "metadata": {"public": "true", "severity": None},
            "storage_limit": -1,
            "cve_allowlist": {"items": []},
            "registry_id": None,
        },
    )
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Location"] == "/api/v2.0/projects/31"
    assert answer.headers["Content-Length"] == "0"
    assert "Content-Type" not in answer.headers
    assert api.authsvc.last("ProjectService.CreateProject").request == message(
        project_service_pb2.CreateProjectRequest,
        name="team",
        metadata={"public": "true"},
        storage_limit_bytes=-1,
        cve_allowlist={},
    )


async def test_a_create_may_answer_what_it_made(api: Api) -> None:
    api.authsvc.replies["RobotService.CreateRobot"] = message(
        robot_service_pb2.CreateRobotResponse,
        robot={"id": 5, "name": "robot$team+ci", "secret": "S", "expire_time_unix_seconds": -1},
    )
    answer = await api.http.post("/robots", headers=api.alice, json={"name": "ci", "duration": -1, "level": "project"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/api/v2.0/robots/5"
    assert answer.json() == {"id": 5, "name": "robot$team+ci", "secret": "S", "expires_at": -1}


async def test_updates_and_deletes_answer_200_and_nothing(api: Api) -> None:
    for method, path in (("PUT", "/users/7"), ("DELETE", "/robots/5"), ("DELETE", "/projects/team")):
        answer = await api.http.request(method, path, headers=api.alice, json={} if method == "PUT" else None)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("encoded", ["sub%2Fapp", "sub%252Fapp"])
async def test_a_repository_s_name_may_hold_slashes_however_often_they_are_encoded(api: Api, encoded: str) -> None:
    digest = f"sha256:{'0' * 64}"
    answer = await api.http.get(
        f"/projects/team/repositories/{encoded}/artifacts/{digest}?with_tag=false", headers=api.alice
    )
    assert answer.status_code == 200
    request = api.metasvc.last("ArtifactService.GetArtifact").request
    assert request == message(
        artifact_service_pb2.GetArtifactRequest,
        project={"name": "team"},
        repository_name="sub/app",
        reference=digest,
        with_tag=False,
    )


async def test_a_location_within_a_repository_leads_there(api: Api) -> None:
    api.metasvc.replies["TagService.CreateTag"] = message(tag_service_pb2.CreateTagResponse, tag={"name": "v1"})
    path = "/projects/team/repositories/sub%252Fapp/artifacts/sha256:00/tags"
    answer = await api.http.post(path, headers=api.alice, json={"name": "v1"})
    assert answer.headers["Location"] == f"/api/v2.0{path}/v1"
    assert (await api.http.delete(f"{path}/v1", headers=api.alice)).status_code == 200
    assert api.metasvc.last("TagService.DeleteTag").request.repository_name == "sub/app"


async def test_a_list_is_a_bare_array_with_its_total_and_its_neighbours(api: Api) -> None:
    api.metasvc.replies["RepositoryService.ListRepositories"] = message(
        repository_service_pb2.ListRepositoriesResponse, repositories=[{"id": 1, "name": "team/app"}], total_size=21
    )
    answer = await api.http.get("/projects/team/repositories?q=name%3D~a&page=2&sort=-name", headers=api.alice)
    assert [row["name"] for row in answer.json()] == ["team/app"]
    assert answer.headers["X-Total-Count"] == "21"
    first, second = answer.headers["Link"].split(" , ")
    at = "/api/v2.0/projects/team/repositories?q=name%3D~a&sort=-name"
    assert first == f'<{at}&page=1&page_size=10>; rel="prev"'
    assert second == f'<{at}&page=3&page_size=10>; rel="next"'
    request = api.metasvc.last("RepositoryService.ListRepositories").request
    assert (request.q, request.sort, request.page, request.page_size) == ("name=~a", "-name", 2, 10)


async def test_a_name_that_looks_like_an_id_is_one_unless_the_header_says_otherwise(api: Api) -> None:
    await api.http.get("/projects/12/members", headers=api.alice)
    assert api.authsvc.last("MemberService.ListMembers").request.project.id == 12
    await api.http.get("/projects/12/members", headers={**api.alice, "X-Is-Resource-Name": "true"})
    assert api.authsvc.last("MemberService.ListMembers").request.project.name == "12"


async def test_one_rpc_may_have_several_paths(api: Api) -> None:
    await api.http.get("/projects/team/robots", headers=api.alice)
    assert api.authsvc.last("RobotService.ListRobots").request.project.name == "team"
    await api.http.get("/robots?q=Level%3Dproject%2CProjectID%3D1", headers=api.alice)
    assert api.authsvc.last("RobotService.ListRobots").request.q == "Level=project,ProjectID=1"


async def test_a_head_that_a_contract_asks_for_is_served(api: Api) -> None:
    answer = await api.http.head("/projects?project_name=team", headers=api.alice)
    assert (answer.status_code, answer.content) == (200, b"")
    assert api.authsvc.last("ProjectService.CheckProjectName").request.project_name == "team"
    api.authsvc.replies["ProjectService.CheckProjectName"] = error_for("PROJECT_UNKNOWN")
    answer = await api.http.head("/projects?project_name=team", headers=api.alice)
    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize(
    "reason, status, code",
    [
        ("PROJECT_UNKNOWN", 404, "NOT_FOUND"),
        ("FORBIDDEN", 403, "FORBIDDEN"),
        ("CONFLICT", 409, "CONFLICT"),
        ("PRECONDITION", 412, "PRECONDITION"),
        ("QUOTA_EXCEEDED", 403, "DENIED"),
        ("BAD_REQUEST", 400, "BAD_REQUEST"),
        ("TOOMANYREQUESTS", 429, "TOO_MANY_REQUEST"),
        ("OVERLOADED", 503, "UNKNOWN"),
    ],
)
async def test_a_refusal_of_a_service_reaches_the_client_in_harbor_s_form(
    api: Api, reason: str, status: int, code: str
) -> None:
    api.authsvc.replies["UserService.UpdateUser"] = error_for(reason, "because of what was said")
    answer = await api.http.put("/users/7", headers=api.alice, json={})
    assert answer.status_code == status
    assert answer.json()["errors"][0]["code"] == code
    assert "because of what was said" in answer.json()["errors"][0]["message"]
    assert ("Retry-After" in answer.headers) == (status in {429, 503})


async def test_a_fault_of_a_service_hides_what_happened(api: Api) -> None:
    api.authsvc.replies["UserService.UpdateUser"] = error_for("INTERNAL", "secret plans")
    answer = await api.http.put("/users/7", headers=api.alice, json={})
    assert (answer.status_code, answer.json()) == (
        500,
        {"errors": [{"code": "UNKNOWN", "message": "internal error"}]},
    )


async def test_a_service_that_is_away_is_503(api: Api) -> None:
    await api.servers["metasvc"].drain(0)
    answer = await api.http.get("/repositories", headers=api.alice)
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "UNKNOWN"
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "body, told",
    [
        (b"{", "is not JSON: EOF while parsing an object at line 1 column 1"),
        (b'{"role_id": 2, "role_id": 1}', 'is not JSON: Detected duplicate key "role_id"'),
        (b"[]", "must be an object"),
        (b'{"role_id": "2"}', "role_id: must be an integer"),
        (b'{"member_user": {"user_id": "x"}}', "member_user.user_id: must be an integer"),
    ],
)
async def test_a_body_that_is_wrong_is_400_and_says_where(api: Api, body: bytes, told: str) -> None:
    answer = await api.http.post(
        "/projects/team/members", headers={**api.alice, "Content-Type": "application/json"}, content=body
    )
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "BAD_REQUEST")
    assert told in answer.json()["errors"][0]["message"]
    assert "MemberService.CreateMember" not in api.authsvc.received


@pytest.mark.parametrize("query", ["page=0", "page_size=101", "page=x", "page_size=0"])
async def test_a_page_that_harbor_does_not_have_is_400(api: Api, query: str) -> None:
    answer = await api.http.get(f"/users?{query}", headers=api.alice)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "BAD_REQUEST")
    assert query.partition("=")[0] in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_foreign_page_could_send_is_refused(api: Api, content_type: str) -> None:
    answer = await api.http.post(
        "/projects", headers={**api.alice, "Content-Type": content_type}, content=b'{"project_name": "x"}'
    )
    assert answer.status_code == 415
    assert "ProjectService.CreateProject" not in api.authsvc.received


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json", None])
async def test_json_may_say_more_of_itself_or_nothing(api: Api, content_type: str | None) -> None:
    headers = dict(api.alice) if content_type is None else {**api.alice, "Content-Type": content_type}
    answer = await api.http.post("/projects", headers=headers, content=b'{"project_name": "x"}')
    assert answer.status_code == 201
    assert api.authsvc.last("ProjectService.CreateProject").request.name == "x"


async def test_a_body_beyond_the_limit_is_413(api: Api) -> None:
    answer = await api.http.post("/projects", headers=api.alice, json={"project_name": "x" * 5000})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "BAD_REQUEST")


async def test_no_operation_but_one_goes_without_its_body(api: Api) -> None:
    (surface,) = (each.handler for each in api.app._surfaces if each.prefix == "/api/v2.0")
    without = set()
    for route in surface.routes:  # type: ignore[attr-defined]
        if isinstance(route, TranscodedRoute) and route.rpc.binder.body_fields:
            path = re.sub(r"\{[^}]+\}", "1", route.path).removeprefix("/api/v2.0")
            answer = await api.http.request(route.method, path, headers=api.alice)
            if answer.status_code != 422 or answer.json()["errors"][0]["code"] != "UNPROCESSABLE_ENTITY":
                without.add((route.method, route.path))
    assert without == {("PATCH", "/api/v2.0/robots/{robot_id}")}


async def test_a_secret_may_be_refreshed_without_a_body(api: Api) -> None:
    api.authsvc.replies["RobotService.RefreshRobotSecret"] = message(
        robot_service_pb2.RefreshRobotSecretResponse, secret={"secret": "new"}
    )
    answer = await api.http.patch("/robots/5", headers=api.alice)
    assert (answer.status_code, answer.json()) == (200, {"secret": "new"})


async def test_what_no_route_serves_is_404_in_harbor_s_form(api: Api) -> None:
    for path in ("/nowhere", "/users/nobody", "/projects/team/repositories/a/b/artifacts", ""):
        answer = await api.http.get(path, headers=api.alice)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NOT_FOUND"), path


async def test_another_method_is_405_and_hears_which_there_are(api: Api) -> None:
    answer = await api.http.patch("/projects/team", headers=api.alice)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, PUT"


async def test_an_update_cannot_be_turned_on_another_project_by_its_body(api: Api) -> None:
    await api.http.put(
        "/projects/mine/members/3", headers=api.alice, json={"project": {"id": 9}, "member_id": 8, "role_id": 2}
    )
    assert api.authsvc.last("MemberService.UpdateMember").request == message(
        member_service_pb2.UpdateMemberRequest, project={"name": "mine"}, member_id=3, role_id=2
    )

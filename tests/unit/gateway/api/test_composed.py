"""What is made of authsvc's and metasvc's answers."""

from google.protobuf.message import Message

from roadstead.auth.v1 import access_service_pb2, member_service_pb2, project_service_pb2
from roadstead.meta.v1 import project_service_pb2 as usage_pb2
from svckit.configuration.values import Configuration
from svckit.errors import error_for
from tests.unit.gateway.api.conftest import Api
from tests.unit.gateway.api.stand_ins import message


async def test_a_page_of_projects_is_counted_in_one_call(api: Api) -> None:
    api.authsvc.replies["ProjectService.ListProjects"] = message(
        project_service_pb2.ListProjectsResponse,
        projects=[{"id": 1, "name": "library"}, {"id": 2, "name": "team"}, {"id": 3, "name": "new"}],
        total_size=14,
    )
    api.metasvc.replies["ProjectService.ListProjectUsages"] = message(
        usage_pb2.ListProjectUsagesResponse,
        usages=[{"project_id": 2, "repository_count": 5}, {"project_id": 1, "repository_count": 9}],
    )
    answer = await api.http.get("/projects?page=2&page_size=3&public=true&with_detail=false", headers=api.alice)
    assert [(project["project_id"], project["repo_count"]) for project in answer.json()] == [(1, 9), (2, 5), (3, 0)]
    assert answer.headers["X-Total-Count"] == "14"
    assert answer.headers["Link"].count("public=true&with_detail=false") == 2
    (counted,) = api.metasvc.received["ProjectService.ListProjectUsages"]
    assert list(counted.request.project_ids) == [1, 2, 3]
    assert counted.call.caller_service == "gateway"


async def test_no_projects_are_not_counted(api: Api) -> None:
    answer = await api.http.get("/projects")
    assert (answer.json(), answer.headers["X-Total-Count"]) == ([], "0")
    assert "ProjectService.ListProjectUsages" not in api.metasvc.received


async def test_one_project_comes_with_its_number_of_repositories(api: Api) -> None:
    api.authsvc.replies["ProjectService.GetProject"] = message(
        project_service_pb2.GetProjectResponse, project={"id": 12, "name": "team", "metadata": {"public": "false"}}
    )
    api.metasvc.replies["ProjectService.ListProjectUsages"] = message(
        usage_pb2.ListProjectUsagesResponse, usages=[{"project_id": 12, "repository_count": 3}]
    )
    answer = await api.http.get("/projects/team", headers={**api.alice, "X-Is-Resource-Name": "true"})
    assert answer.json()["repo_count"] == 3
    assert answer.json()["metadata"] == {"public": "false"}
    assert api.authsvc.last("ProjectService.GetProject").request.project.name == "team"


async def test_a_project_that_may_not_be_seen_is_not_counted(api: Api) -> None:
    api.authsvc.replies["ProjectService.GetProject"] = error_for("PROJECT_UNKNOWN")
    for path in ("/projects/team", "/projects/team/summary"):
        assert (await api.http.get(path, headers=api.alice)).status_code == 404
    assert "ProjectService.ListProjectUsages" not in api.metasvc.received


def summarize(api: Api, *allowed: str) -> None:
    def check(request: access_service_pb2.CheckAccessRequest) -> Message:
        return message(access_service_pb2.CheckAccessResponse, allowed=request.resource in allowed)

    def members(request: member_service_pb2.ListMembersRequest) -> Message:
        if not request.page_token:
            return message(
                member_service_pb2.ListMembersResponse,
                members=[{"role_id": 1}, {"role_id": 2}, {"role_id": 2}],
                next_page_token="more",
            )
        return message(member_service_pb2.ListMembersResponse, members=[{"role_id": 3}, {"role_id": 5}])

    api.authsvc.replies |= {
        "ProjectService.GetProject": message(
            project_service_pb2.GetProjectResponse, project={"id": 12, "initial_storage_limit_bytes": 700}
        ),
        "AccessService.CheckAccess": check,
        "MemberService.ListMembers": members,
    }


async def test_a_summary_counts_members_by_role_and_tells_the_quota(api: Api) -> None:
    summarize(api, "quota", "member")
    api.metasvc.replies["ProjectService.ListProjectUsages"] = message(
        usage_pb2.ListProjectUsagesResponse,
        usages=[{"project_id": 12, "repository_count": 3, "used_bytes": 50, "limit_bytes": -1}],
    )
    answer = await api.http.get("/projects/12/summary", headers=api.alice)
    assert answer.json() == {
        "repo_count": 3,
        "project_admin_count": 1,
        "maintainer_count": 0,
        "developer_count": 2,
        "guest_count": 1,
        "limited_guest_count": 1,
        "quota": {"hard": {"storage": -1}, "used": {"storage": 50}},
    }
    assert api.authsvc.last("ProjectService.GetProject").request.project.id == 12


async def test_a_summary_has_no_quota_while_quotas_are_switched_off(api: Api) -> None:
    summarize(api, "quota")
    assert "quota" in (await api.http.get("/projects/12/summary", headers=api.alice)).json()
    api.configuration.values = Configuration(quota_per_project_enable=False)
    assert "quota" not in (await api.http.get("/projects/12/summary", headers=api.alice)).json()


async def test_a_summary_shows_nothing_that_the_caller_may_not_read(api: Api) -> None:
    summarize(api)
    assert (await api.http.get("/projects/12/summary", headers=api.alice)).json() == {"repo_count": 0}
    assert "MemberService.ListMembers" not in api.authsvc.received


async def test_a_project_that_was_never_pushed_to_has_the_limit_that_it_was_made_with(api: Api) -> None:
    summarize(api, "quota")
    answer = await api.http.get("/projects/12/summary", headers=api.alice)
    assert answer.json()["quota"] == {"hard": {"storage": 700}, "used": {"storage": 0}}

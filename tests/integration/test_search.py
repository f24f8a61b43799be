"""Search and statistics over HTTP: who finds and counts what."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import plain_http
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import GUEST, Login, Management

pytestmark = pytest.mark.usefixtures("no_errors_logged")

Ask = Callable[..., Any]
WORD = f"w{secrets.token_hex(5)}"


@pytest.fixture
def ask(installation: Installation) -> Ask:
    def get(path: str, login: Login | None, status: int = 200, **query: str) -> Any:
        answer = plain_http.get(
            f"{installation.http_url}/api/v2.0{path}", params=query, auth=None if login is None else login.basic
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    return get


@pytest.fixture(scope="module")
def found(installation: Installation, management: Management) -> dict[str, str]:
    """A public and a private project with a repository of the same word, and a private one that has it in its name."""
    projects = {"public": management.create_project(public=True), "private": management.create_project()}
    for project in projects.values():
        push(installation.http_url, management.admin, f"{project}/{WORD}/app", image(71), "v1", "v2")
        push(installation.http_url, management.admin, f"{project}/other", image(72), "v1")
    named = f"p-{WORD}"
    management.client.post("/projects", json={"project_name": named}).raise_for_status()
    return {**projects, "named": named}


def names(result: Any) -> tuple[list[str], list[str]]:
    return [each["name"] for each in result["project"]], [each["repository_name"] for each in result["repository"]]


def test_each_caller_finds_what_they_may_see(ask: Ask, management: Management, found: dict[str, str]) -> None:
    public, private = f"{found['public']}/{WORD}/app", f"{found['private']}/{WORD}/app"
    assert names(ask("/search", None, q=WORD)) == ([], [public])
    member = management.create_user()
    assert names(ask("/search", member, q=WORD)) == ([], [public])
    management.add_member(found["private"], member, GUEST)
    assert names(ask("/search", member, q=WORD)) == ([], sorted([public, private]))
    assert names(ask("/search", management.admin, q=WORD)) == ([found["named"]], sorted([public, private]))
    robot = management.create_robot(found["private"], [{"resource": "repository", "action": "list"}])
    assert names(ask("/search", robot, q=WORD)) == ([], sorted([public, private]))
    blind = management.create_robot(found["private"], [{"resource": "repository", "action": "pull"}])
    assert names(ask("/search", blind, q=WORD)) == ([], [public])


def test_what_is_found_is_shown_as_in_harbor(ask: Ask, management: Management, found: dict[str, str]) -> None:
    project_id = management.project_id(found["private"])
    result = ask("/search", management.admin, q=f"{found['private']}/{WORD.upper()}")
    assert result == {
        "project": [],
        "repository": [
            {
                "project_id": project_id,
                "project_name": found["private"],
                "project_public": False,
                "repository_name": f"{found['private']}/{WORD}/app",
                "pull_count": 0,
                "artifact_count": 1,
            }
        ],
    }
    [project] = ask("/search", management.admin, q=found["public"])["project"]
    assert (project["name"], project["repo_count"]) == (found["public"], 2)
    assert ask("/search", None, q=found["public"])["repository"][0]["project_public"] is True


@pytest.mark.parametrize("text", ["%", "a%b", "a,b", "name=x", "~x", "{a b}", "\\", '"', "a*b", "ä", "a b", "\0"])
def test_what_no_name_has_is_not_found(ask: Ask, management: Management, text: str) -> None:
    assert ask("/search", management.admin, q=text) == {"project": [], "repository": []}


@pytest.mark.parametrize("text", [WORD, "%"], ids=["a name", "no name"])
def test_wrong_credentials_are_refused_whatever_is_searched(installation: Installation, text: str) -> None:
    url = f"{installation.http_url}/api/v2.0/search"
    answer = plain_http.get(url, params={"q": text}, headers={"Authorization": "Bearer a.b.c"})
    assert answer.status_code == 401


def test_an_underscore_stands_for_itself(ask: Ask, management: Management, found: dict[str, str]) -> None:
    assert ask("/search", management.admin, q=f"{WORD[:4]}_{WORD[5:]}")["repository"] == []
    assert found["public"]


def test_without_a_text_it_is_a_bad_request_and_with_an_empty_one_everything(
    ask: Ask, management: Management, found: dict[str, str]
) -> None:
    assert ask("/search", management.admin, 400)["errors"][0]["code"] == "BAD_REQUEST"
    assert ask("/search", management.admin, 400, q="x" * 256)["errors"][0]["code"] == "BAD_REQUEST"
    everything = ask("/search", management.admin, q="")
    assert 0 < len(everything["project"]) <= 100
    assert 0 < len(everything["repository"]) <= 100
    assert found["public"]


def test_statistics_count_what_each_caller_may_see(ask: Ask, management: Management, found: dict[str, str]) -> None:
    ask("/statistics", None, 401)
    member = management.create_user()
    before = ask("/statistics", member)
    assert (before["private_project_count"], before["private_repo_count"]) == (0, 0)
    assert before["public_repo_count"] >= 2
    assert (before["total_project_count"], before["total_repo_count"], before["total_storage_consumption"]) == (0, 0, 0)
    management.add_member(found["private"], member, GUEST)
    management.add_member(found["named"], member, GUEST)
    other = Login(member.name, member.secret)
    after = ask("/statistics", other)
    assert after == {**before, "private_project_count": 2, "private_repo_count": 2}
    everything = ask("/statistics", management.admin)
    assert everything["total_project_count"] == (
        everything["public_project_count"] + everything["private_project_count"]
    )
    assert everything["total_repo_count"] == everything["public_repo_count"] + everything["private_repo_count"]
    assert everything["total_project_count"] >= 3
    assert everything["total_storage_consumption"] > 0
    robot = ask("/statistics", management.create_robot(found["private"]))
    assert robot == {**before, "private_project_count": 0, "private_repo_count": 0}


def test_an_icon_is_what_artifacts_and_accessories_name(
    ask: Ask, management: Management, found: dict[str, str]
) -> None:
    path = f"/projects/{found['public']}/repositories/other/artifacts"
    [artifact] = ask(path, None)
    icon = ask(f"/icons/{artifact['icon']}", None)
    assert set(icon) == {"content-type", "content"}
    assert icon["content-type"] == "image/png"
    for absent in ("latest", f"sha256:{'0' * 64}"):
        assert ask(f"/icons/{absent}", management.admin, 404)["errors"][0]["code"] == "NOT_FOUND"

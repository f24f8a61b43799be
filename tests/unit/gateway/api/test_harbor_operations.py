"""docs/harbor-api.md against the running gateway."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.routes.api.surface import ApiSurface
from gateway.routes.api.transcoded import TranscodedRoute
from roadstead.auth.v1.project_pb2 import Project
from roadstead.auth.v1.project_service_pb2 import GetProjectResponse
from svckit.errors import DomainError
from tests.unit.gateway.api.conftest import Api

TABLE = Path(__file__).parents[4] / "docs" / "harbor-api.md"
SERVED = {"transcoded", "composed", "by hand"}
OURS = {"getOpenApi"}
# What the contracts require.
BODIES = {
    "createProjectMember": {"role_id": 1, "member_user": {"username": "bob"}},
    "createUserGroup": {"group_name": "crew", "group_type": 3},
    "updateUserGroup": {"group_name": "crew"},
    "updateProjectMember": {"role_id": 1},
    "updateQuota": {"hard": {"storage": -1}},
    "addLabel": {"id": 7},
    "CreateImmuRule": {
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "**"}],
        "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
    },
    "CreateLabel": {"name": "stable", "scope": "g"},
    "UpdateLabel": {"name": "stable"},
}
QUERIES = {
    "CopyArtifact": {"from": "library/app:v1"},
    "ListLabels": {"scope": "g"},
    "headProject": {"project_name": "library"},
    "search": {"q": "lib"},
    "searchUserGroups": {"groupname": "a"},
    "searchUsers": {"username": "a"},
}
# Their paths are such of another operation, whose service refuses them (tests/integration/test_additions.py).
REFUSED_BY_ANOTHER = {"getVulnerabilitiesAddition"}
_ROW = re.compile(r"\| (\w+) \| ([A-Z]+) \| `(/[^`]*)` \| ([a-z ]+) \|")


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    served: str

    @property
    def example(self) -> str:
        """Its path with something in place of each variable: the id of alice, who may look at herself."""
        return re.sub(r"\{[^}]+\}", "7", self.path)


def operations() -> list[Operation]:
    return [Operation(*match.groups()) for match in map(_ROW.fullmatch, TABLE.read_text().splitlines()) if match]


@pytest.fixture
def surface(api: Api) -> ApiSurface:
    (surface,) = (each.handler for each in api.app._surfaces if each.prefix == "/api/v2.0")
    assert isinstance(surface, ApiSurface)
    return surface


def served_by(surface: ApiSurface, operation: Operation) -> str:
    """How the route at the operation's path is made; empty where there is none, or another operation's."""
    try:
        route, _ = surface.find(operation.method, f"/api/v2.0{operation.example}")
    except DomainError:
        return ""
    if not isinstance(route, TranscodedRoute):
        composed = route.answer.__module__.startswith("gateway.routes.api.composed.")
        return ("composed" if composed else "by hand") if route.operation.operation_id == operation.name else ""
    if route.operation_id != operation.name:
        return ""
    return "composed" if route.rpc.binding.extras.composed else "transcoded"


def test_the_table_lists_each_of_harbor_s_203_operations_once() -> None:
    listed = operations()
    assert len(listed) == 203
    assert len({operation.name for operation in listed}) == 203
    assert len({(operation.method, operation.path) for operation in listed}) == 203
    assert {operation.served for operation in listed} == SERVED | {"not yet"}


async def test_each_operation_is_served_as_the_table_says(surface: ApiSurface) -> None:
    wrong = {
        operation.name: (operation.served, served_by(surface, operation) or "not yet")
        for operation in operations()
        if operation.served != (served_by(surface, operation) or "not yet")
    }
    assert not wrong


async def test_each_route_that_says_it_is_harbor_s_is_in_the_table_under_its_path(surface: ApiSurface) -> None:
    listed = {operation.name: operation for operation in operations()}
    for route in surface.routes:
        name = route.operation_id if isinstance(route, TranscodedRoute) else route.operation.operation_id
        if name and name not in OURS:
            blank = re.sub(r"\{[^}]+\}", "{}", route.path)
            assert blank == "/api/v2.0" + re.sub(r"\{[^}]+\}", "{}", listed[name].path).rstrip("/"), name
            assert route.method == listed[name].method, name


async def test_the_running_gateway_answers_what_is_served_and_nothing_else(api: Api) -> None:
    # What composes an answer asks metasvc about the project that authsvc knows.
    api.authsvc.replies["ProjectService.GetProject"] = GetProjectResponse(project=Project(id=1, name="library"))
    for operation in operations():
        if operation.name in REFUSED_BY_ANOTHER:
            continue
        body = BODIES.get(operation.name, {} if operation.method in ("POST", "PUT") else None)
        answer = await api.http.request(
            operation.method,
            operation.example,
            params=QUERIES.get(operation.name),
            headers=api.alice,
            json=body,
        )
        if operation.served in SERVED:
            assert answer.status_code in {200, 201}, (operation, answer.text)
        else:
            assert answer.status_code in {404, 405}, (operation, answer.text)

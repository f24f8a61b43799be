"""Random requests to every operation of /api/v2.0, made from the description that the installation gives of itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err, Result
from schemathesis.errors import InvalidSchema
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import DEVELOPER, MAINTAINER, Login, Management

# Not among them: whether a request that fits the description is accepted. The description cannot say every rule.
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

# Deletions come last, because the requests before them need what they delete.
_ORDER = ("get", "head", "post", "patch", "put", "delete")
# They can end what the other requests need: read-only mode refuses all of them.
_LAST_OF_ALL = frozenset({"updateConfigurations"})

# Users, and robots, for the requests to change.
_CHANGED = 12


@dataclass(frozen=True)
class Realm:
    """What the requests are about.

    Attributes:
        callers: who sends them; None sends no credentials.
        known: values that exist, by the name of the parameter or of the body's field.
    """

    callers: Sequence[Login | None]
    known: Mapping[str, Sequence[Any]]


_RULE = {
    "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "v2"}],
    "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "app"}]},
}


@dataclass(frozen=True)
class Report:
    """What came of it.

    Attributes:
        operations: how many operations there are.
        requests: how many requests were sent.
        statuses: how many were answered with each status.
        findings: what was wrong, with the request; at most one for each operation and kind.
    """

    operations: int
    requests: int
    statuses: Mapping[int, int]
    findings: Sequence[str]

    def __str__(self) -> str:
        """All findings, or what was sent."""
        sent = f"{self.requests} requests to {self.operations} operations: {dict(sorted(self.statuses.items()))}"
        return "\n".join([*self.findings, sent])


@contextmanager
def furnished(installation: Installation) -> Iterator[Realm]:
    """A project with all that it can have, and a group, so that some of the requests are about what exists."""
    management = Management.of(installation)
    try:
        project = management.create_project()
        # The ids of the first ones are small. Random requests find and change them, and spare those that call.
        users = [management.create_user() for _ in range(_CHANGED)]
        robots = [management.create_robot(project) for _ in range(_CHANGED)]
        administrator, owner, member, stranger = (management.create_user() for _ in range(4))
        management.make_administrator(administrator)
        management.add_member(project, owner, MAINTAINER)
        management.add_member(project, member, DEVELOPER)
        management.add_member(project, users[0], DEVELOPER)
        management.create_group(users[0])
        for scope in ({"scope": "g"}, {"scope": "p", "project_id": management.project_id(project)}):
            management.client.post("/labels", json={"name": "l", **scope}).raise_for_status()
        management.client.post(f"/projects/{project}/immutabletagrules", json=_RULE).raise_for_status()
        robot = management.create_robot(project)
        digest = push(installation.http_url, owner, f"{project}/app", image(1), "v1", "v2")
        yield Realm(
            callers=[administrator, administrator, owner, member, robot, stranger, None],
            known=_known(management, project, digest, users, robots),
        )
    finally:
        management.close()


def fuzz(
    installation: Installation,
    realm: Realm,
    cases: int,
    seeded: int,
    chosen: Callable[[str], bool] = lambda _operation_id: True,
) -> Report:
    """Sends random requests, good and bad, to operations.

    Args:
        installation: where to; nothing in it is safe afterwards.
        realm: who sends them, and what exists there.
        cases: how many for each operation.
        seeded: the same number gives the same requests.
        chosen: whether to send some to the operation of this id; without it, to every one.
    """
    schema = schemathesis.openapi.from_url(f"{installation.http_url}/api/v2.0/openapi.json")
    described = map(_described, schema.get_all_operations())
    operations = sorted((each for each in described if chosen(_id(each))), key=_turn)
    statuses: dict[int, int] = {}
    findings: dict[tuple[str, str], str] = {}
    with requests.Session() as session:
        session.trust_env = False
        for operation in operations:

            @seed(seeded)
            @settings(
                max_examples=cases,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=_cases(operation, realm), caller=st.sampled_from(realm.callers))
            def send(case: schemathesis.Case[Any], caller: Login | None) -> None:
                answer = case.call(session=session, auth=caller and caller.basic, timeout=30)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                try:
                    case.validate_response(answer, checks=_CHECKS)
                except schemathesis.errors.FailureGroup as group:
                    for failure in group.exceptions:
                        key = (case.operation.label, type(failure).__name__)
                        findings.setdefault(
                            key, f"{failure}\n  as {caller}: {case.as_curl_command()}\n  {answer.content!r}"
                        )

            send()
    return Report(len(operations), sum(statuses.values()), statuses, list(findings.values()))


def _cases(operation: APIOperation[Any, Any, Any, Any], realm: Realm) -> st.SearchStrategy[schemathesis.Case[Any]]:
    """Cases that fit the description, and cases that do not. In half of them, all values exist; in the others, half."""
    random_case = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in _modes(operation)))

    @st.composite
    def cases(draw: st.DrawFn) -> schemathesis.Case[Any]:
        case: schemathesis.Case[Any] = draw(random_case)
        all_exist = draw(st.booleans())
        for part in (case.path_parameters, case.query, case.body):
            if not isinstance(part, dict):
                continue
            for name in part:
                if (known := realm.known.get(name)) and (all_exist or draw(st.booleans())):
                    part[name] = draw(st.sampled_from(known))
        return case

    return cases()


def _described(result: Result[APIOperation[Any, Any, Any, Any], InvalidSchema]) -> APIOperation[Any, Any, Any, Any]:
    if isinstance(result, Err):
        raise result.err()
    return result.ok()


def _id(operation: APIOperation[Any, Any, Any, Any]) -> str:
    return str(operation.definition.raw["operationId"])


def _modes(operation: APIOperation[Any, Any, Any, Any]) -> Sequence[GenerationMode]:
    takes_input = any(True for _ in operation.iter_parameters()) or len(operation.body)
    return list(GenerationMode) if takes_input else [GenerationMode.POSITIVE]


def _turn(operation: APIOperation[Any, Any, Any, Any]) -> tuple[bool, int, str]:
    return (
        _id(operation) in _LAST_OF_ALL,
        _ORDER.index(operation.method.lower()),
        operation.path,
    )


def _known(
    management: Management, project: str, digest: str, users: Sequence[Login], robots: Sequence[Login]
) -> Mapping[str, Sequence[Any]]:
    project_id = management.project_id(project)
    everybody = management.client.get("/users", params={"page_size": 100}).json()
    members = management.client.get(f"/projects/{project}/members").json()
    listed = management.client.get("/robots", params={"q": f"Level=project,ProjectID={project_id}", "page_size": 100})
    groups = management.client.get("/usergroups").json()
    rules = [rule["id"] for rule in management.client.get(f"/projects/{project}/immutabletagrules").json()]
    labels = [
        label["id"]
        for query in ("scope=g", f"scope=p&project_id={project_id}")
        for label in management.client.get(f"/labels?{query}").json()
    ]
    names = [login.name for login in (*users, *robots)]
    return {
        "project_name_or_id": [project, str(project_id), "library", "1"],
        "project_name": [project, "library"],
        "project_id": [project_id, 1],
        "repository_name": ["app"],
        "reference": ["v1", "v2", digest],
        "tag_name": ["v1", "v2"],
        "digest": [digest],
        "member_id": [member["id"] for member in members if member["entity_name"] in names],
        "robot_id": [robot["id"] for robot in listed.json() if robot["name"] in names],
        "user_id": [user["user_id"] for user in everybody if user["username"] in names],
        "username": [user.name for user in users],
        "role_id": [1, 2, 3, 4, 5],
        "id": [project_id, *labels, *rules],
        "label_id": labels,
        "immutable_rule_id": rules,
        "group_id": [group["id"] for group in groups],
        "meta_name": ["public", "severity"],
        "addition": ["build_history", "readme.md"],
        "level": ["project", "system"],
        "duration": [-1, 7],
        "scope": [f"/project/{project}", "g", "p"],
        "from": [f"{project}/app:v1", f"{project}/app@{digest}"],
        "q": ["name=~a", "tags=*", "Level=project,ProjectID=1", "name={a b},push_time=[2020-01-01~2030-01-01]"],
        "sort": ["name", "-creation_time", "id"],
    }

"""Immutable tags, case by case: over REST, over /v2 and over gRPC, with Harbor's codes and texts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.auth.v1.token_service_pb2 import CreateIdentityTokenRequest
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
from roadstead.meta.v1 import artifact_service_pb2 as artifacts
from roadstead.meta.v1 import manifest_service_pb2 as manifests
from roadstead.meta.v1 import repository_service_pb2 as repositories
from roadstead.meta.v1 import tag_service_pb2 as tags
from roadstead.meta.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceStub
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceStub
from tests.harness.contracts import reason_of
from tests.harness.images import Image, image, index
from tests.harness.installation import Installation
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.workspace import Management

pytestmark = pytest.mark.usefixtures("no_errors_logged")

OLD, NEW, CHILD = image(71), image(72), image(73)
INDEX = index([CHILD, image(74, architecture="arm64")])
SIGNATURE = f"sha256-{CHILD.digest.removeprefix('sha256:')}.sig"

Method = tuple[Callable[..., Any], Any]
"""A method over gRPC, and its request."""
Rule = tuple[str, str]
"""The patterns of a rule for repositories and for tags. "not " before a pattern excludes, "|" separates patterns."""


@dataclass(frozen=True)
class Act:
    """What is tried, in a repository in which the tag is on OLD, and NEW has no tag.

    Attributes:
        planes: where it can be done.
        refusal: Harbor's text if the tag is immutable.
    """

    name: str
    planes: tuple[str, ...]
    refusal: str = ""


PUSH = Act("push", ("v2", "grpc"), "Failed to process request due to '{name}:{tag}' configured as immutable.")
PUSH_SAME = Act("push the same", PUSH.planes, PUSH.refusal)
PUSH_DIGEST = Act("push by digest", PUSH.planes)
DELETE_TAG = Act("delete the tag", ("rest", "v2", "grpc"), "the tag {tag} configured as immutable, cannot be deleted")
DELETE_ARTIFACT = Act("delete the artifact", DELETE_TAG.planes, DELETE_TAG.refusal)
DELETE_UNTAGGED = Act("delete the untagged artifact", DELETE_TAG.planes)
DELETE_INDEX = Act("delete the index", DELETE_TAG.planes)
DELETE_REPOSITORY = Act("delete the repository", ("rest", "grpc"), DELETE_TAG.refusal)
COPY = Act("copy onto the tag", ("rest", "grpc"), "the tag {tag} configured as immutable, cannot be updated")
COPY_SAME = Act("copy the same", COPY.planes)


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        rules: the rules of the project.
        act: what is tried.
        is_refused: whether a rule refuses it.
        name: the repository, without its project.
        tag: the tag, which is on OLD unless `stock` says otherwise.
        stock: more tags: the image of each.
        is_immutable: whether the tag is shown as immutable before; None for as `is_refused`.
        disabled: whether the rules are disabled.
    """

    title: str
    rules: tuple[Rule, ...]
    act: Act
    is_refused: bool
    name: str = "app"
    tag: str = "v1"
    stock: Mapping[str, Image] = field(default_factory=dict)
    is_immutable: bool | None = None
    disabled: bool = False


CASES = (
    Case("everything", (("**", "**"),), PUSH, is_refused=True),
    Case("one star for both", (("*", "*"),), PUSH, is_refused=True),
    Case("empty patterns", (("", ""),), PUSH, is_refused=True),
    Case("the exact names", (("app", "v1"),), PUSH, is_refused=True),
    Case("a longer tag", (("app", "v1"),), PUSH, is_refused=False, tag="v1.1"),
    Case("one character", (("**", "v?"),), PUSH, is_refused=True),
    Case("one character is not two", (("**", "v?"),), PUSH, is_refused=False, tag="v10"),
    Case("a class", (("**", "v[0-9]*"),), PUSH, is_refused=True, tag="v2-final"),
    Case("outside of a class", (("**", "v[^0-9]*"),), PUSH, is_refused=False),
    Case("alternatives", (("**", "{latest,stable}"),), PUSH, is_refused=True, tag="stable"),
    Case("none of the alternatives", (("**", "{latest,stable}"),), PUSH, is_refused=False, tag="unstable"),
    Case("two stars within a name", (("**", "release-**"),), PUSH, is_refused=True, tag="release-1.0"),
    Case("case counts", (("**", "V*"),), PUSH, is_refused=False),
    Case("all tags but some", (("**", "not {rc,nightly}"),), PUSH, is_refused=True),
    Case("one of those", (("**", "not {rc,nightly}"),), PUSH, is_refused=False, tag="rc"),
    Case("a star ends at a slash", (("*", "**"),), PUSH, is_refused=False, name="team/app"),
    Case("two stars do not", (("**", "**"),), PUSH, is_refused=True, name="team/deep/app"),
    Case("below a folder", (("team/**", "**"),), PUSH, is_refused=True, name="team/deep/app"),
    Case("a folder is not below itself", (("team/**", "**"),), PUSH, is_refused=False, name="team"),
    Case("at any depth", (("**/app", "**"),), PUSH, is_refused=True, name="team/deep/app"),
    Case("names have no project", (("{project}/**", "**"),), PUSH, is_refused=False),
    Case("all repositories but some", (("not sandbox/**", "**"),), PUSH, is_refused=False, name="sandbox/app"),
    Case("the second selector", (("redis|app", "stable|v*"),), PUSH, is_refused=True),
    Case("an exception from a selector", (("**|not app", "**"),), PUSH, is_refused=False),
    Case("the second rule", (("**", "latest"), ("**", "v*")), PUSH, is_refused=True),
    Case("a disabled rule", (("**", "**"),), PUSH, is_refused=False, disabled=True),
    Case("overriding by the same digest", (("**", "**"),), PUSH_SAME, is_refused=True),
    Case("the same digest without a rule", (("**", "x"),), PUSH_SAME, is_refused=False),
    Case("untagged", (("**", "**"),), PUSH_DIGEST, is_refused=False, is_immutable=True),
    Case("the tag is deleted", (("**", "v*"),), DELETE_TAG, is_refused=True),
    Case("another tag of the artifact is deleted", (("**", "v*"),), DELETE_TAG, False, tag="x", stock={"v1": OLD}),
    Case("the artifact is deleted", (("**", "v*"),), DELETE_ARTIFACT, is_refused=True),
    Case("another tag keeps the artifact", (("**", "w"),), DELETE_ARTIFACT, True, tag="w", stock={"v1": OLD}),
    Case("no rule covers a tag of the artifact", (("**", "w"),), DELETE_ARTIFACT, is_refused=False),
    Case("an untagged artifact is deleted", (("**", "**"),), DELETE_UNTAGGED, is_refused=False, is_immutable=True),
    Case(
        "an index with a tagged child is deleted",
        (("**", "v*"),),
        DELETE_INDEX,
        is_refused=False,
        stock={"v1": CHILD, "multi": INDEX},
        is_immutable=True,
    ),
    Case("the repository is deleted", (("**", "**"),), DELETE_REPOSITORY, is_refused=True),
    Case("no rule covers the repository", (("other", "**"),), DELETE_REPOSITORY, is_refused=False),
    Case("another digest is copied", (("**", "**"),), COPY, is_refused=True),
    Case("the same digest is copied", (("**", "**"),), COPY_SAME, is_refused=False, is_immutable=True),
    Case("a copy where no rule is", (("**", "x"),), COPY, is_refused=False),
    Case("cosign signs once more", (("**", "**"),), PUSH, is_refused=True, tag=SIGNATURE),
    Case("cosign's tags are no versions", (("**", "v*"),), PUSH, is_refused=False, tag=SIGNATURE),
)
RUNS = [(case, plane) for case in CASES for plane in case.act.planes]


@dataclass
class World:
    """The shared installation, and a project for each run."""

    installation: Installation
    management: Management
    http: httpx.Client
    metasvc: grpc.Channel
    metadata: Sequence[tuple[str, str]]
    project: str = ""

    def repository(self, name: str) -> str:
        return f"/api/v2.0/projects/{self.project}/repositories/{quote(quote(name, safe=''), safe='')}"

    def push(self, name: str, pushed: Image, *tags: str) -> None:
        push(self.installation.http_url, self.management.admin, f"{self.project}/{name}", pushed, *tags)

    def make_rule(self, rule: Rule, *, disabled: bool) -> str:
        repository, tag = (pattern.replace("{project}", self.project) for pattern in rule)
        body = {
            "disabled": disabled,
            "action": "immutable",
            "template": "immutable_template",
            "tag_selectors": _selectors(tag, "matches", "excludes"),
            "scope_selectors": {"repository": _selectors(repository, "repoMatches", "repoExcludes")},
        }
        answer = self.http.post(f"/api/v2.0/projects/{self.project}/immutabletagrules", json=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def shown(self, name: str) -> dict[str, bool]:
        """Which tags a repository has, and whether they are shown as immutable."""
        answer = self.http.get(f"{self.repository(name)}/artifacts", params={"with_immutable_status": "true"})
        if answer.status_code == 404:
            return {}
        return {tag["name"]: tag["immutable"] for each in answer.json() for tag in each["tags"] or []}


def _selectors(patterns: str, matches: str, excludes: str) -> list[dict[str, str]]:
    return [
        {
            "kind": "doublestar",
            "decoration": excludes if pattern.startswith("not ") else matches,
            "pattern": pattern.removeprefix("not "),
        }
        for pattern in patterns.split("|")
    ]


@pytest.fixture(scope="module")
def shared(installation: Installation, management: Management) -> Iterator[World]:
    with ExitStack() as stack:
        http = stack.enter_context(
            httpx.Client(
                base_url=installation.http_url,
                auth=management.admin.basic,
                timeout=30,
                trust_env=False,
                verify=NO_TLS,
            )
        )
        authsvc, metasvc = (
            stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{installation.grpc_ports[service]}"))
            for service in ("authsvc", "metasvc")
        )
        admin = Credentials.Password(username=management.admin.name, secret=management.admin.secret)
        request = CreateIdentityTokenRequest(credentials=Credentials(password=admin))
        token = TokenServiceStub(authsvc).CreateIdentityToken(request, timeout=30).token
        yield World(installation, management, http, metasvc, (("authorization", f"Bearer {token}"),))


@pytest.fixture
def world(shared: World, management: Management) -> World:
    shared.project = management.create_project()
    return shared


def over_rest(world: World, case: Case) -> httpx.Response:
    repository, act = world.repository(case.name), case.act
    if act in (COPY, COPY_SAME):
        source = f"{world.project}/{'source' if act is COPY else 'same'}:{case.tag}"
        return world.http.post(f"{repository}/artifacts", params={"from": source})
    path = {
        DELETE_TAG: f"/artifacts/{OLD.digest}/tags/{case.tag}",
        DELETE_ARTIFACT: f"/artifacts/{OLD.digest}",
        DELETE_UNTAGGED: f"/artifacts/{NEW.digest}",
        DELETE_INDEX: "/artifacts/multi",
        DELETE_REPOSITORY: "",
    }[act]
    return world.http.delete(f"{repository}{path}")


def over_v2(world: World, case: Case) -> httpx.Response:
    method, pushed, reference = {
        PUSH: ("PUT", NEW, case.tag),
        PUSH_SAME: ("PUT", OLD, case.tag),
        PUSH_DIGEST: ("PUT", NEW, NEW.digest),
        DELETE_TAG: ("DELETE", None, case.tag),
        DELETE_ARTIFACT: ("DELETE", None, OLD.digest),
        DELETE_UNTAGGED: ("DELETE", None, NEW.digest),
        DELETE_INDEX: ("DELETE", None, INDEX.digest),
    }[case.act]
    sent: dict[str, Any] = {}
    if pushed is not None:
        sent = {"content": pushed.manifest, "headers": {"Content-Type": pushed.media_type}}
    return world.http.request(method, f"/v2/{world.project}/{case.name}/manifests/{reference}", **sent)


def over_grpc(world: World, case: Case) -> tuple[str, str, str]:
    """The code, the reason and the text of the answer; all empty for success."""
    project = ProjectRef(name=world.project)
    within: dict[str, Any] = {"project": project, "repository_name": case.name}

    def put(pushed: Image, reference: str) -> Method:
        request = manifests.PutManifestRequest(
            repository=f"{world.project}/{case.name}",
            reference=reference,
            media_type=pushed.media_type,
            content=pushed.manifest,
        )
        return ManifestServiceStub(world.metasvc).PutManifest, request

    def delete(reference: str) -> Method:
        request = artifacts.DeleteArtifactRequest(**within, reference=reference)
        return ArtifactServiceStub(world.metasvc).DeleteArtifact, request

    def copy(name: str) -> Method:
        request = artifacts.CopyArtifactRequest(**within, source=f"{world.project}/{name}:{case.tag}")
        return ArtifactServiceStub(world.metasvc).CopyArtifact, request

    of_tag, of_repository = TagServiceStub(world.metasvc), RepositoryServiceStub(world.metasvc)
    methods: dict[Act, Callable[[], Method]] = {
        PUSH: lambda: put(NEW, case.tag),
        PUSH_SAME: lambda: put(OLD, case.tag),
        PUSH_DIGEST: lambda: put(NEW, NEW.digest),
        DELETE_TAG: lambda: (
            of_tag.DeleteTag,
            tags.DeleteTagRequest(**within, reference=OLD.digest, tag_name=case.tag),
        ),
        DELETE_ARTIFACT: lambda: delete(OLD.digest),
        DELETE_UNTAGGED: lambda: delete(NEW.digest),
        DELETE_INDEX: lambda: delete("multi"),
        DELETE_REPOSITORY: lambda: (of_repository.DeleteRepository, repositories.DeleteRepositoryRequest(**within)),
        COPY: lambda: copy("source"),
        COPY_SAME: lambda: copy("same"),
    }
    method, request = methods[case.act]()
    try:
        method(request, metadata=world.metadata, timeout=30)
    except grpc.RpcError as error:
        return error.code().name, reason_of(error), error.details() or ""
    return "", "", ""


def stock(world: World, case: Case) -> None:
    """What there is before the rules."""
    own = {} if case.act is DELETE_INDEX else {case.tag: OLD}
    for tag, tagged in {**own, **case.stock}.items():
        world.push(case.name, tagged, tag)
    world.push(case.name, NEW)
    if case.act is COPY:
        world.push("source", NEW, case.tag)
    if case.act is COPY_SAME:
        world.push("same", OLD, case.tag)


@pytest.mark.parametrize(("case", "plane"), RUNS, ids=[f"{case.title}, {plane}" for case, plane in RUNS])
def test_a_rule_refuses_what_it_covers_and_nothing_else(world: World, case: Case, plane: str) -> None:
    stock(world, case)
    for rule in case.rules:
        world.make_rule(rule, disabled=case.disabled)
    before = world.shown(case.name)
    expected = case.is_refused if case.is_immutable is None else case.is_immutable
    assert before[case.tag] is expected
    text = case.act.refusal.format(name=case.name, tag=case.tag)

    if plane == "grpc":
        answer = over_grpc(world, case)
        assert answer == (("FAILED_PRECONDITION", "TAG_IMMUTABLE", text) if case.is_refused else ("", "", ""))
    else:
        answered = (over_rest if plane == "rest" else over_v2)(world, case)
        if case.is_refused:
            assert answered.status_code == 412
            (error,) = answered.json()["errors"]
            assert (error["code"], error["message"]) == ("PRECONDITION", text)
        else:
            assert answered.status_code in {200, 201, 202}, answered.text

    after = world.shown(case.name)
    if case.is_refused:
        assert after == before
    manifest = world.http.get(f"/v2/{world.project}/{case.name}/manifests/{case.tag}")
    if case.is_refused or case.act in (PUSH_SAME, PUSH_DIGEST, COPY_SAME, DELETE_UNTAGGED):
        assert manifest.headers["Docker-Content-Digest"] == OLD.digest
    elif case.act in (PUSH, COPY):
        assert manifest.headers["Docker-Content-Digest"] == NEW.digest
    elif case.act is DELETE_INDEX:
        assert manifest.headers["Docker-Content-Digest"] == CHILD.digest
        assert "multi" not in after
    else:
        assert manifest.status_code == 404


def test_a_tag_that_exists_is_a_conflict_whatever_the_rules(world: World) -> None:
    world.push("app", OLD, "v1")
    world.make_rule(("**", "**"), disabled=False)
    answer = world.http.post(f"{world.repository('app')}/artifacts/{OLD.digest}/tags", json={"name": "v1"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (409, "CONFLICT")
    assert error["message"].startswith("tag v1 already exists under the repository ")


def test_a_project_with_rules_is_deleted_when_it_is_empty(world: World) -> None:
    world.push("app", OLD, "v1")
    location = world.make_rule(("**", "**"), disabled=False)
    project = f"/api/v2.0/projects/{world.project}"
    assert world.http.delete(project).status_code == 412
    assert world.http.delete(world.repository("app")).status_code == 412
    assert world.http.delete(location).status_code == 200
    assert world.http.delete(world.repository("app")).status_code == 200
    world.make_rule(("**", "**"), disabled=False)
    assert world.http.delete(project).status_code == 200

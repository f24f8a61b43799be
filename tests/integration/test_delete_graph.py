"""Over HTTP: the cases of `tests/harness/graph_cases.py` under /v2 and /api/v2.0, large pages, and sorted lists."""

from urllib.parse import quote

import httpx
import pytest

from tests.harness.graph_cases import CASES, Case, Step, Story
from tests.harness.images import OCI_INDEX, OCI_MANIFEST, digest_of
from tests.harness.repository import EMPTY_CONFIG, MakeRepository, Repository, descriptor, dumped, error_code, next_link
from tests.harness.workspace import MAINTAINER, Management, Workspace

pytestmark = pytest.mark.usefixtures("no_errors_logged")

MIB = 1024 * 1024


def used_bytes(management: Management, project_id: int) -> int:
    [quota] = management.client.get(f"/quotas?reference=project&reference_id={project_id}").json()
    used: int = quota["used"]["storage"]
    return used


def delete_over_rest(management: Management, repository: Repository, digest: str) -> httpx.Response:
    project, _, name = repository.name.partition("/")
    return management.client.delete(f"/projects/{project}/repositories/{quote(name, safe='')}/artifacts/{digest}")


def play(management: Management, repository: Repository, step: Step, *, over_rest: bool) -> None:
    manifest = f"{repository.path}/manifests/{step.reference}"
    if step.kind == "push_blob":
        repository.push_blob(step.content)
    elif step.kind == "put":
        assert repository.put(step.reference, step.content, step.media_type).status_code == 201
    elif step.kind == "head":
        assert repository.http.head(manifest).status_code == 200
    elif step.kind == "untag":
        assert repository.http.delete(manifest).status_code == 202
    elif over_rest:
        answer = delete_over_rest(management, repository, step.reference)
        assert answer.status_code == (412 if step.kind == "refused" else 200), answer.text
    else:
        assert repository.http.delete(manifest).status_code == (412 if step.kind == "refused" else 202)


@pytest.mark.parametrize("over_rest", [False, True], ids=["registry", "rest"])
@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.waits], ids=lambda case: case.name.replace(" ", "-")
)
def test_what_goes_what_stays_and_what_is_charged(
    make_repository: MakeRepository, management: Management, workspace: Workspace, case: Case, *, over_rest: bool
) -> None:
    project = management.create_project()
    management.add_member(project, workspace.maintainer, MAINTAINER)
    project_id = management.project_id(project)
    repository = make_repository(project=project)
    story = Story(case)
    for step in story.steps():
        play(management, repository, step, over_rest=over_rest)
    everything = {story.digest(name) for name in story.manifests}
    assert {digest for digest in everything if repository.get(digest).status_code == 200} == story.left()
    if story.left():
        assert set(repository.tag_names()) == story.tags()
    assert used_bytes(management, project_id) == story.used_bytes()
    name = quote(repository.name.partition("/")[2], safe="")
    assert management.client.delete(f"/projects/{project}/repositories/{name}").status_code == 200
    assert used_bytes(management, project_id) == 0


def test_a_blob_that_a_manifest_names_is_not_deleted(stocked: Repository) -> None:
    content = dumped(stocked.manifest())
    assert stocked.put("v1", content).status_code == 201
    blob = f"{stocked.path}/blobs/{digest_of(EMPTY_CONFIG)}"
    answer = stocked.http.delete(blob)
    # zot answers the same.
    assert (answer.status_code, error_code(answer)) == (405, "DENIED")
    assert stocked.http.head(blob).status_code == 200
    assert stocked.http.delete(f"{stocked.path}/manifests/{digest_of(content)}").status_code == 202
    assert stocked.http.delete(blob).status_code == 202
    assert stocked.http.head(blob).status_code == 404


def test_referrers_that_fill_a_message_come_on_several_pages(stocked: Repository) -> None:
    subject = dumped(stocked.manifest())
    assert stocked.put("v1", subject).status_code == 201
    pushed = set()
    for number in range(5):
        annotations = {"number": str(number), "text": "x" * (4 * MIB - 2000)}
        content = dumped(stocked.manifest(subject=descriptor(subject, OCI_MANIFEST), annotations=annotations))
        assert stocked.put(digest_of(content), content).status_code == 201
        pushed.add(digest_of(content))
    found: list[str] = []
    where: str | None = f"{stocked.path}/referrers/{digest_of(subject)}"
    pages = 0
    while where is not None:
        answer = stocked.http.get(where)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, OCI_INDEX)
        assert len(answer.content) <= 4 * MIB
        found += [each["digest"] for each in answer.json()["manifests"]]
        where = next_link(answer)
        pages += 1
    assert (len(found), set(found), pages) == (5, pushed, 5)


@pytest.mark.parametrize(
    ("path", "sorts"),
    [
        ("/repositories", ["name", "pull_count", "update_time", "creation_time"]),
        ("/projects/{project}/repositories", ["name", "pull_count", "update_time", "creation_time"]),
        ("/projects", ["name", "creation_time", "update_time"]),
        ("/projects/{project}/repositories/{name}/artifacts", ["push_time", "pull_time", "size", "type"]),
        ("/projects/{project}/repositories/{name}/artifacts/v1/tags", ["name", "push_time", "pull_time"]),
        ("/projects/{project}/repositories/{name}/artifacts/v1/accessories", ["type", "size", "creation_time"]),
        ("/quotas", ["used.storage", "hard.storage"]),
        ("/robots?q=Level=project,ProjectID={project_id}", ["name", "creation_time"]),
        ("/users", ["username", "email", "creation_time"]),
    ],
)
def test_lists_sort_by_what_the_portal_of_harbor_sorts_by(
    stocked: Repository, management: Management, path: str, sorts: list[str]
) -> None:
    assert stocked.put("v1", dumped(stocked.manifest())).status_code == 201
    project, _, name = stocked.name.partition("/")
    url = path.format(project=project, name=name, project_id=management.project_id(project))
    for sort in sorts:
        for direction in ("", "-"):
            answer = management.client.get(url, params={"sort": direction + sort} | dict(httpx.URL(url).params))
            assert answer.status_code == 200, (sort, answer.text)

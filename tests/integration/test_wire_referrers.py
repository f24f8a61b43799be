"""Referrers over the wire: never 404, always an index, and there with the next request."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness.images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, digest_of
from tests.harness.installation import on_both_servers
from tests.harness.repository import (
    EMPTY_CONFIG,
    EMPTY_MEDIA_TYPE,
    Repository,
    descriptor,
    dumped,
    error_code,
    next_link,
    token_for,
)
from tests.harness.workspace import Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

ZEROS = "sha256:" + "0" * 64


@pytest.fixture
def subject(repository: Repository) -> dict[str, Any]:
    """The descriptor of a manifest that is there."""
    repository.push_blob(EMPTY_CONFIG)
    content = dumped(repository.manifest())
    assert repository.put("subject", content).status_code == 201
    return descriptor(content, OCI_MANIFEST)


def put(repository: Repository, document: dict[str, Any]) -> httpx.Response:
    content = dumped(document)
    answer = repository.put(digest_of(content), content, document["mediaType"])
    assert answer.status_code == 201, answer.text
    return answer


def refer(repository: Repository, subject: dict[str, Any], **changes: Any) -> str:
    """Pushes an artifact that refers to the subject; gives its digest."""
    answer = put(repository, repository.manifest(subject=subject, **changes))
    assert answer.headers["OCI-Subject"] == subject["digest"]
    digest: str = answer.headers["Docker-Content-Digest"]
    return digest


def listed(repository: Repository, digest: str, query: str = "") -> list[dict[str, Any]]:
    answer = repository.http.get(f"{repository.path}/referrers/{digest}{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == OCI_INDEX
    document = answer.json()
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    found: list[dict[str, Any]] = document["manifests"]
    return found


@pytest.mark.parametrize("digest", [ZEROS, "sha512:" + "0" * 128])
def test_the_ping_of_oras_in_a_repository_that_is_not_there_is_an_empty_index(
    repository: Repository, digest: str
) -> None:
    # Another answer would switch oras and helm to the tag schema for good.
    assert listed(repository, digest) == []
    head = repository.http.head(f"{repository.path}/referrers/{digest}")
    assert (head.status_code, head.headers["Content-Type"]) == (200, OCI_INDEX)


@pytest.mark.parametrize(
    "digest", ["latest", "sha256:", "sha256:" + "0" * 63, "md5:" + "0" * 32, "sha256%00", "0" * 64]
)
def test_a_bad_digest_is_400(repository: Repository, digest: str) -> None:
    answer = repository.raw("GET", f"{repository.path}/referrers/{digest}")
    assert answer.status == 400
    assert answer.code == ("UNSUPPORTED" if "%00" in digest else "DIGEST_INVALID")


def test_a_referrer_is_described_with_its_type_and_annotations(repository: Repository, subject: dict[str, Any]) -> None:
    annotations = {"org.example.text": 'é"<>\\', "empty": ""}
    typed = refer(repository, subject, artifactType="application/vnd.example.sbom", annotations=annotations)
    config = descriptor(EMPTY_CONFIG, OCI_CONFIG)
    by_config = refer(repository, subject, artifactType=None, config=config)
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject}
    untyped_index = put(repository, index).headers["Docker-Content-Digest"]
    typed_index = put(repository, index | {"artifactType": "application/vnd.example.set"})
    found: dict[str, dict[str, Any]] = {each["digest"]: each for each in listed(repository, subject["digest"])}
    assert set(found) == {typed, by_config, untyped_index, typed_index.headers["Docker-Content-Digest"]}
    assert found[typed]["artifactType"] == "application/vnd.example.sbom"
    assert found[typed]["annotations"] == annotations
    assert found[by_config]["artifactType"] == OCI_CONFIG
    assert "artifactType" not in found[untyped_index]
    assert found[untyped_index]["mediaType"] == OCI_INDEX
    assert all(each["size"] == len(repository.get(digest).content) for digest, each in found.items())


def test_a_filter_is_applied_and_says_so(repository: Repository, subject: dict[str, Any]) -> None:
    wanted = refer(repository, subject, artifactType="application/vnd.example.sbom")
    refer(repository, subject, artifactType="application/vnd.example.other")
    path = f"{repository.path}/referrers/{subject['digest']}"
    for kind, digests in (("sbom", [wanted]), ("nothing", []), ("SBOM", []), ("sbo", []), ("%", []), ("\u00e9'\"", [])):
        answer = repository.http.get(path, params={"artifactType": f"application/vnd.example.{kind}"})
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        assert [each["digest"] for each in answer.json()["manifests"]] == digests
    assert "OCI-Filters-Applied" not in repository.http.get(path).headers
    assert len(listed(repository, subject["digest"], "?artifactType=")) == 2


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_subject_may_come_after_its_referrer_or_never(repository: Repository, algorithm: str) -> None:
    repository.push_blob(EMPTY_CONFIG)
    digits = {"sha256": 64, "sha512": 128}[algorithm]
    missing: dict[str, Any] = {"mediaType": OCI_MANIFEST, "digest": f"{algorithm}:{'1' * digits}", "size": 7}
    referrer = refer(repository, missing)
    assert [each["digest"] for each in listed(repository, missing["digest"])] == [referrer]
    assert repository.get(missing["digest"]).status_code == 404


def test_a_deleted_referrer_is_gone_with_the_next_request(repository: Repository, subject: dict[str, Any]) -> None:
    first, second = (refer(repository, subject, annotations={"n": str(n)}) for n in range(2))
    assert repository.http.delete(f"{repository.path}/manifests/{first}").status_code == 202
    assert [each["digest"] for each in listed(repository, subject["digest"])] == [second]


def pages(repository: Repository, path: str) -> Iterator[httpx.Response]:
    following: str | None = path
    while following:
        answer = repository.http.get(following)
        assert answer.status_code == 200, answer.text
        yield answer
        following = next_link(answer)


def test_many_referrers_come_in_pages_that_lead_on_under_the_same_filter(
    repository: Repository, subject: dict[str, Any]
) -> None:
    wanted = {
        refer(repository, subject, artifactType=f"application/vnd.example.{n % 2}", annotations={"n": str(n)})
        for n in range(6)
    }
    path = f"{repository.path}/referrers/{subject['digest']}"
    found = [[each["digest"] for each in page.json()["manifests"]] for page in pages(repository, f"{path}?n=2")]
    assert [len(page) for page in found] == [2, 2, 2]
    assert {digest for page in found for digest in page} == wanted
    query = "?artifactType=application%2Fvnd.example.1&n=2"
    filtered = list(pages(repository, path + query))
    assert [len(page.json()["manifests"]) for page in filtered] == [2, 1]
    assert all(page.headers["OCI-Filters-Applied"] == "artifactType" for page in filtered)


@pytest.mark.parametrize("query", ["page_token=garbage", "page_token=" + "A" * 4000, "n=x", "n=-1", "artifactType=%00"])
def test_a_query_that_cannot_be_is_400_and_never_404(repository: Repository, query: str) -> None:
    assert repository.http.get(f"{repository.path}/referrers/{ZEROS}?{query}").status_code == 400


def test_a_fallback_tag_is_absorbed_and_may_be_deleted(repository: Repository, subject: dict[str, Any]) -> None:
    # oras and notation write it where they once met a registry without referrers, and delete the old one each time.
    referrer = refer(repository, subject)
    fallback = subject["digest"].replace(":", "-")
    entry = descriptor(repository.get(referrer).content, OCI_MANIFEST)
    digests = []
    for round_ in range(2):
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], "annotations": {"n": str(round_)}}
        content = dumped(index)
        assert repository.put(fallback, content, OCI_INDEX).status_code == 201
        digests.append(digest_of(content))
        assert [each["digest"] for each in listed(repository, subject["digest"])] == [referrer]
    assert repository.http.delete(f"{repository.path}/manifests/{digests[0]}").status_code == 202
    assert repository.get(fallback).headers["Docker-Content-Digest"] == digests[1]
    assert repository.http.delete(f"{repository.path}/manifests/{digests[1]}").status_code == 202
    assert repository.get(fallback).status_code == 404
    assert [each["digest"] for each in listed(repository, subject["digest"])] == [referrer]


def test_who_may_not_pull_hears_a_challenge_and_no_empty_index(repository: Repository, workspace: Workspace) -> None:
    # An empty index would read as "unsigned".
    for login in (workspace.outsider, None):
        repository.token = token_for(workspace.http_url, login, f"repository:{repository.name}:pull")
        answer = repository.http.get(f"{repository.path}/referrers/{ZEROS}")
        assert (answer.status_code, error_code(answer)) == (401, "UNAUTHORIZED")
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_a_signature_may_be_signed(repository: Repository, subject: dict[str, Any]) -> None:
    first = refer(repository, subject)
    content = repository.get(first).content
    second = refer(repository, descriptor(content, OCI_MANIFEST), annotations={"of": "a signature"})
    assert [each["digest"] for each in listed(repository, first)] == [second]
    assert EMPTY_MEDIA_TYPE in repository.get(second).text

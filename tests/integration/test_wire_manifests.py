"""Manifests and tags over the wire: byte for byte, all or nothing, and whatever clients make of them."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.images import DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, digest_of, image
from tests.harness.installation import Installation, on_both_servers
from tests.harness.raw_http import chunked
from tests.harness.repository import (
    EMPTY_CONFIG,
    EMPTY_MEDIA_TYPE,
    MakeRepository,
    Repository,
    descriptor,
    dumped,
    error_code,
    open_repository,
)
from tests.harness.workspace import Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

MEBIBYTE = 1024 * 1024
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture(scope="module")
def shelf(workspace: Workspace) -> Iterator[Repository]:
    """A repository with all that `Repository.manifest` names, for tests that leave it as it was."""
    with open_repository(workspace.http_url, workspace.maintainer, f"{workspace.project}/shelf") as found:
        found.push_blob(EMPTY_CONFIG)
        yield found


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_comes_back_byte_for_byte_by_every_name(stocked: Repository, algorithm: str) -> None:
    content = b"\n  " + json.dumps(stocked.manifest(), indent="\t").encode() + b"\r\n\r\n"
    digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    put = stocked.put(digest, content, query="?tag=v1")
    assert put.status_code == 201
    assert put.headers["Location"] == f"{stocked.path}/manifests/{digest}"
    assert put.headers["Docker-Content-Digest"] == digest
    for reference in ("v1", digest):
        got, head = stocked.get(reference), stocked.http.head(f"{stocked.path}/manifests/{reference}")
        assert got.content == content
        assert (head.headers["Content-Length"], head.content) == (str(len(content)), b"")
        for answer in (got, head):
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["Content-Type"] == OCI_MANIFEST
            assert answer.headers["ETag"] == f'"{digest}"'


def sized(repository: Repository, size: int) -> bytes:
    bare = dumped(repository.manifest(annotations={"pad": ""}))
    return dumped(repository.manifest(annotations={"pad": "x" * (size - len(bare))}))


@pytest.mark.parametrize(
    ("size", "status"), [(3_900_000, 201), (4 * MEBIBYTE, 201), (4 * MEBIBYTE + 1, 413), (9 * MEBIBYTE, 413)]
)
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_four_mebibytes_are_taken_and_no_more(
    installation: Installation, stocked: Repository, size: int, status: int, coding: str
) -> None:
    if installation.server == "granian":
        # It closes the connection of a client that goes on sending far too much, and the answer may be lost.
        size = min(size, 4 * MEBIBYTE + 1)
    content = sized(stocked, size)
    assert len(content) == size
    sent = content if coding == "length" else iter([content[:MEBIBYTE], content[MEBIBYTE:]])
    target = f"{stocked.path}/manifests/large"
    answer = stocked.http.put(target, content=sent, headers={"Content-Type": OCI_MANIFEST})
    assert answer.status_code == status
    if status == 413:
        assert error_code(answer) == "MANIFEST_INVALID"
        assert stocked.get("large").status_code == 404
    else:
        assert stocked.get("large").content == content


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda document: {key: value for key, value in document.items() if key != name}


def replaced(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document | changes


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda _: b"",
    "half": lambda document: dumped(document)[:-1],
    "two": lambda document: dumped(document) * 2,
    "a list": lambda _: [],
    "null": lambda _: None,
    "a text": lambda _: "manifest",
    "no UTF-8": lambda _: b'{"schemaVersion":2,"x":"\xff"}',
    "UTF-16": lambda document: json.dumps(document).encode("utf-16"),
    "a byte order mark": lambda document: b"\xef\xbb\xbf" + dumped(document),
    "deep lists": lambda _: b"[" * 200_000,
    "deep objects": lambda _: b'{"a":' * 100_000,
    "NaN": lambda document: dumped(document | {"x": float("nan")}),
    "a key twice": lambda document: dumped(document)[:-1] + b',"layers":[]}',
    "no schemaVersion": without("schemaVersion"),
    "schemaVersion 1": replaced(schemaVersion=1),
    "schemaVersion 2.0": replaced(schemaVersion=2.0),
    "schemaVersion true": replaced(schemaVersion=True),
    "schemaVersion text": replaced(schemaVersion="2"),
    "no config": without("config"),
    "config null": replaced(config=None),
    "config a list": replaced(config=[]),
    "layers a text": replaced(layers="none"),
    "layers of numbers": replaced(layers=[1]),
    "layers and manifests": replaced(manifests=[]),
    "another mediaType": replaced(mediaType=OCI_INDEX),
    "mediaType a number": replaced(mediaType=7),
    "size negative": replaced(layers=[descriptor(EMPTY_CONFIG) | {"size": -1}]),
    "size a text": replaced(layers=[descriptor(EMPTY_CONFIG) | {"size": "2"}]),
    "size enormous": replaced(layers=[descriptor(EMPTY_CONFIG) | {"size": 10**40}]),
    "digest a path": replaced(layers=[descriptor(EMPTY_CONFIG) | {"digest": "sha256:../../etc/passwd"}]),
    "digest of md5": replaced(layers=[descriptor(EMPTY_CONFIG) | {"digest": "md5:" + "0" * 32}]),
    "digest a number": replaced(layers=[descriptor(EMPTY_CONFIG) | {"digest": 5}]),
    "subject a text": replaced(subject="sha256:" + "0" * 64),
    "subject a path": replaced(subject={"mediaType": OCI_MANIFEST, "digest": "sha256:..", "size": 1}),
    "annotations a list": replaced(annotations=["a"]),
    "annotations of numbers": replaced(annotations={"a": 1}),
    "annotations with a NUL": replaced(annotations={"a\0": "b\0"}),
    "half a surrogate pair": lambda document: dumped(document | {"annotations": {"a": "\ud800"}}),
    "artifactType with a NUL": replaced(artifactType="a/b\0"),
    "artifactType endless": replaced(artifactType="a/" + "b" * 5000),
    "a page": lambda _: b"<html><body>504 Gateway Timeout</body></html>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_manifest_that_is_none_is_refused_and_moves_nothing(shelf: Repository, name: str) -> None:
    before = dumped(shelf.manifest())
    shelf.put("v1", before)
    made = HOSTILE[name](shelf.manifest())
    content = made if isinstance(made, bytes) else dumped(made)
    answer = shelf.put("v1", content)
    assert (answer.status_code, error_code(answer)) == (400, "MANIFEST_INVALID")
    assert shelf.get("v1").content == before
    assert shelf.get(digest_of(content)).status_code == 404


@pytest.mark.parametrize("digest", [digest_of(b"other"), "sha512:" + "0" * 128])
def test_a_manifest_under_a_digest_that_is_not_its_own_is_refused(shelf: Repository, digest: str) -> None:
    answer = shelf.put(digest, dumped(shelf.manifest()))
    assert (answer.status_code, error_code(answer)) == (400, "DIGEST_INVALID")
    assert shelf.get(digest).status_code == 404


def test_what_a_manifest_names_must_be_there(stocked: Repository, make_repository: MakeRepository) -> None:
    # Though another repository of the project holds it.
    elsewhere = make_repository()
    elsewhere.push_blob(b"elsewhere")
    for layer in (b"elsewhere", b"nowhere"):
        answer = stocked.put("v1", dumped(stocked.manifest(layers=[descriptor(layer)])))
        assert (answer.status_code, error_code(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert digest_of(layer) in answer.text
    child = descriptor(dumped(stocked.manifest(annotations={"not": "pushed"})), OCI_MANIFEST)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}
    assert error_code(stocked.put("v1", dumped(index), OCI_INDEX)) == "MANIFEST_BLOB_UNKNOWN"


def test_foreign_layers_never_arrive_and_are_named_all_the_same(stocked: Repository) -> None:
    foreign = descriptor(b"of somebody else", FOREIGN_LAYER) | {"urls": ["https://example.com/layer"]}
    undistributable = descriptor(b"likewise", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    for media_type, layers in (
        (DOCKER_MANIFEST, [foreign]),
        (OCI_MANIFEST, [undistributable | {"urls": ["https://example.com/other"]}]),
    ):
        document = stocked.manifest(mediaType=media_type, artifactType=None, layers=layers)
        content = dumped(document)
        assert stocked.put("v1", content, media_type).status_code == 201
        assert stocked.get("v1").content == content
        assert stocked.blob(layers[0]["digest"]).status_code == 404


def test_a_cache_of_buildkit_is_an_index_of_layers(stocked: Repository) -> None:
    stocked.push_blob(b"cached layer")
    children = [
        descriptor(b"cached layer", OCI_LAYER),
        descriptor(EMPTY_CONFIG, "application/vnd.buildkit.cacheconfig.v0"),
    ]
    content = dumped({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
    assert stocked.put("cache", content, OCI_INDEX).status_code == 201
    assert stocked.get("cache").content == content


def test_docker_s_manifest_command_makes_a_list(repository: Repository) -> None:
    single = image(301, docker=True)
    for content in single.blobs.values():
        repository.push_blob(content)
    assert repository.put(single.digest, single.manifest, DOCKER_MANIFEST).status_code == 201
    content = dumped({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [single.descriptor]})
    assert repository.put("list", content, DOCKER_LIST).status_code == 201
    # Old clients send too little in Accept, and no registry may convert any more.
    for accept in (DOCKER_LIST, DOCKER_MANIFEST, "application/json", "text/html", "*/*", "nonsense", ""):
        answer = repository.get("list", Accept=accept)
        assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, DOCKER_LIST, content)


@pytest.mark.parametrize("content_type", ["{media_type}; charset=utf-8", "", "application/json", "text/plain"])
def test_the_media_type_is_that_of_the_manifest(stocked: Repository, content_type: str) -> None:
    content = dumped(stocked.manifest())
    assert stocked.put("v1", content, content_type.format(media_type=OCI_MANIFEST)).status_code == 201
    assert stocked.get("v1").headers["Content-Type"] == OCI_MANIFEST


def test_a_deleted_manifest_takes_its_tags_along_at_once(stocked: Repository) -> None:
    content, other = (dumped(stocked.manifest(annotations={"n": str(n)})) for n in range(2))
    stocked.put(digest_of(content), content, query="?tag=a&tag=b")
    stocked.put("c", other)
    one_tag = stocked.http.delete(f"{stocked.path}/manifests/a")
    assert (one_tag.status_code, one_tag.content) == (202, b"")
    assert [stocked.get(reference).status_code for reference in ("a", "b", digest_of(content))] == [404, 200, 200]
    assert stocked.http.delete(f"{stocked.path}/manifests/{digest_of(content)}").status_code == 202
    assert [stocked.get(reference).status_code for reference in ("b", digest_of(content), "c")] == [404, 404, 200]
    assert stocked.tag_names() == ["c"]
    for reference in ("a", digest_of(content)):
        again = stocked.http.delete(f"{stocked.path}/manifests/{reference}")
        assert (again.status_code, error_code(again)) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("reference", ["unknown", digest_of(b"unknown")])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_reference_that_is_not_there_is_404(shelf: Repository, method: str, reference: str) -> None:
    answer = shelf.raw(method, f"{shelf.path}/manifests/{reference}")
    assert (answer.status, answer.code) == (404, "" if method == "HEAD" else "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("sha384:" + "0" * 96, 400, "DIGEST_INVALID"),
        ("sha256:" + "0" * 63, 400, "DIGEST_INVALID"),
        ("a:b", 400, "DIGEST_INVALID"),
        ("t" * 129, 400, "TAG_INVALID"),
        (".hidden", 400, "TAG_INVALID"),
        ("-option", 400, "TAG_INVALID"),
        ("%20", 400, "TAG_INVALID"),
        ("1.0+build", 400, "TAG_INVALID"),
        ("%C3%A9", 400, "TAG_INVALID"),
        ("%252e", 400, "TAG_INVALID"),
        ("..", 400, "TAG_INVALID"),
        ("%2e%2e", 400, "TAG_INVALID"),
        ("%00", 400, "UNSUPPORTED"),
        ("%0d%0aX-Evil:1", 400, "UNSUPPORTED"),
        ("%ff", 400, "UNSUPPORTED"),
        ("%", 400, "UNSUPPORTED"),
        ("a%2Fb", 404, "NAME_UNKNOWN"),
        ("", 404, "NAME_UNKNOWN"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_reference_that_cannot_be_is_refused(
    shelf: Repository, method: str, reference: str, status: int, code: str
) -> None:
    body = dumped(shelf.manifest()) if method == "PUT" else b""
    headers = {"Content-Type": OCI_MANIFEST, "Content-Length": str(len(body))}
    answer = shelf.raw(method, f"{shelf.path}/manifests/{reference}", headers, body)
    assert (answer.status, answer.code) == (status, "" if method == "HEAD" else code)
    assert "x-evil" not in answer.headers


def test_the_longest_name_is_taken_and_a_longer_one_refused(
    make_repository: MakeRepository, workspace: Workspace
) -> None:
    rest = 255 - len(workspace.project) - 1
    longest = make_repository(name="a/" + "b" * (rest - 2))
    longest.push_blob(EMPTY_CONFIG)
    assert len(longest.name) == 255
    assert longest.put("v1", dumped(longest.manifest())).status_code == 201
    assert longest.get("v1").status_code == 200
    longer = longest.http.get(f"{longest.path}c/manifests/v1")
    assert (longer.status_code, error_code(longer)) == (400, "NAME_INVALID")


def test_the_namespace_of_a_mirror_is_ignored_where_nothing_is_mirrored(stocked: Repository) -> None:
    # containerd asks mirrors with the name of the registry that they stand for.
    content = dumped(stocked.manifest())
    stocked.put("v1", content)
    answer = stocked.http.get(f"{stocked.path}/manifests/v1?ns=docker.io")
    assert (answer.status_code, answer.content) == (200, content)
    assert "OCI-Namespace" not in answer.headers


def test_a_put_may_wait_for_100_continue_and_come_in_chunks(stocked: Repository) -> None:
    content = dumped(stocked.manifest())
    with stocked.connect() as connection:
        headers = {
            "Authorization": f"Bearer {stocked.token}",
            "Content-Type": OCI_MANIFEST,
            "Transfer-Encoding": "chunked",
            "Expect": "100-continue",
        }
        assert connection.request("PUT", f"{stocked.path}/manifests/v1", headers).status == 100
        connection.send(chunked(content[:10], content[10:]))
        assert connection.read().status == 201
    assert stocked.get("v1").content == content
    assert EMPTY_MEDIA_TYPE.encode() in content

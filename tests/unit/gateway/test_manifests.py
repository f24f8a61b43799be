import json
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from svckit.errors import error_for
from tests.unit.gateway.conftest import REPOSITORY, House, digest_of

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONTENT = json.dumps({"schemaVersion": 2, "mediaType": MEDIA_TYPE}).encode()
DIGEST = digest_of(CONTENT)


def path(reference: str) -> str:
    return f"/v2/{REPOSITORY}/manifests/{reference}"


async def put(
    house: House, reference: str = "latest", content: bytes = CONTENT, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    every = {**house.bearer(), "Content-Type": MEDIA_TYPE, **(headers or {})}
    return await house.http.put(path(reference), content=content, headers=every)


async def test_a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest(house: House) -> None:
    stored = await put(house, headers={"Content-Type": f"{MEDIA_TYPE}; charset=utf-8"})
    assert stored.status_code == 201
    assert stored.headers["Location"] == path(DIGEST)
    assert stored.headers["Docker-Content-Digest"] == DIGEST
    assert "OCI-Subject" not in stored.headers
    assert "OCI-Tag" not in stored.headers
    for reference in ("latest", DIGEST):
        answer = await house.http.get(path(reference), headers={**house.bearer(), "Accept": "text/html"})
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert answer.headers["Content-Type"] == MEDIA_TYPE
        assert answer.headers["Docker-Content-Digest"] == DIGEST
        assert answer.headers["ETag"] == f'"{DIGEST}"'
        head = await house.http.head(path(reference), headers=house.bearer())
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(CONTENT))
        assert head.headers["Content-Type"] == MEDIA_TYPE


async def test_a_manifest_that_the_client_has_is_304(house: House) -> None:
    await put(house)
    for tag in (f'"{DIGEST}"', f'"other", W/"{DIGEST}"', "*"):
        answer = await house.http.get(path("latest"), headers={**house.bearer(), "If-None-Match": tag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["Docker-Content-Digest"] == DIGEST


async def test_a_put_by_digest_moves_many_tags_at_once(house: House) -> None:
    tags = [f"v{n}" for n in range(10)]
    answer = await put(house, f"{DIGEST}?" + "&".join(f"tag={tag}" for tag in tags))
    assert answer.status_code == 201
    assert answer.headers.get_list("OCI-Tag") == tags
    assert list(house.metasvc.puts[0].tags) == tags
    many = await put(house, f"{DIGEST}?" + "&".join(f"tag=v{n}" for n in range(101)))
    assert many.status_code == 414


async def test_the_subject_is_named_in_the_answer(house: House) -> None:
    answer = await put(house, content=b'{"subject":{}}')
    assert answer.headers["OCI-Subject"] == "sha256:" + "5" * 64


async def test_conditions_of_a_write_reach_the_service_and_malformed_ones_never_get_lost(house: House) -> None:
    await put(house, headers={"If-Match": f'"{DIGEST}", "{DIGEST}"', "If-None-Match": "*"})
    assert list(house.metasvc.puts[0].if_match) == [DIGEST, DIGEST]
    assert list(house.metasvc.puts[0].if_none_match) == ["*"]
    for name in ("If-Match", "If-None-Match"):
        assert (await put(house, headers={name: f'"{DIGEST}'})).status_code == 400
    house.metasvc.failure = error_for("PRECONDITION")
    assert (await put(house, headers={"If-Match": f'"{DIGEST}"'})).status_code == 412


async def test_four_mebibytes_are_taken_and_more_refused_before_it_has_all_come(house: House) -> None:
    most = 4 * 1024 * 1024
    assert (await put(house, content=b"x" * most)).status_code == 201
    refused = await put(house, content=b"x" * (most + 1))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (413, "MANIFEST_INVALID")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 128 * 1024

    chunked = await house.http.put(path("latest"), content=endless(), headers=house.bearer())
    assert chunked.status_code == 413


@pytest.mark.parametrize(
    ("reference", "code"),
    [("sha256:baddigeststring", "DIGEST_INVALID"), ("-tag", "TAG_INVALID"), ("a" * 129, "TAG_INVALID")],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_bad_reference_is_400(house: House, method: str, reference: str, code: str) -> None:
    answer = await house.http.request(method, path(reference), content=CONTENT, headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def test_a_deleted_manifest_is_gone(house: House) -> None:
    await put(house)
    assert (await house.http.delete(path("latest"), headers=house.bearer())).status_code == 202
    unknown = await house.http.get(path("latest"), headers=house.bearer())
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    assert (await house.http.delete(path("latest"), headers=house.bearer())).status_code == 404


async def test_the_conditions_of_a_delete_reach_the_service(house: House) -> None:
    await put(house)
    for reference in ("latest", DIGEST):
        headers = {**house.bearer(), "If-Match": f'"other", W/"{DIGEST}", {DIGEST}'}
        assert (await house.http.delete(path(reference), headers=headers)).status_code == 202
        assert list(house.metasvc.deletes[-1].if_match) == ["other", f"W/{DIGEST}", DIGEST]
        assert list(house.metasvc.deletes[-1].if_none_match) == []
    await put(house)
    others = {**house.bearer(), "If-None-Match": f'W/"{DIGEST}", "other"'}
    assert (await house.http.delete(path("latest"), headers=others)).status_code == 202
    assert list(house.metasvc.deletes[-1].if_none_match) == [DIGEST, "other"]
    for name in ("If-Match", "If-None-Match"):
        malformed = {**house.bearer(), name: f'"{DIGEST}'}
        assert (await house.http.delete(path("latest"), headers=malformed)).status_code == 400
    assert len(house.metasvc.deletes) == 3


async def test_deleting_where_it_is_switched_off_is_405(house: House) -> None:
    house.metasvc.failure = error_for("UNSUPPORTED")
    answer = await house.http.delete(path("latest"), headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")

from urllib.parse import urljoin

import pytest

from roadstead.meta.v1.manifest_pb2 import Descriptor
from svckit.errors import error_for
from svckit.oci.media_types import OCI_INDEX
from svckit.tokens import Access, RegistryToken
from tests.unit.gateway.conftest import REPOSITORY, House, digest_of

TAGS = f"/v2/{REPOSITORY}/tags/list"
SUBJECT = digest_of(b"subject")
REFERRERS = f"/v2/{REPOSITORY}/referrers/{SUBJECT}"


def following(link: str, url: str) -> str:
    target, _, relation = link.partition(";")
    assert relation.strip() == 'rel="next"'
    return urljoin(url, target.strip("<>"))


async def test_tags_come_whole_without_n(house: House) -> None:
    house.metasvc.tags = ["b", "a", "C"]
    answer = await house.http.get(TAGS, headers=house.bearer())
    assert answer.json() == {"name": REPOSITORY, "tags": ["C", "a", "b"]}
    assert "Link" not in answer.headers


async def test_tags_come_in_pages_that_link_to_the_next(house: House) -> None:
    house.metasvc.tags = [f"t{n}" for n in range(5)]
    url, seen, pages = f"{TAGS}?n=2", [], 0
    while url:
        answer = await house.http.get(url, headers=house.bearer())
        seen += answer.json()["tags"]
        pages += 1
        url = following(answer.headers["Link"], url) if "Link" in answer.headers else ""
    assert (seen, pages) == (house.metasvc.tags, 3)


async def test_no_tags_at_all_for_n_0_and_the_rest_after_last(house: House) -> None:
    house.metasvc.tags = ["a", "b", "c"]
    none = await house.http.get(f"{TAGS}?n=0", headers=house.bearer())
    assert none.json()["tags"] == []
    assert "Link" not in none.headers
    rest = await house.http.get(f"{TAGS}?last=a", headers=house.bearer())
    assert rest.json()["tags"] == ["b", "c"]
    house.metasvc.tags = []
    assert (await house.http.get(TAGS, headers=house.bearer())).json()["tags"] == []


@pytest.mark.parametrize("n", ["-1", "x", "", "1e3", "%00", "9" * 30, "%C2%B2"])
async def test_a_number_that_is_none_is_400(house: House, n: str) -> None:
    assert (await house.http.get(f"{TAGS}?n={n}", headers=house.bearer())).status_code == 400


async def test_the_catalog_comes_in_pages_to_who_may_see_it(house: House) -> None:
    house.metasvc.repositories = [f"p/r{n:04}" for n in range(1500)]
    claims = RegistryToken(subject="user:1", access=(Access("registry", "catalog", frozenset({"*"})),))
    headers = {"Authorization": f"Bearer {house.keyring.sign('authsvc', claims)}"}
    first = await house.http.get("/v2/_catalog", headers=headers)
    assert len(first.json()["repositories"]) == 100
    url = following(first.headers["Link"], "/v2/_catalog")
    second = await house.http.get(url, headers=headers)
    assert second.json()["repositories"][0] == "p/r0100"
    most = await house.http.get("/v2/_catalog?n=5000", headers=headers)
    assert len(most.json()["repositories"]) == 1000
    none = await house.http.get("/v2/_catalog?n=0", headers=headers)
    assert (none.json(), "Link" in none.headers) == ({"repositories": []}, False)
    refused = await house.http.get("/v2/_catalog", headers=house.bearer())
    assert refused.status_code == 401
    assert 'scope="registry:catalog:*",error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


async def test_referrers_are_an_index_and_never_404(house: House) -> None:
    empty = await house.http.get(REFERRERS, headers=house.bearer())
    assert empty.status_code == 200
    assert empty.headers["Content-Type"] == OCI_INDEX
    assert empty.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    house.metasvc.failure = error_for("NAME_UNKNOWN")
    assert (await house.http.get(REFERRERS, headers=house.bearer())).status_code == 200
    bad = await house.http.get(f"/v2/{REPOSITORY}/referrers/sha256:0", headers=house.bearer())
    assert bad.status_code == 400


async def test_referrers_are_filtered_and_paged(house: House) -> None:
    house.metasvc.referrers = [
        Descriptor(
            media_type="application/vnd.oci.image.manifest.v1+json",
            digest=digest_of(str(n).encode()),
            size_bytes=n,
            artifact_type="application/x.sbom" if n % 2 else "",
            annotations={"n": str(n)},
        )
        for n in range(6)
    ]
    url, seen = f"{REFERRERS}?artifactType=application/x.sbom&n=2", []
    while url:
        answer = await house.http.get(url, headers=house.bearer())
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        seen += answer.json()["manifests"]
        url = following(answer.headers["Link"], url) if "Link" in answer.headers else ""
    assert [each["size"] for each in seen] == [1, 3, 5]
    assert seen[0]["annotations"] == {"n": "1"}
    assert seen[0]["artifactType"] == "application/x.sbom"
    every = await house.http.get(REFERRERS, headers=house.bearer())
    assert "OCI-Filters-Applied" not in every.headers
    assert "artifactType" not in every.json()["manifests"][0]

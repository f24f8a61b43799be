"""Reads over HTTP: they share RPCs, each with its own caller, and bytes that the gateway holds are not sent again."""

import asyncio
from typing import Any

import pytest

from roadstead.meta.v1.manifest_pb2 import Manifest
from svckit.errors import DomainError, error_for
from tests.harness.stand_ins.metasvc import Metasvc
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of

OCI = "application/vnd.oci.image.manifest.v1+json"


def put(house: House, content: bytes, tag: str = "v1", repository: str = REPOSITORY, media_type: str = OCI) -> str:
    digest = digest_of(content)
    stored = Manifest(digest=digest, media_type=media_type, size_bytes=len(content), content=content)
    house.metasvc.manifests[repository, tag] = house.metasvc.manifests[repository, digest] = stored
    return digest


async def get(house: House, reference: str = "v1", *, repository: str = REPOSITORY, method: str = "GET") -> Any:
    headers = house.bearer("pull", repository)
    return await house.http.request(method, f"/v2/{repository}/manifests/{reference}", headers=headers)


async def test_reads_at_the_same_time_share_rpcs_and_each_has_its_own_answer(house: House) -> None:
    digests = {f"v{number}": put(house, f"content {number}".encode(), f"v{number}") for number in range(20)}
    await get(house)

    answers = await asyncio.gather(*(get(house, tag) for tag in [*digests, "absent"]))

    assert [answer.headers["Docker-Content-Digest"] for answer in answers[:-1]] == list(digests.values())
    assert [answer.content for answer in answers[:-1]] == [f"content {number}".encode() for number in range(20)]
    assert answers[-1].json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    sizes = [len(batch) for batch in house.metasvc.batches[1:]]
    assert sum(sizes) == 21
    assert max(sizes) > 1
    assert house.metasvc.single_reads == 0


async def test_a_batch_carries_each_callers_own_token_request_id_and_address(house: House) -> None:
    put(house, b"content")
    tokens = [house.token((REPOSITORY, "pull"), subject=f"user:{number}") for number in range(1, 11)]

    answers = await asyncio.gather(
        *(
            house.http.get(
                f"/v2/{REPOSITORY}/manifests/v1",
                headers={"Authorization": f"Bearer {token}", "X-Request-Id": f"request-{number}"},
            )
            for number, token in enumerate(tokens)
        ),
        house.http.get(f"/v2/{REPOSITORY}/manifests/v1", headers={"Authorization": "Bearer x.y.z"}),
        house.http.get(f"/v2/{REPOSITORY}/manifests/v1", headers=house.bearer("pull", "team/other")),
    )

    assert [answer.status_code for answer in answers] == [200] * 10 + [401, 401]
    assert 'error="insufficient_scope"' in answers[-1].headers["WWW-Authenticate"]
    members = [member for batch in house.metasvc.batches for member in batch]
    assert {member.call.token for member in members[:12]} >= set(tokens)
    by_token = {member.call.token: member.call for member in members}
    assert [by_token[token].request_id for token in tokens] == [f"request-{number}" for number in range(10)]
    assert {call.client_address for call in by_token.values()} == {"127.0.0.1"}
    assert all(0 < call.timeout_milliseconds <= 30_000 for call in by_token.values())


async def test_bytes_that_are_held_are_not_sent_again_and_metasvc_is_asked_all_the_same(house: House) -> None:
    digest = put(house, b"content")

    for reference in ("v1", "v1", digest):
        answer = await get(house, reference)
        assert (answer.content, answer.headers["Docker-Content-Digest"]) == (b"content", digest)

    held = [member.held_digest for batch in house.metasvc.batches for member in batch]
    assert held == ["", digest, digest]
    metrics = (await house.http.get("/metrics")).text
    assert 'gateway_manifest_cache_reads_total{result="hit"} 2.0' in metrics
    assert 'gateway_manifest_cache_reads_total{result="miss"} 1.0' in metrics


async def test_a_tag_that_has_moved_is_answered_with_its_new_bytes(house: House) -> None:
    put(house, b"old")
    await get(house)
    new = put(house, b"new")

    answer = await get(house)

    assert (answer.content, answer.headers["Docker-Content-Digest"]) == (b"new", new)


async def test_held_bytes_open_nothing(house: House) -> None:
    digest = put(house, b"content")
    await get(house)

    unknown = await get(house, digest, repository="team/other")
    assert unknown.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    headers = house.bearer("pull", "team/other")
    assert (await house.http.get(f"/v2/{REPOSITORY}/manifests/{digest}", headers=headers)).status_code == 401
    house.metasvc.manifests.clear()
    assert (await get(house, digest)).status_code == 404
    house.metasvc.failure = error_for("UNAVAILABLE")
    assert (await get(house, digest)).status_code == 503


async def test_the_media_type_is_that_of_the_repository_not_of_the_bytes(house: House) -> None:
    digest = put(house, b"content")
    put(house, b"content", repository="team/other", media_type="application/vnd.docker.other+json")

    assert (await get(house, digest)).headers["Content-Type"] == OCI
    other = await get(house, digest, repository="team/other")

    assert other.headers["Content-Type"] == "application/vnd.docker.other+json"
    assert other.content == b"content"
    assert house.metasvc.batches[-1][0].held_digest == digest


async def test_a_head_needs_no_bytes_and_holds_none(house: House) -> None:
    put(house, b"content")

    head = await get(house, method="HEAD")
    await get(house)

    assert (head.content, head.headers["Content-Length"]) == (b"", "7")
    first, second = (batch[0] for batch in house.metasvc.batches)
    assert (first.omit_content, second.omit_content, second.held_digest) == (True, False, "")


async def test_bytes_that_do_not_match_their_digest_are_not_held(house: House) -> None:
    put(house, b"content")
    house.metasvc.manifests[REPOSITORY, "v1"].content = b"damaged"

    for _ in range(2):
        assert (await get(house)).content == b"damaged"

    assert [batch[0].held_digest for batch in house.metasvc.batches] == ["", ""]


async def test_a_caller_whose_right_is_asked_of_authsvc_comes_alone(house: House) -> None:
    put(house, b"content")
    blob = house.hold(b"blob")
    headers = {"Authorization": f"Bearer {house.keyring.identity_token()}"}

    manifest = await house.http.get(f"/v2/{REPOSITORY}/manifests/v1", headers=headers)
    head = await house.http.head(f"/v2/{REPOSITORY}/blobs/{blob}", headers=headers)

    assert (manifest.content, head.status_code) == (b"content", 200)
    assert house.metasvc.single_reads == 2
    metrics = (await house.http.get("/metrics")).text
    assert 'gateway_reads_alone_total{kind="manifests",reason="access"} 1.0' in metrics
    assert 'gateway_reads_alone_total{kind="blobs",reason="access"} 1.0' in metrics


@pytest.mark.parametrize("failure", [error_for("INTERNAL"), error_for("UNSUPPORTED"), error_for("TOOMANYREQUESTS")])
async def test_a_failure_that_may_be_one_members_own_is_asked_again_one_by_one(
    house: House, failure: DomainError
) -> None:
    put(house, b"content")
    house.metasvc.batch_failure = failure

    answers = await asyncio.gather(*(get(house) for _ in range(5)))

    assert [answer.content for answer in answers] == [b"content"] * 5
    assert house.metasvc.single_reads == 5


async def test_a_failure_that_is_everybodys_is_answered(house: House) -> None:
    put(house, b"content")
    house.metasvc.batch_failure = error_for("OVERLOADED")

    answer = await get(house)

    assert (answer.status_code, house.metasvc.single_reads) == (503, 0)
    assert answer.headers["Retry-After"]


async def test_heads_of_blobs_share_rpcs_too(house: House) -> None:
    digests = [house.hold(f"blob {number}".encode()) for number in range(12)]
    headers = house.bearer("pull")

    answers = await asyncio.gather(
        *(house.http.head(f"/v2/{REPOSITORY}/blobs/{digest}", headers=headers) for digest in digests),
        house.http.head(f"/v2/{REPOSITORY}/blobs/{digest_of(b'absent')}", headers=headers),
    )

    assert [answer.status_code for answer in answers] == [200] * 12 + [404]
    assert max(len(batch) for batch in house.metasvc.batches) > 1
    assert house.metasvc.single_reads == 0


async def test_reads_go_over_one_stream_of_each_kind(house: House) -> None:
    put(house, b"content")
    blob = house.hold(b"blob")

    for _ in range(5):
        assert (await get(house)).content == b"content"
        assert (await house.http.head(f"/v2/{REPOSITORY}/blobs/{blob}", headers=house.bearer("pull"))).is_success

    assert (house.metasvc.streams, house.metasvc.streamed_batches) == (2, 10)


async def test_a_read_whose_stream_hangs_holds_up_no_other_one(house: House) -> None:
    put(house, b"content")
    first, released = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        if not first.is_set():
            first.set()
            await released.wait()

    house.metasvc.before_streamed_answer = hang
    hanging = asyncio.ensure_future(get(house))
    await first.wait()

    answers = await asyncio.gather(*(get(house) for _ in range(10)))
    assert {answer.content for answer in answers} == {b"content"}
    assert not hanging.done()
    released.set()
    assert (await hanging).content == b"content"


async def test_reads_go_on_with_a_metasvc_that_knows_no_streams(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ResolveManifestBatches", "ResolveBlobBatches"):
        monkeypatch.setattr(Metasvc, name, None)
    house = await make_house()
    put(house, b"content")
    blob = house.hold(b"blob")

    for _ in range(3):
        assert (await get(house)).content == b"content"
        assert (await house.http.head(f"/v2/{REPOSITORY}/blobs/{blob}", headers=house.bearer("pull"))).is_success

    assert (house.metasvc.single_reads, len(house.metasvc.batches)) == (0, 6)

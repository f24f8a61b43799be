"""The referrers of a manifest."""

import json
from typing import Any

import pytest

from metasvc.domain.model import Referrer
from metasvc.domain.referrer import list_referrers
from svckit.errors import DomainError
from svckit.listing import Page
from svckit.oci import media_types
from tests.contract.metasvc.world import Image, World, asked, digest_of, image, index

NOTHING: Page[Referrer] = Page(())


async def referrers(
    world: World, subject: str, *, artifact_type: str = "", project_id: int = 1, **request: Any
) -> Page[Referrer]:
    return await list_referrers(
        world.ports,
        project_id=project_id,
        repository="alpha/app",
        subject=subject,
        artifact_type=artifact_type,
        request=asked(**request),
    )


def about(subject: Image, name: str, **more: Any) -> Image:
    return image(name, subject=subject_of(subject), **more)


def subject_of(subject: Image) -> dict[str, object]:
    return {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)}


async def test_nothing_refers_to_what_nobody_knows(world: World) -> None:
    assert await referrers(world, digest_of(b"nothing")) == NOTHING


async def test_a_referrer_may_come_before_its_subject_and_an_ordinary_tag_keeps_it_after_it(world: World) -> None:
    subject = image("subject")
    signature = about(subject, "signature", annotations={"who": "me"}, artifactType="application/vnd.example.sig")

    answer = await world.push("alpha/app", signature, "kept")
    assert answer.subject_digest == subject.digest
    await world.push("alpha/app", subject, "v1")
    await world.delete("alpha/app", subject.digest)

    page = await referrers(world, subject.digest)
    [found] = page.items
    assert (page.next_page_token, page.total_size) == ("", 1)
    assert (found.digest, found.size, found.media_type) == (
        signature.digest,
        len(signature.content),
        media_types.OCI_MANIFEST,
    )
    assert (found.artifact_type, dict(found.annotations)) == ("application/vnd.example.sig", {"who": "me"})
    reasons = {row.digest: row.reason for row in await world.rows("SELECT * FROM review WHERE kind = 'manifest'")}
    assert reasons[signature.digest] == "subject_deleted"

    await world.delete("alpha/app", signature.digest)
    assert await referrers(world, subject.digest) == NOTHING


async def test_the_type_falls_back_to_the_config_for_manifests_and_is_empty_for_indexes(world: World) -> None:
    subject = image("subject")
    plain = about(subject, "plain")
    listed = index([], subject=subject_of(subject))
    await world.push("alpha/app", plain)
    await world.put("alpha/app", listed)

    found = (await referrers(world, subject.digest)).items
    assert {each.digest: each.artifact_type for each in found} == {
        plain.digest: media_types.OCI_CONFIG,
        listed.digest: "",
    }
    filtered = await referrers(world, subject.digest, artifact_type=media_types.OCI_CONFIG)
    assert ([each.digest for each in filtered.items], filtered.total_size) == ([plain.digest], 1)


async def test_pages_show_everything_once(world: World) -> None:
    subject = image("subject")
    pushed = [about(subject, f"number {number}") for number in range(7)]
    for each in pushed:
        await world.push("alpha/app", each)

    seen: list[str] = []
    token = ""
    while token or not seen:
        page = await referrers(world, subject.digest, page_size=3, page_token=token)
        seen += [each.digest for each in page.items]
        assert page.total_size == 7
        token = page.next_page_token
    assert seen == [each.digest for each in pushed]


async def test_other_repositories_and_other_projects_of_the_name_show_nothing(world: World) -> None:
    subject = image("subject")
    await world.push("alpha/other", about(subject, "elsewhere"))
    await world.push("alpha/app", about(subject, "here"))

    assert len((await referrers(world, subject.digest)).items) == 1
    assert await referrers(world, subject.digest, project_id=2) == NOTHING


async def test_a_fallback_index_of_an_older_client_adds_nothing_twice(world: World) -> None:
    subject = image("subject")
    signature = about(subject, "signature")
    unrelated = image("no subject of its own")
    await world.push("alpha/app", signature)
    await world.push("alpha/app", unrelated)
    fallback = index([signature, unrelated])

    await world.put("alpha/app", fallback, subject.digest.replace(":", "-"))

    found = (await referrers(world, subject.digest)).items
    # An entry of an index alone makes no referrer: the spec requires a subject field.
    assert [each.digest for each in found] == [signature.digest]


async def test_the_accessory_has_the_type_that_harbor_gives_it(world: World) -> None:
    subject = image("subject")
    await world.push("alpha/app", about(subject, "n", artifactType="application/vnd.cncf.notary.signature"))
    await world.push("alpha/app", about(subject, "s", artifactType="application/vnd.goharbor.harbor.sbom.v1"))
    await world.push("alpha/app", about(subject, "x", artifactType="text/anything"))

    types = [row.type for row in await world.rows("SELECT type FROM artifact_accessory ORDER BY id")]
    assert types == ["signature.notation", "sbom.harbor", "subject.accessory"]


async def test_a_docker_manifest_has_no_subject(world: World) -> None:
    subject = image("subject")
    document = json.loads(about(subject, "docker").content)
    document["mediaType"] = media_types.DOCKER_MANIFEST
    docker = Image(json.dumps(document).encode(), media_types.DOCKER_MANIFEST, image("docker").blobs)

    answer = await world.push("alpha/app", docker)

    assert answer.subject_digest == ""
    assert await referrers(world, subject.digest) == NOTHING


async def test_a_digest_that_is_none_is_refused(world: World) -> None:
    broken = image("broken", subject={"mediaType": media_types.OCI_MANIFEST, "digest": "sha256:zz", "size": 1})
    for digest, size in broken.blobs.items():
        await world.link("alpha/app", digest, size=size)
    with pytest.raises(DomainError) as caught:
        await world.put("alpha/app", broken)
    assert caught.value.reason == "MANIFEST_INVALID"

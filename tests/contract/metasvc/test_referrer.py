"""What refers to a manifest."""

import json
from typing import Any

import pytest

from metasvc.domain.model import Referrer
from metasvc.domain.referrer import list_referrers
from svckit.errors import DomainError
from svckit.oci import media_types
from tests.contract.metasvc.world import Image, World, digest_of, image, index


async def referrers(
    world: World, subject: str, *, artifact_type: str = "", after: int = 0, page_size: int = 0, project_id: int = 1
) -> tuple[list[Referrer], int]:
    return await list_referrers(
        world.ports,
        project_id=project_id,
        repository="alpha/app",
        subject=subject,
        artifact_type=artifact_type,
        after=after,
        page_size=page_size,
    )


def about(subject: Image, name: str, **more: Any) -> Image:
    return image(name, subject=subject_of(subject), **more)


def subject_of(subject: Image) -> dict[str, object]:
    return {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)}


async def test_nothing_refers_to_what_nobody_knows(world: World) -> None:
    assert await referrers(world, digest_of(b"nothing")) == ([], 0)


async def test_a_referrer_may_come_before_its_subject_and_stays_after_it(world: World) -> None:
    subject = image("subject")
    signature = about(subject, "signature", annotations={"who": "me"}, artifactType="application/vnd.example.sig")

    answer = await world.push("alpha/app", signature)
    assert answer.subject_digest == subject.digest
    await world.push("alpha/app", subject, "v1")
    await world.delete("alpha/app", subject.digest)

    ((found,), after) = await referrers(world, subject.digest)
    assert after == 0
    assert (found.digest, found.size, found.media_type) == (
        signature.digest,
        len(signature.content),
        media_types.OCI_MANIFEST,
    )
    assert (found.artifact_type, dict(found.annotations)) == ("application/vnd.example.sig", {"who": "me"})
    reasons = {row.digest: row.reason for row in await world.rows("SELECT * FROM review WHERE kind = 'manifest'")}
    assert reasons[signature.digest] == "subject_deleted"

    await world.delete("alpha/app", signature.digest)
    assert await referrers(world, subject.digest) == ([], 0)


async def test_the_type_falls_back_to_the_config_for_manifests_and_is_empty_for_indexes(world: World) -> None:
    subject = image("subject")
    plain = about(subject, "plain")
    listed = index([], subject=subject_of(subject))
    await world.push("alpha/app", plain)
    await world.put("alpha/app", listed)

    found, _ = await referrers(world, subject.digest)
    assert {each.digest: each.artifact_type for each in found} == {
        plain.digest: media_types.OCI_CONFIG,
        listed.digest: "",
    }
    filtered, _ = await referrers(world, subject.digest, artifact_type=media_types.OCI_CONFIG)
    assert [each.digest for each in filtered] == [plain.digest]


async def test_pages_show_everything_once(world: World) -> None:
    subject = image("subject")
    pushed = [about(subject, f"number {number}") for number in range(7)]
    for each in pushed:
        await world.push("alpha/app", each)

    seen: list[str] = []
    after = 0
    while True:
        found, after = await referrers(world, subject.digest, after=after, page_size=3)
        seen += [each.digest for each in found]
        if after == 0:
            break
    assert seen == [each.digest for each in pushed]


async def test_other_repositories_and_other_projects_of_the_name_show_nothing(world: World) -> None:
    subject = image("subject")
    await world.push("alpha/other", about(subject, "elsewhere"))
    await world.push("alpha/app", about(subject, "here"))

    assert len((await referrers(world, subject.digest))[0]) == 1
    assert await referrers(world, subject.digest, project_id=2) == ([], 0)


async def test_a_fallback_index_of_an_older_client_adds_nothing_twice(world: World) -> None:
    subject = image("subject")
    signature = about(subject, "signature")
    unrelated = image("no subject of its own")
    await world.push("alpha/app", signature)
    await world.push("alpha/app", unrelated)
    fallback = index([signature, unrelated])

    await world.put("alpha/app", fallback, subject.digest.replace(":", "-"))

    found, _ = await referrers(world, subject.digest)
    # An index's word alone makes no referrer: the spec wants those with a subject field.
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
    assert await referrers(world, subject.digest) == ([], 0)


async def test_a_digest_that_is_none_is_refused(world: World) -> None:
    broken = image("broken", subject={"mediaType": media_types.OCI_MANIFEST, "digest": "sha256:zz", "size": 1})
    for digest, size in broken.blobs.items():
        await world.link("alpha/app", digest, size=size)
    with pytest.raises(DomainError) as caught:
        await world.put("alpha/app", broken)
    assert caught.value.reason == "MANIFEST_INVALID"

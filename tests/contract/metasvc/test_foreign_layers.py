"""Foreign layers whose bytes somebody has pushed all the same: they are needed as any other layer is."""

import json
from collections.abc import Awaitable

import pytest

from metasvc.domain.artifact_copy import ArtifactCopy, copy_artifact
from svckit.errors import DomainError
from svckit.oci import media_types
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import ORIGIN, Image, World, blob_digest, descriptor

CONFIG, LAYER = blob_digest("config"), blob_digest("foreign")
CONFIG_BYTES, LAYER_BYTES = 10, 5000


def foreign_image() -> Image:
    layer = descriptor("foreign", LAYER_BYTES, media_types.DOCKER_FOREIGN_LAYER, urls=["https://example.com/layer"])
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": descriptor("config", CONFIG_BYTES, media_types.DOCKER_CONFIG),
        "layers": [layer],
    }
    return Image(json.dumps(document).encode(), media_types.DOCKER_MANIFEST, {CONFIG: CONFIG_BYTES})


async def reason_of(work: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value.reason


async def push(world: World, *, order: str) -> Image:
    """Pushes the image and the bytes of its layer: before the manifest, or before it is put again."""
    pushed = foreign_image()
    if order == "late":
        await world.push("alpha/app", pushed, "v1")
    await world.link("alpha/app", LAYER, size=LAYER_BYTES)
    await world.push("alpha/app", pushed, "v1")
    return pushed


@pytest.mark.parametrize("order", ["early", "late"])
async def test_bytes_that_were_pushed_are_kept_with_their_manifest(world: World, order: str) -> None:
    pushed = await push(world, order=order)
    whole = len(pushed.content) + CONFIG_BYTES + LAYER_BYTES

    assert await reason_of(world.unlink("alpha/app", LAYER)) == "BLOB_IN_USE"
    assert (await world.resolve_blob("alpha/app", LAYER)).media_type == media_types.DOCKER_FOREIGN_LAYER
    assert await world.value("SELECT size FROM artifact") == whole
    assert await world.used_bytes() == whole

    await world.delete("alpha/app", pushed.digest)
    assert await world.used_bytes() == 0


@pytest.mark.parametrize("order", ["early", "late"])
async def test_a_copy_takes_them_along(world: World, order: str) -> None:
    await push(world, order=order)

    wanted = ArtifactCopy(
        source_project_id=1, source="alpha/app", reference=Reference.parse("v1"), project_id=2, repository="beta/app"
    )
    await copy_artifact(world.ports, wanted, ORIGIN)

    assert (await world.resolve_blob("beta/app", LAYER, project_id=2)).size == LAYER_BYTES


async def test_a_repeat_writes_them_once(world: World) -> None:
    for _ in range(2):
        await push(world, order="late")

    rows = await world.rows("SELECT digest, size FROM artifact_blob ORDER BY size")
    assert [tuple(row) for row in rows] == [(CONFIG, CONFIG_BYTES), (LAYER, LAYER_BYTES)]

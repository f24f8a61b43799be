"""The attributes in the config of an artifact are read when it is pushed, and stored with it."""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from metasvc.domain.artifact_type import HELM_CONFIG
from metasvc.store.unit_of_work import SqlStore
from svckit.errors import DomainError, Unavailable
from svckit.oci import media_types
from svckit.oci.config import MAX_CONFIG_BYTES
from svckit.sql.database import Database
from tests.contract.metasvc.world import (
    IDEMPOTENCY_KEY_SECONDS,
    MIB,
    Image,
    World,
    blob_digest,
    descriptor,
    digest_of,
    image,
    index,
)

T = TypeVar("T")
APP = "alpha/app"
CONFIG = {"architecture": "arm64", "os": "linux", "config": {"Env": ["A=b"], "Labels": {"x": "y"}}}


def configured(config: bytes, media_type: str = media_types.OCI_CONFIG, *, embedded: bool = False) -> Image:
    """An artifact with this config, and one layer."""
    described = {"mediaType": media_type, "digest": digest_of(config), "size": len(config)}
    if embedded:
        described["data"] = base64.b64encode(config).decode()
    document = {**json.loads(image("one").content), "config": described}
    blobs = {blob_digest("base"): 100, digest_of(config): len(config)}
    return Image(json.dumps(document).encode(), media_types.OCI_MANIFEST, blobs)


async def push(world: World, config: bytes, media_type: str = media_types.OCI_CONFIG) -> dict[str, Any]:
    """Pushes an artifact with this config, and gives what is kept of it."""
    world.configs.contents[digest_of(config)] = config
    pushed = configured(config, media_type)
    await world.push(APP, pushed)
    return await attributes_of(world, pushed)


async def attributes_of(world: World, pushed: Image) -> dict[str, Any]:
    repository_id = await world.value("SELECT id FROM repository WHERE name = :name", name=APP)
    async with world.store.read() as unit:
        artifact = await unit.artifacts.get(repository_id, pushed.digest)
    assert artifact is not None
    return dict(artifact.extra_attrs)


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


async def test_the_config_of_an_image_is_read(world: World) -> None:
    assert await push(world, json.dumps({**CONFIG, "rootfs": {}}).encode()) == CONFIG
    assert await push(world, json.dumps({"os": "windows"}).encode(), media_types.DOCKER_CONFIG) == {"os": "windows"}


async def test_the_config_of_a_chart_is_kept_as_it_is(world: World) -> None:
    chart = {"name": "nginx", "version": "1.2.3", "keywords": ["web"]}
    assert await push(world, json.dumps(chart).encode(), HELM_CONFIG) == chart


@pytest.mark.parametrize(
    "config",
    [
        b"not even JSON",
        b"",
        b'{"config": "\\u0000\\ud800"}',
        b'{"config": {"a": 1e999, "b": ' + b"9" * 5000 + b"}}",
        b'{"config":' + b'{"a":' * 500 + b"1" + b"}" * 501,
        b'{"os": "linux", "config": {"long": "' + b"x" * MIB + b'"}}',
    ],
)
async def test_an_odd_config_fails_no_push(world: World, config: bytes) -> None:
    kept = await push(world, config)

    assert len(json.dumps(kept)) < 1000


async def test_a_config_that_is_too_large_is_not_asked_for(world: World) -> None:
    pushed = configured(b"{}")
    await world.link(APP, blob_digest("base"))
    await world.link(APP, digest_of(b"{}"), size=MAX_CONFIG_BYTES + 1)

    await world.put(APP, pushed, "v1")

    assert await attributes_of(world, pushed) == {}
    assert world.configs.asked == []


async def test_bytes_that_are_gone_fail_no_push(world: World) -> None:
    pushed = configured(b"{}")

    await world.push(APP, pushed)

    assert await attributes_of(world, pushed) == {}
    assert world.configs.asked == [digest_of(b"{}")]


async def test_nobody_is_asked_where_nothing_is_to_be_learnt(world: World) -> None:
    known = image("known")
    await world.push(APP, known, "v1")
    world.configs.asked.clear()

    assert (await world.put(APP, known, "v2")).existed
    await world.put(APP, index([known]), "many")
    await world.push(APP, configured(b'{"a": 1}', "application/vnd.example.config.v1+json"))
    await world.push(APP, configured(b"{}", media_types.OCI_EMPTY))
    embedded = configured(json.dumps(CONFIG).encode(), embedded=True)
    await world.push(APP, embedded)

    assert world.configs.asked == []
    assert await attributes_of(world, embedded) == CONFIG


async def test_a_config_that_comes_with_the_push_is_not_asked_for(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    pushed = configured(config)
    for digest, size in pushed.blobs.items():
        await world.link(APP, digest, size=size)

    assert not (await world.put(APP, pushed, "v1", config=config)).existed
    assert (await world.put(APP, pushed, "v2", config=config)).existed

    assert await attributes_of(world, pushed) == CONFIG
    assert world.configs.asked == []


async def test_other_bytes_than_those_of_the_config_are_not_believed(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    world.configs.contents[digest_of(config)] = config
    pushed = configured(config)
    for digest, size in pushed.blobs.items():
        await world.link(APP, digest, size=size)

    await world.put(APP, pushed, "v1", config=config.replace(b"arm64", b"amd64"))

    assert await attributes_of(world, pushed) == CONFIG
    assert world.configs.asked == [digest_of(config)]


async def test_whoever_knows_the_bytes_of_a_config_has_no_right_to_it(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    pushed = configured(config)
    for digest, size in pushed.blobs.items():
        await world.link("alpha/other", digest, size=size)
    await world.link(APP, blob_digest("base"))

    assert await reason_of(world.put(APP, pushed, "v1", config=config)) == "MANIFEST_BLOB_UNKNOWN"
    assert await reason_of(world.resolve(APP, "v1")) == "MANIFEST_UNKNOWN"


async def test_an_index_has_no_attributes_and_its_children_their_platforms(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    world.configs.contents[digest_of(config)] = config
    child = configured(config)
    await world.push(APP, child)
    many = index([child])

    await world.put(APP, many, "many")

    assert await attributes_of(world, many) == {}
    assert await attributes_of(world, child) == CONFIG
    (platform,) = await world.rows("SELECT platform FROM artifact_reference")
    assert "arch0" in str(platform)


async def test_a_push_whose_config_cannot_be_read_leaves_nothing_and_can_be_repeated(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    pushed = configured(config)
    world.configs.failure = Unavailable()

    assert await reason_of(world.push(APP, pushed, "v1")) == "UNAVAILABLE"
    assert await reason_of(world.resolve(APP, "v1")) == "MANIFEST_UNKNOWN"
    assert await world.value("SELECT count(*) FROM artifact") == 0

    world.configs.failure = None
    world.configs.contents[digest_of(config)] = config
    await world.put(APP, pushed, "v1")
    assert await attributes_of(world, pushed) == CONFIG


async def test_others_write_while_a_config_is_read(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    world.configs.contents[digest_of(config)] = config

    # On SQLite, which has one writer, this would wait for ever if the push held a transaction.
    world.configs.before_answer = lambda: world.link(APP, blob_digest("other"))
    assert await push(world, config) == CONFIG

    assert (await world.resolve_blob(APP, blob_digest("other"))).size == 100


async def test_an_image_that_came_while_its_config_was_read_is_there_already(world: World) -> None:
    config = json.dumps(CONFIG).encode()
    world.configs.contents[digest_of(config)] = config
    pushed = configured(config)
    for digest, size in pushed.blobs.items():
        await world.link(APP, digest, size=size)

    async def overtake() -> None:
        world.configs.before_answer = None
        assert not (await world.put(APP, pushed)).existed

    world.configs.before_answer = overtake
    assert (await world.put(APP, pushed, "v1")).existed
    assert await attributes_of(world, pushed) == CONFIG


class OvertakenStore(SqlStore):
    """Lets something happen just before the next unit is written."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, idempotency_key_seconds=IDEMPOTENCY_KEY_SECONDS)
        self.first: Callable[[], Awaitable[object]] | None = None

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        first, self.first = self.first, None
        if first is not None:
            await first()
        return await super().repeat(work)


@pytest.mark.parametrize("change", ["the config comes", "the image goes"])
async def test_what_changes_between_the_look_and_the_write_is_looked_at_again(world: World, change: str) -> None:
    config = json.dumps(CONFIG).encode()
    world.configs.contents[digest_of(config)] = config
    pushed = configured(config)
    await world.link(APP, blob_digest("base"))
    store = OvertakenStore(world.database)
    world.ports = replace(world.ports, store=store)
    if change == "the config comes":
        store.first = lambda: world.link(APP, digest_of(config), size=len(config))
    else:
        await world.push(APP, pushed)
        store.first = lambda: world.delete(APP, pushed.digest)

    assert await reason_of(world.put(APP, pushed, "v1")) == "UNAVAILABLE"
    assert await reason_of(world.resolve(APP, "v1")) == "MANIFEST_UNKNOWN"

    assert not (await world.put(APP, pushed, "v1")).existed
    assert await attributes_of(world, pushed) == CONFIG


async def test_a_config_that_is_missing_is_named_and_not_asked_for(world: World) -> None:
    pushed = configured(json.dumps(CONFIG).encode())
    await world.link(APP, blob_digest("base"))
    # Linked elsewhere, it must not be read for this repository.
    await world.link("beta/app", digest_of(json.dumps(CONFIG).encode()), project_id=2)

    assert await reason_of(world.put(APP, pushed, "v1")) == "MANIFEST_BLOB_UNKNOWN"
    assert world.configs.asked == []


async def test_the_layers_of_an_image_are_not_read(world: World) -> None:
    layer = descriptor("base", media_type=media_types.OCI_CONFIG)
    document = {**json.loads(configured(b"{}", media_types.OCI_EMPTY).content), "layers": [layer]}
    pushed = Image(
        json.dumps(document).encode(), media_types.OCI_MANIFEST, {blob_digest("base"): 100, digest_of(b"{}"): 2}
    )

    await world.push(APP, pushed)

    assert world.configs.asked == []

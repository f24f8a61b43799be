"""Odd and hostile manifests are either refused or stored unchanged."""

import base64
import gc
import json
from typing import Any

import pytest

from metasvc.domain.manifest_push import ManifestPush
from roadstead.meta.v1.manifest_service_pb2 import PutManifestRequest
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from svckit.bounded_json import INLINE_BYTES
from svckit.errors import DomainError
from svckit.oci import media_types
from tests.contract.metasvc.remote import serving
from tests.contract.metasvc.world import Image, World, blob_digest, descriptor, digest_of, image
from tests.harness.keyring import bearer
from tests.harness.living import count_lists_of
from tests.harness.waiting import wait_until_async

GOOD = json.loads(image("one").content)


def changed(**members: Any) -> bytes:
    return json.dumps({**GOOD, **members}).encode()


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no UTF-8": b'{"schemaVersion": 2, "a": "\xff"}',
    "a key twice": image("one").content.replace(b'{"schemaVersion": 2', b'{"schemaVersion": 2, "schemaVersion": 2', 1),
    "an image and an index": changed(manifests=[]),
    "a key in another case": changed(Layers=[]),
    "schema 1": changed(schemaVersion=1),
    "no number": changed(schemaVersion="2"),
    "another type inside than outside": changed(mediaType=media_types.OCI_INDEX),
    "a negative size": changed(layers=[descriptor("base", -1)]),
    "a size beyond 64 bits": changed(layers=[descriptor("base", 2**63)]),
    "sizes that add up beyond 64 bits": changed(layers=[descriptor("base", 2**62), descriptor("top", 2**62 + 2**61)]),
    "a digest in capitals": changed(layers=[{**descriptor("base"), "digest": blob_digest("base").upper()}]),
    "a digest with a path": changed(layers=[{**descriptor("base"), "digest": "sha256:../../etc/passwd"}]),
    "U+0000 in an annotation": changed(annotations={"a": "\0"}),
    "half a surrogate pair": changed(annotations={"a": "\ud800"}),
    "annotations that are no strings": changed(annotations={"a": 1}),
    "a media type with a line break": changed(config=descriptor("c", 2, "a/b\r\nX-Evil: 1")),
    "no layers": json.dumps({key: value for key, value in GOOD.items() if key != "layers"}).encode(),
    "nested without end": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_manifest_is_refused_and_leaves_nothing(world: World, name: str) -> None:
    for digest, size in image("one").blobs.items():
        await world.link("alpha/app", digest, size=size)

    with pytest.raises(DomainError) as caught:
        await world.put("alpha/app", Image(HOSTILE[name], media_types.OCI_MANIFEST, {}), "v1")

    assert caught.value.reason == "MANIFEST_INVALID"
    assert await world.value("SELECT count(*) FROM artifact") == 0
    assert await world.used_bytes() == 110


async def test_odd_texts_are_stored_as_they_are(world: World) -> None:
    annotations = {
        "": "",
        "emoji \U0001f40b": "\u202e right to left",
        "quotes": "'; DROP TABLE artifact; --",
        "%s": "\\u0000",
    }
    await world.push("alpha/app", image("odd", annotations=annotations), "v1")

    async with world.store.read() as unit:
        (repository_id,) = (await world.rows("SELECT id FROM repository"))[0]
        artifact = await unit.artifacts.get(repository_id, image("odd", annotations=annotations).digest)
    assert artifact is not None
    assert artifact.annotations == annotations


async def test_an_embedded_config_is_read_and_a_mad_one_is_left_alone(world: World) -> None:
    async def push(name: str, config: bytes) -> dict[str, Any]:
        embedded = {
            "mediaType": media_types.OCI_CONFIG,
            "digest": digest_of(config),
            "size": len(config),
            "data": base64.b64encode(config).decode(),
        }
        document = {**GOOD, "config": embedded, "annotations": {"name": name}}
        blobs = {blob_digest("base"): 100, digest_of(config): len(config)}
        pushed = Image(json.dumps(document).encode(), media_types.OCI_MANIFEST, blobs)
        await world.push("alpha/app", pushed, name)
        async with world.store.read() as unit:
            (repository_id,) = (await world.rows("SELECT id FROM repository"))[0]
            artifact = await unit.artifacts.get(repository_id, pushed.digest)
        assert artifact is not None
        return dict(artifact.extra_attrs)

    sane = {"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"], "Labels": {"x": "y"}}}
    assert await push("sane", json.dumps(sane).encode()) == sane
    assert await push("mad", b"not even JSON") == {}
    odd = await push(
        "odd",
        b'{"architecture": "a\\u0000\\ud800", "config": {"n": 1e999, "k\\u0000": [NaN, 123456789012345678901234]}}',
    )
    assert "\0" not in json.dumps(odd)


async def test_an_index_of_thousands_of_children_is_one_write(world: World) -> None:
    child = image("child")
    await world.push("alpha/app", child)
    described = {"mediaType": child.media_type, "digest": child.digest, "size": len(child.content)}
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [described] * 5000}

    await world.put("alpha/app", Image(json.dumps(document).encode(), media_types.OCI_INDEX, {}), "many")

    assert await world.value("SELECT count(*) FROM artifact_reference") == 5000


MARKED = 7_777_777


async def test_a_refused_manifest_leaves_nothing_in_memory(world: World) -> None:
    """Without a garbage collection, because a full one is rare in a process with many objects."""
    content = changed(schemaVersion=3, extension=[[MARKED, {"a": [MARKED]}]] * 3_000)
    assert len(content) > INLINE_BYTES
    async with serving(world) as remote:
        caller = bearer(remote.keyring.registry_token(("alpha/app", "pull,push", 1)))
        stub = ManifestServiceStub(remote.channel)
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                with pytest.raises(DomainError) as caught:
                    await stub.PutManifest(
                        PutManifestRequest(
                            repository="alpha/app",
                            reference="v1",
                            media_type=media_types.OCI_MANIFEST,
                            content=content,
                        ),
                        metadata=caller,
                    )
                assert caught.value.reason == "MANIFEST_INVALID"
            # The handler ends a moment after its answer.
            await wait_until_async(
                lambda: count_lists_of(MARKED),
                "the documents to be freed",
                wanted=lambda count: count == 0,
            )
            await wait_until_async(
                lambda: sum(isinstance(found, ManifestPush) for found in gc.get_objects()),
                "the requests to be freed",
                wanted=lambda count: count == 0,
            )
        finally:
            gc.enable()

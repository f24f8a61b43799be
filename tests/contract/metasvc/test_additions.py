"""Additions: what is read out of configs and archives, and what is wrong with them."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from metasvc.domain.addition import Addition, get_addition
from metasvc.domain.addition_layer import MAX_FILE_BYTES, MAX_LAYER_BYTES
from metasvc.domain.ports import DamagedConfigError
from svckit.errors import DomainError, Unavailable
from svckit.oci import media_types
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import Image, World, digest_of, image, index
from tests.harness.chart import DEPENDENCIES, README, VALUES, shop

HELM = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MODEL = "application/vnd.cncf.model.config.v1+json"
SBOM = "application/vnd.goharbor.harbor.sbom.v1"
JSON = "application/json; charset=utf-8"
REPOSITORY = "alpha/app"


def tar(files: Mapping[str, bytes], *, compressed: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0) if compressed else buffer.getvalue()


Part = tuple[str, bytes] | tuple[str, bytes, Mapping[str, str]]


async def push(world: World, config: Part, layers: Sequence[Part], **more: Any) -> Image:
    """Pushes an artifact with real bytes."""

    def described(part: Part) -> dict[str, Any]:
        media_type, content, *annotations = part
        world.configs.contents[digest_of(content)] = world.layers.contents[digest_of(content)] = content
        descriptor = {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
        return descriptor | ({"annotations": dict(annotations[0])} if annotations else {})

    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": described(config),
        "layers": [described(layer) for layer in layers],
        **more,
    }
    blobs = {digest_of(part[1]): len(part[1]) for part in (config, *layers)}
    pushed = Image(json.dumps(document).encode(), media_types.OCI_MANIFEST, blobs)
    await world.push(REPOSITORY, pushed, "v1")
    return pushed


async def push_chart(world: World, files: Mapping[str, bytes]) -> Image:
    return await push(world, (HELM, b'{"name":"shop"}'), [(CHART_LAYER, tar(files))])


async def addition(world: World, name: str, reference: str = "v1") -> Addition:
    return await get_addition(
        world.ports, project_id=1, repository=REPOSITORY, reference=Reference.parse(reference), name=name
    )


async def refusal(world: World, name: str, reference: str = "v1") -> tuple[str, str]:
    with pytest.raises(DomainError) as caught:
        await addition(world, name, reference)
    return caught.value.reason, caught.value.message


async def test_a_chart_that_helm_made_shows_its_files_and_dependencies(world: World) -> None:
    chart = shop()
    for digest, content in chart.blobs.items():
        world.configs.contents[digest] = world.layers.contents[digest] = content
    blobs = {digest: len(content) for digest, content in chart.blobs.items()}
    await world.push(REPOSITORY, Image(chart.manifest, chart.media_type, blobs), "v1")
    assert await addition(world, "readme.md") == Addition("text/markdown; charset=utf-8", README)
    assert await addition(world, "values.yaml") == Addition("text/plain; charset=utf-8", VALUES)
    found = await addition(world, "dependencies")
    assert (found.media_type, json.loads(found.content)) == (JSON, DEPENDENCIES)
    # As with Harbor, whose clients write names in upper case in places.
    assert (await addition(world, "README.MD")).content == README


async def test_only_files_of_the_chart_itself_count(world: World) -> None:
    files = {"shop/charts/cache/README.md": b"other", "README.md": b"above", "./shop/Readme.md": b"own"}
    await push_chart(world, files)
    assert (await addition(world, "readme.md")).content == b"own"
    # As in Harbor: a chart without values has empty ones.
    assert await addition(world, "values.yaml") == Addition("text/plain; charset=utf-8", b"")


async def test_nothing_is_read_behind_the_file(world: World) -> None:
    await push_chart(world, {"shop/README.md": b"text", "shop/large": bytes(range(256)) * 400})
    await addition(world, "readme.md")
    assert world.layers.read_bytes <= 1000


async def test_the_archive_is_found_among_other_layers(world: World) -> None:
    provenance = ("application/vnd.cncf.helm.chart.provenance.v1.prov", b"signed")
    await push(world, (HELM, b"{}"), [provenance, (CHART_LAYER, tar({"shop/README.md": b"text"}))])
    assert (await addition(world, "readme.md")).content == b"text"


async def test_an_image_shows_how_it_was_built(world: World) -> None:
    history: list[Any] = [
        {"created": "2026-01-01T00:00:00Z", "created_by": "COPY a b", "unknown": 1},
        {"created_by": "CMD x", "empty_layer": True, "comment": "c", "author": "ann"},
        "no step",
    ]
    config = json.dumps({"os": "linux", "history": history}).encode()
    await push(world, (media_types.OCI_CONFIG, config), [])
    found = await addition(world, "build_history")
    assert found.media_type == JSON
    assert json.loads(found.content) == [
        {"created": "2026-01-01T00:00:00Z", "created_by": "COPY a b"},
        {"created_by": "CMD x", "empty_layer": True, "comment": "c", "author": "ann"},
    ]


@pytest.mark.parametrize("config", [b"{}", b'{"history": null}', b'{"history": 1}', b'{"history": []}'])
async def test_an_image_without_history_has_an_empty_one(world: World, config: bytes) -> None:
    await push(world, (media_types.DOCKER_CONFIG, config), [])
    assert (await addition(world, "build_history")).content == b"[]"


async def test_a_model_shows_its_files_and_documents(world: World) -> None:
    path = "org.cncf.model.filepath"
    doc = "application/vnd.cncf.model.doc.v1.{}"
    weights = "application/vnd.cncf.model.weight.v1.raw"
    layers: list[Part] = [
        (weights, b"12345", {path: "weights/b.bin"}),
        (weights, b"", {path: "weights/a/c.bin"}),
        (weights, b"123", {}),
        (doc.format("tar"), tar({"README.md": b"# Model"}, compressed=False), {path: "README.md"}),
        (doc.format("raw"), b"Do as you like", {"org.cnai.model.filepath": "LICENSE"}),
        (weights, b"1", {path: "empty/"}),
    ]
    await push(world, (MODEL, b"{}"), layers)
    assert await addition(world, "readme.md") == Addition("text/markdown; charset=utf-8", b"# Model")
    assert await addition(world, "license") == Addition("text/plain; charset=utf-8", b"Do as you like")
    files = await addition(world, "files")
    assert files.media_type == JSON
    assert json.loads(files.content) == [
        {"name": "empty", "type": "directory"},
        {
            "name": "weights",
            "type": "directory",
            "children": [
                {"name": "a", "type": "directory", "children": [{"name": "c.bin", "type": "file"}]},
                {"name": "b.bin", "type": "file", "size": 5},
            ],
        },
        {"name": "LICENSE", "type": "file", "size": 14},
        {"name": "README.md", "type": "file", "size": len(layers[3][1])},
    ]


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("../a",), ("a/../../b",), ("x/" * 65 + "y",)])
async def test_files_that_cannot_be_are_refused(world: World, paths: Sequence[str]) -> None:
    layers = [
        ("application/vnd.cncf.model.weight.v1.raw", str(number).encode(), {"org.cncf.model.filepath": path})
        for number, path in enumerate(paths)
    ]
    await push(world, (MODEL, b"{}"), layers)
    assert (await refusal(world, "files"))[0] == "PRECONDITION"


async def test_paths_of_files_with_too_many_names_in_all_are_refused(world: World) -> None:
    # A manifest of 4 MiB could otherwise name 600,000 folders.
    layers = [
        ("application/vnd.cncf.model.weight.v1.raw", b"x", {"org.cncf.model.filepath": f"{number}/" + "x/" * 62 + "y"})
        for number in range(1_600)
    ]
    await push(world, (MODEL, b"{}"), layers)
    assert (await refusal(world, "files"))[0] == "PRECONDITION"
    await push(world, (MODEL, b"{}"), layers[:1_500])
    assert len((await addition(world, "files")).content) < MAX_FILE_BYTES


async def test_a_model_without_documents_has_none(world: World) -> None:
    doc = ("application/vnd.cncf.model.doc.v1.tar", tar({"OTHER": b"x"}), {"org.cncf.model.filepath": "README"})
    await push(world, (MODEL, b"{}"), [doc])
    assert (await refusal(world, "license"))[0] == "NOT_FOUND"
    assert (await refusal(world, "readme.md"))[0] == "NOT_FOUND"
    assert (await addition(world, "files")).content != b"[]"


async def test_an_sbom_is_its_only_layer(world: World) -> None:
    await push(world, (SBOM, b"{}"), [("application/spdx+json", b'{"spdx": 1}')])
    assert await addition(world, "sbom") == Addition(SBOM, b'{"spdx": 1}')
    await push(world, (SBOM, b"{}"), [("a/b", b"1"), ("a/b", b"2")])
    assert (await refusal(world, "sbom"))[0] == "NOT_FOUND"


@pytest.mark.parametrize("name", ["values.yaml", "readme.md", "dependencies", "sbom", "license", "files"])
async def test_an_addition_of_another_type_is_a_bad_request(world: World, name: str) -> None:
    await push(world, (media_types.OCI_CONFIG, b"{}"), [])
    assert await refusal(world, name) == ("BAD_REQUEST", f"artifacts of type IMAGE have no {name}")


async def test_an_index_has_no_additions(world: World) -> None:
    child = image("child")
    await world.push(REPOSITORY, child)
    await world.put(REPOSITORY, index([child]), "v1")
    assert (await refusal(world, "build_history"))[0] == "BAD_REQUEST"


@pytest.mark.parametrize(("name", "reference"), [("build_history", "v2"), ("vulnerabilities", "v1"), ("", "v1")])
async def test_what_is_not_there_is_not_found(world: World, name: str, reference: str) -> None:
    await push(world, (media_types.OCI_CONFIG, b"{}"), [])
    assert (await refusal(world, name, reference))[0] == "NOT_FOUND"


@pytest.mark.parametrize(
    "layer",
    [b"no archive", tar({"shop/README.md": b"text" * 999})[:-30], b""],
    ids=["text", "cut off", "nothing"],
)
async def test_a_damaged_archive_says_so(world: World, layer: bytes) -> None:
    await push(world, (HELM, b"{}"), [(CHART_LAYER, layer)])
    reason, message = await refusal(world, "values.yaml")
    assert reason == "PRECONDITION"
    assert message.startswith(f"the archive {digest_of(layer)} ")
    assert (await addition(world, "dependencies")).content == b"[]"


async def test_a_bomb_is_refused(world: World) -> None:
    await push_chart(world, {"shop/zeros": bytes(101 * 1024 * 1024), "shop/README.md": b"behind"})
    reason, message = await refusal(world, "readme.md")
    assert (reason, "when it is expanded" in message) == ("PRECONDITION", True)


@pytest.mark.parametrize("config", [b"", b"[]", b"\xff", b"no json"])
@pytest.mark.parametrize(("media_type", "name"), [(media_types.OCI_CONFIG, "build_history"), (HELM, "dependencies")])
async def test_a_config_that_is_none_says_so(world: World, media_type: str, name: str, config: bytes) -> None:
    await push(world, (media_type, config), [])
    assert (await refusal(world, name))[0] == "PRECONDITION"


async def test_what_is_too_large_is_not_read(world: World) -> None:
    await push_chart(world, {"shop/README.md": b"text"})
    await world.execute("UPDATE blob SET size = :size", size=MAX_LAYER_BYTES + 1)
    assert (await refusal(world, "readme.md"))[0] == "REQUEST_TOO_LARGE"
    assert (await refusal(world, "dependencies"))[0] == "REQUEST_TOO_LARGE"
    await push(world, (SBOM, b"{}"), [("application/spdx+json", b'{"spdx": 1}')])
    await world.execute("UPDATE blob SET size = :size", size=MAX_FILE_BYTES + 1)
    assert (await refusal(world, "sbom"))[0] == "REQUEST_TOO_LARGE"
    assert world.layers.asked == []


@pytest.mark.parametrize("name", ["readme.md", "dependencies"])
async def test_bytes_that_are_found_damaged_are_quarantined(world: World, name: str) -> None:
    await push(world, (HELM, b"{}"), [(CHART_LAYER, tar({"shop/noise": os.urandom(5000)}))])
    world.layers.failure = world.configs.failure = DamagedConfigError("missing", world.bytes.store_id)
    assert (await refusal(world, name))[0] == "NOT_FOUND"
    [quarantined] = await world.rows("SELECT digest FROM blob WHERE state = 'quarantined'")
    found = [(key.digest, found_by) for key, _, found_by in world.findings.found]
    assert found == [(quarantined.digest, "addition")]
    # From now on nobody reads it.
    world.layers.failure = world.configs.failure = None
    assert (await refusal(world, name))[0] == "NOT_FOUND"


async def test_blobs_that_are_not_served_any_more_are_not_found(world: World) -> None:
    await push_chart(world, {"shop/README.md": b"text"})
    await world.execute("UPDATE blob SET state = 'condemned'")
    for name in ("readme.md", "dependencies"):
        assert (await refusal(world, name))[0] == "NOT_FOUND"


async def test_without_blobsvc_it_is_unavailable(world: World) -> None:
    await push_chart(world, {"shop/noise": os.urandom(5000)})
    world.layers.failure = world.configs.failure = Unavailable()
    for name in ("readme.md", "dependencies"):
        assert (await refusal(world, name))[0] == "UNAVAILABLE"

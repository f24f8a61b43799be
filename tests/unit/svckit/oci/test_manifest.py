"""Manifests that have to be accepted: those of the conformance program, of Docker, BuildKit, oras, and Go's nulls."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from svckit.oci import media_types as mt
from svckit.oci.descriptor import Descriptor, Platform
from svckit.oci.digest import Digest
from svckit.oci.manifest import MAX_DESCRIPTORS, parse_manifest

from .documents import DOCKER_IMAGE, IMAGE, INDEX, described, encoded

EXAMPLE_TYPE = "application/vnd.example.oci.conformance.v1"
EMPTY = described(b"{}", mt.OCI_EMPTY)


def test_an_image_manifest_is_read() -> None:
    manifest = parse_manifest(encoded(IMAGE), mt.OCI_MANIFEST)
    assert manifest.kind == "manifest"
    assert manifest.media_type == mt.OCI_MANIFEST
    assert manifest.config is not None
    assert manifest.config.digest == Digest.of(b"config")
    assert [layer.digest for layer in manifest.layers] == [Digest.of(b"layer 0"), Digest.of(b"layer 1")]
    assert manifest.blobs_required == (manifest.config, *manifest.layers)
    assert manifest.total_blob_size == len(b"config") + 2 * len(b"layer 0")
    assert manifest.artifact_type == mt.OCI_CONFIG
    assert manifest.declared_artifact_type == ""
    assert manifest.manifests == manifest.index_blobs == ()
    assert manifest.subject is None


def test_an_index_is_read() -> None:
    manifest = parse_manifest(encoded(INDEX), mt.OCI_INDEX)
    assert manifest.kind == "index"
    assert manifest.config is None
    assert [child.platform for child in manifest.manifests] == [
        Platform("amd64", "linux"),
        Platform("arm", "linux", "6.1", ("a", "b"), "v7"),
    ]
    assert manifest.artifact_type == ""
    assert manifest.blobs_required == ()
    assert manifest.total_blob_size == 0


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (IMAGE, mt.OCI_MANIFEST),
        (IMAGE, mt.OCI_MANIFEST + "; charset=utf-8"),
        (IMAGE, None),
        (IMAGE, "application/json"),
        (IMAGE, mt.OCTET_STREAM),
        ({k: v for k, v in IMAGE.items() if k != "mediaType"}, mt.OCI_MANIFEST),
        ({**IMAGE, "mediaType": ""}, mt.OCI_MANIFEST),
        (DOCKER_IMAGE, mt.DOCKER_MANIFEST),
        (DOCKER_IMAGE, None),
        ({**INDEX, "mediaType": mt.DOCKER_MANIFEST_LIST}, mt.DOCKER_MANIFEST_LIST),
        ({k: v for k, v in INDEX.items() if k != "mediaType"}, mt.OCI_INDEX),
        # Empty lists; Go writes a nil slice as null.
        ({**IMAGE, "layers": []}, mt.OCI_MANIFEST),
        ({**IMAGE, "layers": None}, mt.OCI_MANIFEST),
        ({**INDEX, "manifests": []}, mt.OCI_INDEX),
        ({**INDEX, "manifests": None}, mt.OCI_INDEX),
        ({**IMAGE, "manifests": None, "subject": None, "annotations": None, "artifactType": None}, mt.OCI_MANIFEST),
        # Artifacts: any artifactType, any config and layer type, the empty descriptor, and one without layers.
        ({**IMAGE, "artifactType": EXAMPLE_TYPE, "config": EMPTY, "layers": [EMPTY]}, mt.OCI_MANIFEST),
        ({**IMAGE, "config": described(b"h", "application/vnd.cncf.helm.config.v1+json")}, mt.OCI_MANIFEST),
        ({**INDEX, "artifactType": EXAMPLE_TYPE}, mt.OCI_INDEX),
        # Fields that nobody knows, with values that would not do elsewhere.
        ({**IMAGE, "org.EXAMPLE": {"n": 10**400, "deep": [[[{"x": 1.5}]]]}}, mt.OCI_MANIFEST),
        ({**INDEX, "manifests": [described(b"x", mt.OCI_INDEX), described(b"x", mt.OCI_INDEX)]}, mt.OCI_INDEX),
    ],
)
def test_manifests_of_real_clients_are_accepted(document: dict[str, Any], content_type: str | None) -> None:
    content = encoded(document)
    manifest = parse_manifest(content, content_type)
    assert mt.is_supported_manifest(manifest.media_type)
    assert manifest.kind == ("index" if mt.is_index(manifest.media_type) else "manifest")


def test_the_conformance_programs_large_manifest_is_accepted() -> None:
    annotations = {f"large-annotation-{n}": "A" * 10_000 for n in range(390)}
    manifest = parse_manifest(encoded({**IMAGE, "annotations": annotations}), mt.OCI_MANIFEST)
    assert manifest.annotations == annotations


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_both_algorithms_are_accepted_in_descriptors(algorithm: str) -> None:
    layer = described(b"x", mt.OCI_LAYER, algorithm)
    manifest = parse_manifest(encoded({**IMAGE, "layers": [layer]}), mt.OCI_MANIFEST)
    assert manifest.layers[0].digest == Digest.of(b"x", algorithm)


def test_embedded_data_is_read() -> None:
    config = {**described(b"config", mt.OCI_CONFIG), "data": base64.b64encode(b"config").decode()}
    manifest = parse_manifest(encoded({**IMAGE, "config": config}), mt.OCI_MANIFEST)
    assert manifest.config is not None
    assert manifest.config.data == b"config"


@pytest.mark.parametrize(
    ("document", "effective", "declared"),
    [
        (IMAGE, mt.OCI_CONFIG, ""),
        ({**IMAGE, "artifactType": ""}, mt.OCI_CONFIG, ""),
        ({**IMAGE, "artifactType": EXAMPLE_TYPE}, EXAMPLE_TYPE, EXAMPLE_TYPE),
        (INDEX, "", ""),
        ({**INDEX, "artifactType": EXAMPLE_TYPE}, EXAMPLE_TYPE, EXAMPLE_TYPE),
        (DOCKER_IMAGE, mt.DOCKER_CONFIG, ""),
        ({**DOCKER_IMAGE, "artifactType": EXAMPLE_TYPE}, mt.DOCKER_CONFIG, ""),
    ],
)
def test_the_artifact_type_falls_back_to_the_configs(document: dict[str, Any], effective: str, declared: str) -> None:
    manifest = parse_manifest(encoded(document), None)
    assert (manifest.artifact_type, manifest.declared_artifact_type) == (effective, declared)


@pytest.mark.parametrize("document", [IMAGE, INDEX])
def test_subjects_and_annotations_are_read(document: dict[str, Any]) -> None:
    subject = described(b"missing", mt.OCI_MANIFEST)
    annotations = {"org.example": "é\U0001f600", "": "", "empty": ""}
    manifest = parse_manifest(encoded({**document, "subject": subject, "annotations": annotations}), None)
    assert manifest.subject == Descriptor(mt.OCI_MANIFEST, Digest.of(b"missing"), 7)
    assert manifest.annotations == annotations
    with pytest.raises(TypeError):
        manifest.annotations["x"] = "y"  # type: ignore[index]  # that it cannot be written is the point


def test_dockers_types_have_no_subject() -> None:
    document = {**DOCKER_IMAGE, "subject": described(b"missing", mt.DOCKER_MANIFEST)}
    assert parse_manifest(encoded(document), None).subject is None


def test_layers_that_live_elsewhere_are_not_required_and_others_are_once() -> None:
    foreign = {**described(b"foreign", mt.DOCKER_FOREIGN_LAYER), "urls": ["https://example.com/a"]}
    nondistributable = {**described(b"nd", mt.OCI_NONDISTRIBUTABLE_LAYER_GZIP), "urls": ["https://example.com/b"]}
    without_url = described(b"no url", mt.OCI_NONDISTRIBUTABLE_LAYER)
    ordinary_with_url = {**described(b"ordinary", mt.OCI_LAYER), "urls": ["https://example.com/c"]}
    layers = [foreign, without_url, nondistributable, ordinary_with_url, without_url, EMPTY, EMPTY]
    manifest = parse_manifest(encoded({**IMAGE, "layers": layers}), None)
    assert [blob.digest for blob in manifest.blobs_required] == [
        Digest.of(b"config"),
        Digest.of(b"no url"),
        Digest.of(b"ordinary"),
        Digest.of(b"{}"),
    ]
    assert manifest.total_blob_size == len(b"configno urlordinary{}")
    assert [blob.digest for blob in manifest.blobs_named] == [
        *(blob.digest for blob in manifest.blobs_required),
        Digest.of(b"foreign"),
        Digest.of(b"nd"),
    ]
    assert len(manifest.layers) == len(layers)


def test_a_buildkit_cache_is_an_index_of_blobs() -> None:
    cache_config = described(b"cache", "application/vnd.buildkit.cacheconfig.v0")
    children = [described(b"l", mt.OCI_LAYER_GZIP), described(b"m", mt.OCI_MANIFEST), cache_config]
    manifest = parse_manifest(encoded({**INDEX, "manifests": children}), mt.OCI_INDEX)
    assert [child.digest for child in manifest.manifests] == [Digest.of(b"m")]
    assert [child.digest for child in manifest.index_blobs] == [Digest.of(b"l"), Digest.of(b"cache")]
    assert manifest.blobs_required == manifest.index_blobs


def test_as_many_layers_as_allowed_are_read() -> None:
    layers = [described(b"x", mt.OCI_LAYER)] * MAX_DESCRIPTORS
    assert len(parse_manifest(encoded({**IMAGE, "layers": layers}), None).layers) == MAX_DESCRIPTORS


def test_reading_leaves_the_bytes_and_their_odd_spacing_alone() -> None:
    content = b"\n\t " + json.dumps(IMAGE, indent=7).encode() + b" \r\n"
    kept = bytes(bytearray(content))
    parse_manifest(content, mt.OCI_MANIFEST)
    assert content == kept


def test_manifests_and_descriptors_can_be_keys() -> None:
    first, second = (parse_manifest(encoded(IMAGE), None) for _ in range(2))
    assert len({first, second}) == 1
    assert len({*first.layers, *second.layers}) == 2

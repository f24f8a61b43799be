"""Manifests that have to be refused, with a message that says why: broken, ambiguous, hostile."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from svckit.oci import media_types as mt
from svckit.oci.errors import ManifestInvalidError
from svckit.oci.manifest import MAX_DESCRIPTORS, parse_manifest

from .documents import DOCKER_IMAGE, IMAGE, INDEX, described, encoded

LAYER = described(b"x", mt.OCI_LAYER)


def refusal(content: bytes, content_type: str | None = None) -> str:
    with pytest.raises(ManifestInvalidError) as caught:
        parse_manifest(content, content_type)
    assert caught.value.reason == "MANIFEST_INVALID"
    assert len(caught.value.message) < 400
    caught.value.message.encode("ascii")
    return caught.value.message


def image_with(**members: object) -> bytes:
    return encoded({**IMAGE, **members})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"{} {}", "not JSON"),
        (b"{1: 2}", "not JSON"),
        (b"{'a': 2}", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b'{"a": NaN}', "expected value at line 1 column 7"),
        (b'{"a": -Infinity}', "invalid number at line 1 column 8"),
        (b'{"a": 01}', "not JSON"),
        (b"\xff\xfe{\x00}\x00", "expected value at line 1 column 1"),
        ("{}".encode("utf-16-be"), "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": "\xc0\xaf"}', "invalid unicode code point"),
        (b'{"a": "\xed\xa0\x80"}', "invalid unicode code point"),
        (b'{"a": 1, "b": 2, "a": 1}', 'duplicate key "a"'),
        (b'{"x": [{"a": 1, "\\u0061": 2}]}', 'duplicate key "a"'),
        (b"[" * 50_000, "recursion limit exceeded"),
        (b'{"a":' * 50_000, "recursion limit exceeded"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "recursion limit exceeded"),
    ],
)
def test_what_is_no_unambiguous_json_object_is_refused(content: bytes, message: str) -> None:
    assert message in refusal(content, mt.OCI_MANIFEST)


@pytest.mark.parametrize("version", [None, 1.0, 2.0, 3, 0, -2, True, "2", [2], 10**30])
def test_only_schema_version_2_is_read(version: object) -> None:
    assert "schema" in refusal(image_with(schemaVersion=version))


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (encoded({"schemaVersion": 1, "name": "a", "fsLayers": [], "history": []}), None),
        (encoded({"schemaVersion": 1, "name": "a", "fsLayers": []}), mt.DOCKER_SCHEMA1),
        (encoded({"schemaVersion": 1, "signatures": []}), mt.DOCKER_SCHEMA1_SIGNED),
        (encoded(IMAGE), mt.DOCKER_SCHEMA1),
        (image_with(mediaType=mt.DOCKER_SCHEMA1), mt.OCI_MANIFEST),
    ],
)
def test_schema_1_is_refused_by_name(content: bytes, content_type: str | None) -> None:
    assert "schema 1 manifests are not supported" in refusal(content, content_type)


@pytest.mark.parametrize(
    ("document", "content_type", "message"),
    [
        (IMAGE, mt.OCI_INDEX, "Content-Type"),
        (IMAGE, mt.DOCKER_MANIFEST, "Content-Type"),
        (INDEX, mt.OCI_MANIFEST, "Content-Type"),
        (DOCKER_IMAGE, mt.OCI_MANIFEST, "Content-Type"),
        ({**IMAGE, "mediaType": mt.OCI_MANIFEST.upper()}, mt.OCI_MANIFEST, "Content-Type"),
        ({**IMAGE, "mediaType": None}, None, "neither"),
        ({**IMAGE, "mediaType": ""}, "application/json", "neither"),
        ({**IMAGE, "mediaType": 7}, mt.OCI_MANIFEST, "mediaType is not a string"),
        ({**IMAGE, "mediaType": "a\r\nb: c"}, None, "is not a media type"),
        ({**IMAGE, "mediaType": mt.OCI_CONFIG}, None, "is not a supported manifest type"),
        ({**IMAGE, "mediaType": None}, "text/html", "is not a supported manifest type"),
        ({**IMAGE, "mediaType": mt.OCI_ARTIFACT_MANIFEST}, None, "was removed from the specification"),
        ({**DOCKER_IMAGE, "mediaType": None}, mt.DOCKER_MANIFEST, "must have it as its mediaType"),
        ({**INDEX, "mediaType": None}, mt.DOCKER_MANIFEST_LIST, "must have it as its mediaType"),
    ],
)
def test_what_it_is_must_be_said_and_be_one_thing(
    document: dict[str, Any], content_type: str | None, message: str
) -> None:
    assert message in refusal(encoded(document), content_type)


@pytest.mark.parametrize(
    "document",
    [
        {**IMAGE, "manifests": INDEX["manifests"]},
        {**IMAGE, "manifests": []},
        {**INDEX, "layers": IMAGE["layers"]},
        {**INDEX, "layers": []},
        {**INDEX, "config": IMAGE["config"]},
        {**INDEX, "config": {}},
        {**DOCKER_IMAGE, "manifests": INDEX["manifests"]},
    ],
)
def test_a_document_that_is_image_and_index_is_refused(document: dict[str, Any]) -> None:
    assert "both" in refusal(encoded(document))


@pytest.mark.parametrize("key", ["Manifests", "LAYERS", "manife\u017fts", "MediaType", "\u017fubject", "schemaversion"])
def test_fields_that_go_would_take_for_ours_are_refused(key: str) -> None:
    assert "differs only in case" in refusal(image_with(**{key: []}))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"config": None}, "no config"),
        ({"config": []}, "config is not a descriptor"),
        ({"config": "sha256:x"}, "config is not a descriptor"),
        ({"config": {}}, "config has no mediaType"),
        ({"layers": {}}, "layers is not a list"),
        ({"layers": "x"}, "layers is not a list"),
        ({"layers": [None]}, "layers[0] is not a descriptor"),
        ({"layers": [LAYER, [LAYER]]}, "layers[1] is not a descriptor"),
        ({"layers": [LAYER] * (MAX_DESCRIPTORS + 1)}, "more than 10000 items"),
        ({"subject": []}, "subject is not a descriptor"),
        ({"subject": {"digest": LAYER["digest"], "size": 1}}, "subject has no mediaType"),
        ({"annotations": []}, "annotations is not an object"),
        ({"annotations": {"a": 1}}, "annotations has 'a', not a string"),
        ({"annotations": {"a": None}}, "annotations has 'a', not a string"),
        ({"annotations": {"a": "\0"}}, "U+0000"),
        ({"annotations": {"\0": "a"}}, "U+0000"),
        ({"annotations": {"a": "\ud800"}}, "unexpected end of hex escape"),
        ({"annotations": {"\udfff": "a"}}, "lone leading surrogate"),
        ({"artifactType": 1}, "artifactType is not a string"),
        ({"artifactType": "a\nb"}, "is not a media type"),
        ({"artifactType": "x" * 256}, "is not a media type"),
    ],
)
def test_a_broken_member_is_named(member: dict[str, Any], message: str) -> None:
    assert message in refusal(image_with(**member))


@pytest.mark.parametrize("key", ["config", "layers"])
def test_an_image_manifest_has_config_and_layers(key: str) -> None:
    assert f"no {key}" in refusal(encoded({k: v for k, v in IMAGE.items() if k != key}))


def test_an_index_has_manifests() -> None:
    assert "no manifests" in refusal(encoded({k: v for k, v in INDEX.items() if k != "manifests"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mediaType": None}, "has no mediaType"),
        ({"mediaType": ""}, "has no mediaType"),
        ({"mediaType": 1}, "mediaType is not a string"),
        ({"mediaType": "a\tb"}, "is not a media type"),
        ({"mediaType": "\u00e9/x"}, "is not a media type"),
        ({"mediaType": " a/b"}, "is not a media type"),
        ({"digest": None}, "has no digest"),
        ({"digest": 1}, "has no digest"),
        ({"digest": ""}, "digest: "),
        ({"digest": "sha256:00"}, "64 lower-case hex digits"),
        ({"digest": "md5:" + "0" * 32}, "is not supported"),
        ({"digest": LAYER["digest"].upper()}, "is not supported"),
        ({"size": None}, "is not a number of bytes"),
        ({"size": -1}, "is not a number of bytes"),
        ({"size": True}, "is not a number of bytes"),
        ({"size": "1"}, "is not a number of bytes"),
        ({"size": 1.0}, "is not a number of bytes"),
        ({"size": 2**63}, "is not a number of bytes"),
        ({"size": 10**25}, "is not a number of bytes"),
        ({"urls": "https://example.com"}, "urls is not a list"),
        ({"urls": [1]}, "urls[0] is not a string"),
        ({"annotations": {"a": []}}, "annotations has 'a', not a string"),
        ({"artifactType": {}}, "artifactType is not a string"),
        ({"platform": "linux/amd64"}, "platform is not an object"),
        ({"platform": {"os": 1}}, "platform.os is not a string"),
        ({"platform": {"os.features": "a"}}, "os.features is not a list"),
        ({"platform": {"OS": "a"}}, "differs only in case"),
        ({"data": 1}, "data is not a string"),
        ({"data": "?"}, "not base64"),
        ({"data": "\u00e9"}, "not base64"),
        ({"data": base64.b64encode(b"y").decode()}, "does not match its digest and size"),
        ({"data": base64.b64encode(b"xx").decode()}, "does not match its digest and size"),
        ({"data": ""}, "does not match its digest and size"),
        ({"Digest": LAYER["digest"]}, "differs only in case"),
        ({"Size": 1}, "differs only in case"),
    ],
)
def test_a_broken_descriptor_is_refused_wherever_it_stands(change: dict[str, Any], message: str) -> None:
    broken = {**LAYER, **change}
    for document, place in [
        ({**IMAGE, "config": broken}, "config"),
        ({**IMAGE, "layers": [LAYER, broken]}, "layers[1]"),
        ({**IMAGE, "subject": broken}, "subject"),
        ({**INDEX, "manifests": [broken]}, "manifests[0]"),
        ({**INDEX, "subject": broken}, "subject"),
    ]:
        said = refusal(encoded(document))
        assert message in said
        assert place in said


@pytest.mark.parametrize("media_type", [mt.DOCKER_SCHEMA1, mt.DOCKER_SCHEMA1_SIGNED, mt.OCI_ARTIFACT_MANIFEST])
def test_an_index_of_manifests_that_are_not_kept_is_refused(media_type: str) -> None:
    assert "is not supported" in refusal(encoded({**INDEX, "manifests": [described(b"x", media_type)]}))


def test_a_size_of_five_thousand_digits_is_refused() -> None:
    content = encoded({**IMAGE, "config": {**LAYER, "size": 1}}).replace(
        b'"size": 1}', b'"size": ' + b"9" * 5000 + b"}"
    )
    assert "number out of range" in refusal(content)


def test_one_digest_of_two_sizes_is_refused() -> None:
    assert "two different sizes" in refusal(image_with(layers=[LAYER, {**LAYER, "size": 2}]))


def test_sizes_beyond_64_bits_in_sum_are_refused() -> None:
    layers = [{**described(bytes([n]), mt.OCI_LAYER), "size": 2**62} for n in range(2)]
    assert "64 bits" in refusal(image_with(layers=layers))


def test_every_prefix_of_a_manifest_is_refused() -> None:
    content = encoded(IMAGE)
    for length in range(len(content)):
        refusal(content[:length], mt.OCI_MANIFEST)


def test_any_value_in_any_place_is_read_or_refused_and_never_a_crash() -> None:
    odd: list[object] = [None, True, 0, -1, 1.5, 10**40, "", "x", "\ud800", [], [[]], {}, {"": {}}, [None], {"a": [1]}]
    refused = 0
    for start in (IMAGE, DOCKER_IMAGE, INDEX):
        for key in [*start, "subject", "artifactType", "annotations", "manifests", "layers", "config"]:
            for value in odd:
                for document in ({**start, key: value}, {**start, key: [value]}, {**start, key: {"digest": value}}):
                    try:
                        parse_manifest(json.dumps(document).encode(), None)
                    except ManifestInvalidError:
                        refused += 1
    assert refused > 100

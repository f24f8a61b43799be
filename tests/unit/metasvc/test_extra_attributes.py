"""Which members of a config become Harbor's extra_attrs."""

import json
from typing import Any

import pytest

from metasvc.domain.artifact_type import HELM_CONFIG
from metasvc.domain.extra_attributes import MAX_ATTRIBUTES_CHARACTERS, extra_attributes
from svckit.oci import media_types

IMAGE = {
    "architecture": "arm64",
    "os": "linux",
    "created": "2026-01-02T03:04:05Z",
    "author": "Jörg",
    "config": {"Env": ["A=b"], "Labels": {"x": "y"}, "Cmd": None},
}
CHART = {
    "apiVersion": "v2",
    "name": "nginx",
    "version": "1.2.3+4",
    "maintainers": [{"name": "me"}],
    "deprecated": False,
}


def attributes(document: object, media_type: str = media_types.OCI_CONFIG) -> dict[str, Any]:
    return extra_attributes(media_type, json.dumps(document).encode())


@pytest.mark.parametrize("media_type", [media_types.OCI_CONFIG, media_types.DOCKER_CONFIG])
def test_of_an_image_five_members_are_shown(media_type: str) -> None:
    whole = {**IMAGE, "variant": "v8", "rootfs": {"diff_ids": ["sha256:0"]}, "history": [{"created_by": "RUN"}]}

    assert attributes(whole, media_type) == IMAGE


def test_of_a_chart_everything_is_shown() -> None:
    assert attributes(CHART, HELM_CONFIG) == CHART


def test_what_says_nothing_is_left_out() -> None:
    assert attributes({"architecture": "", "os": None, "config": {}, "author": "me"}) == {"author": "me"}
    assert attributes({"icon": "", "sources": [], "home": None, "name": "x"}, HELM_CONFIG) == {"name": "x"}


@pytest.mark.parametrize("media_type", [media_types.OCI_CONFIG, HELM_CONFIG])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not even JSON",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"config":[' + b"[]," * 1_000_000 + b"[]]}",
        b'{"os":"' + b"x" * (4 * 1024 * 1024) + b'"}',
    ],
)
def test_of_a_mad_one_nothing_is(media_type: str, content: bytes) -> None:
    assert extra_attributes(media_type, content) == {}


def test_what_is_too_long_to_be_kept_with_every_manifest_is_left_out() -> None:
    long = {"Labels": {"bill": "ä" * MAX_ATTRIBUTES_CHARACTERS}}
    assert attributes({**IMAGE, "config": long}) == {name: IMAGE[name] for name in IMAGE if name != "config"}
    assert attributes({**IMAGE, "author": "x" * MAX_ATTRIBUTES_CHARACTERS}).keys() == IMAGE.keys() - {"author"}

    many = {f"key{number}": "x" * 100 for number in range(2000)}
    kept = attributes(many, HELM_CONFIG)
    assert list(kept) == list(many)[: len(kept)]
    assert 0.9 * MAX_ATTRIBUTES_CHARACTERS < len(json.dumps(kept)) <= MAX_ATTRIBUTES_CHARACTERS

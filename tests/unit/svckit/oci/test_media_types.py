"""What is a manifest, an index, a foreign layer."""

from __future__ import annotations

import pytest

from svckit.oci import media_types


@pytest.mark.parametrize(
    ("media_type", "image", "index"),
    [
        ("application/vnd.oci.image.manifest.v1+json", True, False),
        ("application/vnd.docker.distribution.manifest.v2+json", True, False),
        ("application/vnd.oci.image.index.v1+json", False, True),
        ("application/vnd.docker.distribution.manifest.list.v2+json", False, True),
        ("application/vnd.docker.distribution.manifest.v1+json", False, False),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", False, False),
        ("application/vnd.oci.artifact.manifest.v1+json", False, False),
        ("application/vnd.oci.image.config.v1+json", False, False),
        ("application/json", False, False),
        ("", False, False),
    ],
)
def test_manifests_and_indexes_are_told_apart(media_type: str, image: bool, index: bool) -> None:
    assert media_types.is_image_manifest(media_type) is image
    assert media_types.is_index(media_type) is index
    assert media_types.is_supported_manifest(media_type) is (image or index)


@pytest.mark.parametrize(
    ("media_type", "foreign"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", True),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", False),
        ("application/vnd.oci.image.layer.v1.tar+gzip", False),
    ],
)
def test_foreign_layers_are_known(media_type: str, foreign: bool) -> None:
    assert media_types.is_foreign_layer(media_type) is foreign


@pytest.mark.parametrize(
    ("content_type", "bare", "generic"),
    [
        (None, "", True),
        ("", "", True),
        ("application/json; charset=utf-8", "application/json", True),
        (" Application/Vnd.OCI.image.index.v1+json ;x=y", "application/vnd.oci.image.index.v1+json", False),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded", True),
        ("text/html", "text/html", False),
    ],
)
def test_a_content_type_is_bared_and_weighed(content_type: str | None, bare: str, generic: bool) -> None:
    assert media_types.bare(content_type) == bare
    assert media_types.is_generic(content_type) is generic

"""The referrers index, and the tags that name a subject."""

from __future__ import annotations

import json

import pytest

from svckit.oci import media_types as mt
from svckit.oci.descriptor import Descriptor
from svckit.oci.digest import Digest
from svckit.oci.manifest import parse_manifest
from svckit.oci.referrers import AccessoryTag, read_accessory_tag, referrers_index

SUBJECT = Digest.of(b"subject")


def test_no_referrers_make_an_empty_index() -> None:
    assert json.loads(referrers_index([])) == {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": []}


def test_referrers_are_written_with_what_the_spec_asks_for_and_no_empty_members() -> None:
    full = Descriptor(mt.OCI_MANIFEST, Digest.of(b"a"), 1, annotations={"k": "é\n"}, artifact_type="a/b")
    bare = Descriptor(mt.OCI_INDEX, Digest.of(b"b"), 2, urls=("https://example.com",))
    assert json.loads(referrers_index(iter([full, bare])))["manifests"] == [
        {
            "mediaType": mt.OCI_MANIFEST,
            "digest": str(Digest.of(b"a")),
            "size": 1,
            "artifactType": "a/b",
            "annotations": {"k": "é\n"},
        },
        {"mediaType": mt.OCI_INDEX, "digest": str(Digest.of(b"b")), "size": 2},
    ]


def test_what_is_written_is_an_index_by_our_own_rules() -> None:
    referrer = Descriptor(mt.OCI_MANIFEST, Digest.of(b"a"), 1, annotations={"k": "v"}, artifact_type="a/b")
    assert parse_manifest(referrers_index([referrer]), mt.OCI_INDEX).manifests == (referrer,)


@pytest.mark.parametrize("suffix", ["", ".att", ".sbom", ".sig"])
def test_a_tag_that_names_a_subject_is_read(suffix: str) -> None:
    assert read_accessory_tag(f"sha256-{SUBJECT.hex}{suffix}") == AccessoryTag(SUBJECT, suffix)


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "latest",
        "sha256",
        "sha256-",
        "sha256-" + "0" * 63,
        "sha256-" + "0" * 65,
        "sha256-" + "A" * 64,
        "sha256-" + "0" * 64 + ".",
        "sha256-" + "0" * 64 + ".sign",
        "sha256-" + "0" * 64 + ".sig.sig",
        "sha256-" + "0" * 64 + "sig",
        "sha256-" + "0" * 64 + "\n",
        "x-sha256-" + "0" * 64,
        "sha256:" + "0" * 64,
        "sha256_" + "0" * 64,
        "md5-" + "0" * 64,
        "sha512-" + "0" * 64,
        "SHA256-" + "0" * 64,
    ],
)
def test_other_tags_name_no_subject(tag: str) -> None:
    assert read_accessory_tag(tag) is None

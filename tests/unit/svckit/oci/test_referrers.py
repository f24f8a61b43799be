"""The referrers index, and the tags of the time before it."""

from __future__ import annotations

import json

import pytest

from svckit.oci import media_types as mt
from svckit.oci.descriptor import Descriptor
from svckit.oci.digest import Digest
from svckit.oci.manifest import parse_manifest
from svckit.oci.reference import Tag
from svckit.oci.referrers import (
    fallback_tag,
    is_fallback_tag,
    referrers_in_fallback_index,
    referrers_index,
    subject_of_fallback_tag,
)

from .documents import IMAGE, INDEX, encoded

SUBJECT = Digest.of(b"subject")
SUBJECT_512 = Digest.of(b"subject", "sha512")


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


def test_a_fallback_tag_and_its_subject_name_each_other() -> None:
    assert fallback_tag(SUBJECT) == Tag(f"sha256-{SUBJECT.hex}")
    assert subject_of_fallback_tag(str(fallback_tag(SUBJECT))) == SUBJECT


def test_a_sha512_subject_is_cut_to_64_digits_and_cannot_be_told_from_its_tag() -> None:
    tag = str(fallback_tag(SUBJECT_512))
    assert tag == f"sha512-{SUBJECT_512.hex[:64]}"
    assert is_fallback_tag(tag)
    assert subject_of_fallback_tag(tag) is None


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
        "sha256-" + "0" * 64 + ".sig",
        "sha256-" + "0" * 64 + ".att",
        "sha256:" + "0" * 64,
        "sha256_" + "0" * 64,
        "md5-" + "0" * 64,
        "sha512-" + "0" * 128,
        "SHA256-" + "0" * 64,
    ],
)
def test_other_tags_are_no_fallback_tags(tag: str) -> None:
    assert not is_fallback_tag(tag)
    assert subject_of_fallback_tag(tag) is None


def test_only_an_oci_index_under_a_fallback_tag_names_referrers() -> None:
    index, image = parse_manifest(encoded(INDEX), None), parse_manifest(encoded(IMAGE), None)
    tag = str(fallback_tag(SUBJECT))
    assert referrers_in_fallback_index(tag, index) == index.manifests
    assert referrers_in_fallback_index(str(fallback_tag(SUBJECT_512)), index) == index.manifests
    assert referrers_in_fallback_index("latest", index) == ()
    assert referrers_in_fallback_index(tag + ".sig", index) == ()
    assert referrers_in_fallback_index(tag, image) == ()

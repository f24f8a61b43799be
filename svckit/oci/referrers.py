"""The referrers index, and the tags that clients used before it existed.

From distribution-spec, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from svckit.oci.digest import ALGORITHMS, Digest
from svckit.oci.errors import DigestInvalidError
from svckit.oci.media_types import OCI_INDEX
from svckit.oci.reference import Tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svckit.oci.descriptor import Descriptor
    from svckit.oci.manifest import Manifest

_FALLBACK_HEX_CHARACTERS = 64
"""The spec cuts the digest's hex at this length: with a full sha512 (135 characters), a tag would exceed its 128."""


def referrers_index(referrers: Iterable[Descriptor]) -> bytes:
    """Writes the image index that answers a referrers request; its media type is `media_types.OCI_INDEX`.

    Args:
        referrers: one descriptor for each manifest, with its effective artifact type (`Manifest.artifact_type`) and its
            annotations.
    """
    manifests = [_referrer(referrer) for referrer in referrers]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()


def _referrer(referrer: Descriptor) -> dict[str, object]:
    members: dict[str, object] = {
        "mediaType": referrer.media_type,
        "digest": str(referrer.digest),
        "size": referrer.size,
    }
    if referrer.artifact_type:
        members["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        members["annotations"] = dict(referrer.annotations)
    return members


def fallback_tag(subject: Digest) -> Tag:
    """Returns the tag under which clients without the referrers API store the list of a subject's referrers."""
    return Tag(f"{subject.algorithm}-{subject.hex[:_FALLBACK_HEX_CHARACTERS]}")


def subject_of_fallback_tag(tag: str) -> Digest | None:
    """Returns the subject of a fallback tag; None for any other tag, such as cosign's `sha256-….sig`.

    None for a sha512 subject, too, because its tag has only half of the digest. In this case, compare the tag with the
    `fallback_tag` of a known subject.
    """
    if not is_fallback_tag(tag):
        return None
    algorithm, _, digits = tag.partition("-")
    try:
        return Digest(algorithm, digits)
    except DigestInvalidError:
        return None


def is_fallback_tag(tag: str) -> bool:
    """Tells whether a tag follows the referrers tag schema, for any algorithm."""
    algorithm, _, digits = tag.partition("-")
    return (
        algorithm in ALGORITHMS and len(digits) == _FALLBACK_HEX_CHARACTERS and set(digits) <= set("0123456789abcdef")
    )


def referrers_in_fallback_index(tag: str, manifest: Manifest) -> tuple[Descriptor, ...]:
    """Lists the referrers in an index that was pushed to a fallback tag; empty if it is not such an index.

    The list is only a client's claim: a manifest is a referrer only if its own `subject` says so.
    """
    if not is_fallback_tag(tag) or manifest.media_type != OCI_INDEX:
        return ()
    return manifest.manifests

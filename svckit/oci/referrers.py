"""The referrers index, and the tags that stood in for it.

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
"""The spec cuts the digest's hex here, so that a tag of a sha512 (135 characters, uncut) stays within a tag's 128."""


def referrers_index(referrers: Iterable[Descriptor]) -> bytes:
    """Write the image index that answers a referrers request; its media type is `media_types.OCI_INDEX`.

    Args:
        referrers: with the effective artifact type (`Manifest.artifact_type`) and the annotations of each manifest.
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
    """Name the tag under which clients without the referrers API keep the list of a subject's referrers."""
    return Tag(f"{subject.algorithm}-{subject.hex[:_FALLBACK_HEX_CHARACTERS]}")


def subject_of_fallback_tag(tag: str) -> Digest | None:
    """Give the subject that a fallback tag stands for; None for any other tag, cosign's `sha256-….sig` among them.

    None for a sha512 subject, too: its tag holds half the digest. There, compare `fallback_tag` of a subject known.
    """
    if not is_fallback_tag(tag):
        return None
    algorithm, _, digits = tag.partition("-")
    try:
        return Digest(algorithm, digits)
    except DigestInvalidError:
        return None


def is_fallback_tag(tag: str) -> bool:
    """Tell whether a tag is of the referrers tag schema, for whichever algorithm."""
    algorithm, _, digits = tag.partition("-")
    return (
        algorithm in ALGORITHMS and len(digits) == _FALLBACK_HEX_CHARACTERS and set(digits) <= set("0123456789abcdef")
    )


def referrers_in_fallback_index(tag: str, manifest: Manifest) -> tuple[Descriptor, ...]:
    """List what an index pushed to a fallback tag names as referrers; nothing where it is not such an index.

    What it names is a client's word: a referrer is one only if its own `subject` says so.
    """
    if not is_fallback_tag(tag) or manifest.media_type != OCI_INDEX:
        return ()
    return manifest.manifests

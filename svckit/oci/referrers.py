"""The referrers index, and the tags that name a subject, from before the referrers API existed.

From distribution-spec, "Listing Referrers" and "Referrers Tag Schema", and cosign's SIGNATURE_SPEC.md ("Storage").
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svckit.oci.digest import Digest
from svckit.oci.media_types import OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svckit.oci.descriptor import Descriptor


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


@dataclass(frozen=True, slots=True)
class AccessoryTag:
    """What a tag says whose name names a subject.

    Attributes:
        subject: the digest in the name.
        suffix: ".sig", ".att" or ".sbom" for the tags of cosign; "" for the referrers tag schema, where an index of
            referrers has the tag.
    """

    subject: Digest
    suffix: str


_ACCESSORY_TAG = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(?P<suffix>\.sig|\.att|\.sbom|)")


def read_accessory_tag(tag: str) -> AccessoryTag | None:
    """Reads `sha256-<hex>.sig`, `.att` and `.sbom` (cosign) and `sha256-<hex>` (referrers tag schema); None for others.

    A sha512 subject is never found: the tag schema cuts its digest in half, and cosign's tag would be too long.
    """
    found = _ACCESSORY_TAG.fullmatch(tag)
    return None if found is None else AccessoryTag(Digest("sha256", found["hex"]), found["suffix"])

"""Accessories: signatures, SBOMs and attestations, which belong to a subject.

An artifact is an accessory by its manifest's subject field, or by a tag that names the subject: cosign's tags, and the
index under the tag of the referrers tag schema. The subject may come after its accessories.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from metasvc.domain.artifact_type import SIGNATURE_COSIGN, SUBJECT_ACCESSORY
from metasvc.domain.model import AccessorySource, TagSubject
from svckit.oci.media_types import OCI_INDEX
from svckit.oci.referrers import read_accessory_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BY_SUFFIX: Mapping[str, tuple[AccessorySource, str]] = MappingProxyType(
    {
        ".sig": (AccessorySource.SIGNATURE_TAG, SIGNATURE_COSIGN),
        ".att": (AccessorySource.ATTESTATION_TAG, SUBJECT_ACCESSORY),
        ".sbom": (AccessorySource.SBOM_TAG, SUBJECT_ACCESSORY),
        "": (AccessorySource.REFERRERS_TAG, SUBJECT_ACCESSORY),
    }
)


def tag_subject(name: str, digest: str, media_type: str) -> TagSubject | None:
    """The subject that a tag gives to its artifact; None for an ordinary tag.

    Args:
        name: the name of the tag.
        digest: the digest of the artifact. It cannot be its own subject.
        media_type: the media type of its manifest. Only an index can be the list of referrers.
    """
    read = read_accessory_tag(name)
    if read is None or str(read.subject) == digest or (read.suffix == "" and media_type != OCI_INDEX):
        return None
    source, kind = _BY_SUFFIX[read.suffix]
    return TagSubject(str(read.subject), source, kind)


def named_subjects(names: Iterable[str]) -> list[str]:
    """The subjects that tags of these names would have, whatever they point at."""
    return [str(read.subject) for name in names if (read := read_accessory_tag(name)) is not None]

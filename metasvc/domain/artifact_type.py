"""Harbor's types of artifacts and accessories, which depend on media types only.

From Harbor's processors (src/controller/artifact/processor) and its accessory models (src/pkg/accessory/model).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from svckit.oci import media_types

if TYPE_CHECKING:
    from svckit.oci.manifest import Manifest

IMAGE = "IMAGE"
UNKNOWN = "UNKNOWN"

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"

_BY_TYPE = {
    HELM_CONFIG: "CHART",
    "application/vnd.cnab.config.v1+json": "CNAB",
    "application/vnd.cnab.manifest.v1": "CNAB",
    "application/vnd.wasm.config.v1+json": "WASM",
    "application/vnd.goharbor.harbor.sbom.v1": "SBOM",
    "application/vnd.cncf.model.config.v1+json": "CNAI",
    "application/vnd.cncf.model.manifest.v1+json": "CNAI",
}
# Harbor's rule for other media types: application/vnd.<org>.<type>.config.<version>.
_CONFIG_TYPE = re.compile(r"application/vnd\.[^.]+\.(?P<type>.+)\.config\.[^.]+")

SIGNATURE_COSIGN = "signature.cosign"
SIGNATURE_NOTATION = "signature.notation"
SUBJECT_ACCESSORY = "subject.accessory"
"""Harbor's type of an accessory that it knows nothing more of."""
_ACCESSORY_BY_TYPE = {
    "application/vnd.cncf.notary.signature": SIGNATURE_NOTATION,
    "application/vnd.dev.cosign.artifact.sig.v1+json": SIGNATURE_COSIGN,
    "application/vnd.dev.cosign.simplesigning.v1+json": SIGNATURE_COSIGN,
    "application/vnd.dev.sigstore.bundle.v0.3+json": SIGNATURE_COSIGN,
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
    "application/vnd.nydus.image.config.v1+json": "accelerator.nydus",
}


def artifact_kind(manifest: Manifest) -> str:
    """Harbor's type of an artifact: IMAGE, CHART, …, or UNKNOWN."""
    if manifest.config is None:
        declared = manifest.declared_artifact_type
        return IMAGE if not declared else _kind_of(declared)
    if media_types.is_image_config(manifest.config.media_type) and not manifest.declared_artifact_type:
        return IMAGE
    for media_type in (manifest.config.media_type, manifest.declared_artifact_type):
        kind = _kind_of(media_type)
        if kind != UNKNOWN:
            return kind
    return IMAGE if media_types.is_image_config(manifest.config.media_type) else UNKNOWN


def _kind_of(media_type: str) -> str:
    known = _BY_TYPE.get(media_type)
    if known is not None:
        return known
    matched = _CONFIG_TYPE.fullmatch(media_type)
    return UNKNOWN if matched is None else matched["type"].upper()


def accessory_kind(manifest: Manifest) -> str:
    """Harbor's type of an artifact with a subject field."""
    return _ACCESSORY_BY_TYPE.get(manifest.artifact_type, SUBJECT_ACCESSORY)

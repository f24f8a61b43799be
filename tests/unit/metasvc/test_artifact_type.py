"""Harbor's types of artifacts and accessories."""

import json

import pytest

from metasvc.domain.artifact_type import accessory_kind, artifact_kind
from svckit.oci import media_types
from svckit.oci.manifest import Manifest, parse_manifest

DIGEST = "sha256:" + "0" * 64


def manifest(config: str, artifact_type: str = "") -> Manifest:
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": {"mediaType": config, "digest": DIGEST, "size": 2},
        "layers": [],
    }
    if artifact_type:
        document["artifactType"] = artifact_type
    return parse_manifest(json.dumps(document).encode(), media_types.OCI_MANIFEST)


def index(artifact_type: str = "") -> Manifest:
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}
    if artifact_type:
        document["artifactType"] = artifact_type
    return parse_manifest(json.dumps(document).encode(), media_types.OCI_INDEX)


@pytest.mark.parametrize(
    ("config", "artifact_type", "kind"),
    [
        (media_types.OCI_CONFIG, "", "IMAGE"),
        (media_types.DOCKER_CONFIG, "", "IMAGE"),
        (media_types.OCI_CONFIG, "text/plain", "IMAGE"),
        ("application/vnd.cncf.helm.config.v1+json", "", "CHART"),
        ("application/vnd.cnab.config.v1+json", "", "CNAB"),
        ("application/vnd.wasm.config.v1+json", "", "WASM"),
        (media_types.OCI_EMPTY, "application/vnd.goharbor.harbor.sbom.v1", "SBOM"),
        ("application/vnd.acme.rocket.config.v1+json", "", "ROCKET"),
        (media_types.OCI_EMPTY, "application/vnd.acme.rocket.config.v1", "ROCKET"),
        (media_types.OCI_EMPTY, "text/plain", "UNKNOWN"),
        (media_types.OCI_EMPTY, "", "UNKNOWN"),
    ],
)
def test_a_manifest_is_named_by_its_config_or_its_artifact_type(config: str, artifact_type: str, kind: str) -> None:
    assert artifact_kind(manifest(config, artifact_type)) == kind


def test_an_index_is_an_image_unless_it_says_otherwise() -> None:
    assert artifact_kind(index()) == "IMAGE"
    assert artifact_kind(index("application/vnd.cnab.manifest.v1")) == "CNAB"
    assert artifact_kind(index("text/plain")) == "UNKNOWN"


@pytest.mark.parametrize(
    ("config", "artifact_type", "kind"),
    [
        ("application/vnd.cncf.notary.signature", "", "signature.notation"),
        (media_types.OCI_EMPTY, "application/vnd.dev.sigstore.bundle.v0.3+json", "signature.cosign"),
        (media_types.OCI_EMPTY, "application/vnd.goharbor.harbor.sbom.v1", "sbom.harbor"),
        (media_types.OCI_CONFIG, "", "subject.accessory"),
    ],
)
def test_an_accessory_is_named_by_what_referrers_are_filtered_by(config: str, artifact_type: str, kind: str) -> None:
    assert accessory_kind(manifest(config, artifact_type)) == kind

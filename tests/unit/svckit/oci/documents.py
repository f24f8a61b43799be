"""Manifests to begin from, and ways to write them."""

from __future__ import annotations

import json
from typing import Any

from svckit.oci import media_types as mt
from svckit.oci.digest import Digest


def described(content: bytes, media_type: str, algorithm: str = "sha256") -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content, algorithm)), "size": len(content)}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


IMAGE: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": mt.OCI_MANIFEST,
    "config": described(b"config", mt.OCI_CONFIG),
    "layers": [described(b"layer 0", mt.OCI_LAYER_GZIP), described(b"layer 1", mt.OCI_LAYER_GZIP)],
}
DOCKER_IMAGE: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": mt.DOCKER_MANIFEST,
    "config": described(b"config", mt.DOCKER_CONFIG),
    "layers": [described(b"layer 0", mt.DOCKER_LAYER)],
}
INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": mt.OCI_INDEX,
    "manifests": [
        {**described(b"amd64", mt.OCI_MANIFEST), "platform": {"architecture": "amd64", "os": "linux"}},
        {
            **described(b"arm", mt.DOCKER_MANIFEST),
            "platform": {
                "architecture": "arm",
                "os": "linux",
                "os.version": "6.1",
                "os.features": ["a", "b"],
                "variant": "v7",
                "features": ["unknown to OCI"],
            },
        },
    ],
}

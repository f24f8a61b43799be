"""Icons are pictures that programs can read, and their digests never change."""

import hashlib
import struct
import zlib

import pytest

from metasvc.domain.artifact_type import UNKNOWN
from metasvc.domain.icon import accessory_icon, artifact_icon, get_icon
from svckit.errors import DomainError

# Portals keep icons by their digest.
KNOWN = {
    "IMAGE": "8837b1ad49f8",
    "CHART": "6a4b2e968614",
    "CNAB": "e6ac2200bc3a",
    "WASM": "78490ccaadf2",
    "CNAI": "b5a89a535bf1",
    "SBOM": "41e7456e1167",
    UNKNOWN: "0fb520a51239",
}


def test_each_type_has_an_icon_of_its_own() -> None:
    assert {kind: artifact_icon(kind)[7:19] for kind in KNOWN} == KNOWN
    assert artifact_icon("MODEL") == artifact_icon(UNKNOWN)
    assert accessory_icon("subject.accessory") == ""
    assert accessory_icon("sbom.harbor") == artifact_icon("SBOM")
    assert accessory_icon("signature.cosign") == accessory_icon("signature.notation") != artifact_icon(UNKNOWN)


@pytest.mark.parametrize("digest", [*(artifact_icon(kind) for kind in KNOWN), accessory_icon("signature.cosign")])
def test_an_icon_is_a_whole_png(digest: str) -> None:
    content = get_icon(digest)
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, position = {}, 8
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind, data = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", content, position + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        position += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, color = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (width, height, depth, color) == (48, 48, 1, 3)
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + width // 8)


@pytest.mark.parametrize("digest", ["", "latest", f"sha256:{'0' * 64}"])
def test_there_are_no_other_icons(digest: str) -> None:
    with pytest.raises(DomainError) as caught:
        get_icon(digest)
    assert caught.value.reason == "NOT_FOUND"

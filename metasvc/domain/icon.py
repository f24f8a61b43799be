"""Icons of types of artifacts, and of accessories. Each is a picture in this file, and its name is its digest.

Harbor also serves icons that a layer of an artifact holds, to anybody who knows their digest. That is not done here:
knowing a digest opens nothing.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING

from svckit.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

ICON_TYPE = "image/png"

_SCALE = 4
_COLORS = b"\xff\xff\xff" + b"\x2b\x5c\x8a"

_BOX = """
............
.##########.
.#........#.
.#.######.#.
.#........#.
.##########.
.#........#.
.#.######.#.
.#........#.
.##########.
............
............
"""
_WHEEL = """
.....##.....
.#...##...#.
..#.####.#..
...##..##...
..##....##..
####....####
####....####
..##....##..
...##..##...
..#.####.#..
.#...##...#.
.....##.....
"""
_BUNDLE = """
............
.####..####.
.#..#..#..#.
.#..#..#..#.
.####..####.
............
...######...
...#....#...
...#....#...
...######...
............
............
"""
_MODULE = """
............
.####..####.
.#..####..#.
.#........#.
.#.#.#.##.#.
.#.#.#.#.##.
.#.#.#.####.
.#.###.#..#.
.#..#..#..#.
.#........#.
.##########.
............
"""
_NET = """
............
.##......##.
.####..####.
..#.####.#..
..#..##..#..
..##.##.##..
..##.##.##..
..#..##..#..
..#.####.#..
.####..####.
.##......##.
............
"""
_LIST = """
............
.#.########.
............
.#.######...
............
.#.########.
............
.#.#####....
............
.#.########.
............
............
"""
_SEAL = """
............
...######...
..#......#..
..#....#.#..
..#...#..#..
..#.#.#..#..
..#..#...#..
..#......#..
...######...
...#.##.#...
...#....#...
............
"""
_SHEET = """
............
..#######...
..#....##...
..#....####.
..#.......#.
..#.......#.
..#.......#.
..#.......#.
..#.......#.
..#.......#.
..#########.
............
"""


def _png(picture: str) -> bytes:
    """Draws a picture: one bit for each pixel, not compressed, so that the digest is the same with every zlib."""
    lines = picture.split()
    width = len(lines[0]) * _SCALE
    rows = b""
    for line in lines:
        bits = "".join(("1" if cell == "#" else "0") * _SCALE for cell in line)
        rows += (b"\0" + int(bits, 2).to_bytes(width // 8, "big")) * _SCALE
    header = struct.pack(">IIBBBBB", width, len(lines) * _SCALE, 1, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", _COLORS), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


_CONTENTS: dict[str, bytes] = {}


def _icon(picture: str) -> str:
    content = _png(picture)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _CONTENTS[digest] = content
    return digest


_DEFAULT, _IMAGE, _SBOM, _SIGNATURE = _icon(_SHEET), _icon(_BOX), _icon(_LIST), _icon(_SEAL)
_OF_ARTIFACT: Mapping[str, str] = MappingProxyType(
    {
        "IMAGE": _IMAGE,
        "CHART": _icon(_WHEEL),
        "CNAB": _icon(_BUNDLE),
        "WASM": _icon(_MODULE),
        "CNAI": _icon(_NET),
        "SBOM": _SBOM,
    }
)
# Harbor has none for accessories that it knows nothing more of.
_OF_ACCESSORY: Mapping[str, str] = MappingProxyType(
    {
        "signature.cosign": _SIGNATURE,
        "signature.notation": _SIGNATURE,
        "sbom.harbor": _SBOM,
        "accelerator.nydus": _IMAGE,
    }
)


def artifact_icon(kind: str) -> str:
    """The digest of the icon of Harbor's type of an artifact, such as IMAGE."""
    return _OF_ARTIFACT.get(kind, _DEFAULT)


def accessory_icon(kind: str) -> str:
    """The digest of the icon of Harbor's type of an accessory; empty for others than signatures, SBOMs and Nydus."""
    return _OF_ACCESSORY.get(kind, "")


def get_icon(digest: str) -> bytes:
    """The picture of this digest, of type `ICON_TYPE`.

    Raises:
        DomainError: NOT_FOUND.
    """
    content = _CONTENTS.get(digest)
    if content is None:
        raise NotFound("NOT_FOUND", f"the icon {digest} not found")
    return content

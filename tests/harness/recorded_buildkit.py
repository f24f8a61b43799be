"""Outputs of a real BuildKit, for machines that cannot build it: recorded_buildkit.json.

`tests/acceptance/test_buildkit_outputs.py` records them, and compares them with those of the installed BuildKit.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.images import Image

_FILE = Path(__file__).with_name("recorded_buildkit.json")


def recorded_outputs() -> dict[str, Image]:
    """The outputs by name: an index with provenance and a cache, in two forms each."""
    recorded: dict[str, Any] = json.loads(_FILE.read_text())
    return {name: _image_of(written) for name, written in recorded.items()}


def record_outputs(outputs: Mapping[str, Image]) -> None:
    """Writes outputs, in place of those that are recorded."""
    _FILE.write_text(json.dumps({name: _written(image) for name, image in outputs.items()}, indent=1) + "\n")


def shape_of(image: Image) -> object:
    """All of an output that is the same in every build: its documents without digests, sizes and times."""
    return [_shape(image.document), *(_shape(child.document) for child in image.children)]


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    if isinstance(value, int) or not isinstance(value, str):
        return type(value).__name__
    is_of_this_build = value.startswith("sha256:") or value[:2] == "20"
    return "…" if is_of_this_build else value


def _written(image: Image) -> dict[str, object]:
    return {
        "media_type": image.media_type,
        "manifest": image.manifest.decode(),
        "blobs": {digest: base64.b64encode(content).decode() for digest, content in image.blobs.items()},
        "children": [_written(child) for child in image.children],
    }


def _image_of(written: Mapping[str, Any]) -> Image:
    children = tuple(_image_of(child) for child in written["children"])
    blobs = {digest: base64.b64decode(content) for digest, content in written["blobs"].items()}
    # `push` sends the blobs of children with those of their index.
    blobs |= {digest: content for child in children for digest, content in child.blobs.items()}
    return Image(written["media_type"], written["manifest"].encode(), blobs, children)

"""The files of a model, as the annotations of its layers name them (CNCF's ModelPack, model-spec)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from svckit.errors import Precondition

if TYPE_CHECKING:
    from collections.abc import Collection

    from svckit.oci.descriptor import Descriptor
    from svckit.oci.manifest import Manifest

# The specification was CNAI's before it was CNCF's.
_PATHS = ("org.cncf.model.filepath", "org.cnai.model.filepath")
_DOCUMENTS = tuple(
    f"application/vnd.{owner}.model.doc.v1.{form}" for owner in ("cncf", "cnai") for form in ("tar", "tar+gzip", "raw")
)
_DEEPEST = 64
# All paths together, with the folders in them. The answer must fit into a message.
_MOST_NAMES = 100_000

Folder = dict[str, "Folder | int"]
"""What a folder has, by name: folders, and the sizes of files."""


def named_layer(manifest: Manifest, names: Collection[str]) -> Descriptor | None:
    """The first layer of documentation whose path is one of these names, in upper case."""
    for layer in manifest.layers:
        if layer.media_type in _DOCUMENTS and _path(layer).upper() in names:
            return layer
    return None


def list_files(manifest: Manifest) -> bytes:
    """The tree of files as Harbor writes it: folders first, each with what is in it.

    It may take some tenths of a second, so it runs in a thread.

    Raises:
        DomainError: PRECONDITION; two layers contradict each other, a path is too deep, or there is too much.
    """
    root: Folder = {}
    names = 0
    for layer in manifest.layers:
        path = _path(layer)
        names += 1 + path.count("/")
        if names > _MOST_NAMES:
            raise Precondition("PRECONDITION", f"the paths of the files have more than {_MOST_NAMES} names")
        if path:
            _add(root, path, layer.size)
    return json.dumps(_listed(root), ensure_ascii=False, separators=(",", ":")).encode()


def _path(layer: Descriptor) -> str:
    return next((layer.annotations[key] for key in _PATHS if key in layer.annotations), "")


def _add(root: Folder, path: str, size: int) -> None:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or len(parts) > _DEEPEST:
        raise Precondition("PRECONDITION", f"the path of a file leads upwards or has more than {_DEEPEST} folders")
    is_folder = path.endswith("/")
    folder = root
    for name in parts if is_folder else parts[:-1]:
        below = folder.setdefault(name, {})
        if isinstance(below, int):
            raise _contradiction(path)
        folder = below
    if parts and not is_folder:
        if isinstance(folder.get(parts[-1]), dict):
            raise _contradiction(path)
        folder[parts[-1]] = size


def _contradiction(path: str) -> Precondition:
    return Precondition("PRECONDITION", f"the layers name a file and a folder of the same path: {path}")


def _listed(folder: Folder) -> list[dict[str, Any]]:
    entries = sorted(folder.items(), key=lambda entry: (isinstance(entry[1], int), entry[0]))
    return [
        ({"name": name, "type": "file"} | ({"size": held} if held else {}))
        if isinstance(held, int)
        else ({"name": name, "type": "directory"} | ({"children": _listed(held)} if held else {}))
        for name, held in entries
    ]

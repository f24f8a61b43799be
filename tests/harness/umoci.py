"""Images that umoci makes: OCI layouts with a tag, which other programs push and pull."""

import json
from pathlib import Path

from tests.harness.programs import Client

FILES = {"etc/motd": "made by umoci\n", "app/run": "#!/bin/sh\necho it runs\n"}
"""What is in the image, by path."""


def make_layout(umoci: Client, folder: Path) -> Path:
    """Makes a layout with one image under the tag v1, in two layers, and returns it.

    Args:
        umoci: makes it.
        folder: for the layout and the files; need not exist. Its name is in the image, so that no test finds the push
            of another one.
    """
    folder.mkdir()
    layout = folder / "layout"
    umoci.run("init", "--layout", str(layout))
    umoci.run("new", "--image", f"{layout}:v1")
    for path, content in FILES.items():
        source = folder / Path(path).name
        source.write_text(content)
        umoci.run("insert", "--rootless", "--image", f"{layout}:v1", str(source), f"/{path}")
    umoci.run("config", "--image", f"{layout}:v1", "--config.label", f"made={folder}", "--config.cmd", "/app/run")
    return layout


def digest_in(layout: Path) -> str:
    """The digest of the only image in a layout."""
    [entry] = json.loads((layout / "index.json").read_bytes())["manifests"]
    digest: str = entry["digest"]
    return digest


def unpacked(umoci: Client, layout: Path, tag: str, bundle: Path) -> dict[str, str]:
    """Unpacks an image, which compares every digest on the way, and returns its files by path."""
    umoci.run("unpack", "--rootless", "--image", f"{layout}:{tag}", str(bundle))
    root = bundle / "rootfs"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}

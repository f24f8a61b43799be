"""Images made for tests: small, of known content, written in the forms that client programs read."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# Layers whose bytes are not in the registry, by the type of the manifest.
FOREIGN_LAYERS = {
    OCI_MANIFEST: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    DOCKER_MANIFEST: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
}


def digest_of(content: bytes) -> str:
    """The sha256 digest of `content`, computed apart from the code that is tested."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Image:
    """A manifest, and the bytes of everything that it names.

    Attributes:
        media_type: of the manifest.
        manifest: its bytes.
        blobs: config and layers by digest; for an index, those of all its children.
        children: the images of an index.
    """

    media_type: str
    manifest: bytes
    blobs: Mapping[str, bytes]
    children: tuple["Image", ...] = ()
    platform: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return digest_of(self.manifest)

    @property
    def document(self) -> dict[str, Any]:
        """The manifest as JSON."""
        document: dict[str, Any] = json.loads(self.manifest)
        return document

    @property
    def config(self) -> dict[str, Any]:
        """Descriptor of the config."""
        descriptor: dict[str, Any] = self.document["config"]
        return descriptor

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Descriptors of the layers."""
        descriptors: list[dict[str, Any]] = self.document["layers"]
        return descriptors

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor of this image in an index."""
        descriptor: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}
        if self.platform:
            descriptor["platform"] = dict(self.platform)
        return descriptor


def image(
    seed: int, *, layers: int = 2, layer_bytes: int = 4096, docker: bool = False, architecture: str = "amd64"
) -> Image:
    """An image whose layers are real tar archives of `layer_bytes` random bytes each; the same seed, the same image."""
    chance = random.Random(seed)
    archives = [_tar(f"layer-{number}", chance.randbytes(layer_bytes)) for number in range(layers)]
    return image_of(archives, seed=str(seed), docker=docker, architecture=architecture)


def image_of(archives: Sequence[bytes], *, seed: str, docker: bool = False, architecture: str = "amd64") -> Image:
    """An image whose layers are these tar archives. Its label `seed` gives it a config of its own."""
    packed = [gzip.compress(archive, mtime=0) for archive in archives]
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "author": "tests",
            "config": {"Env": ["PATH=/bin"], "Labels": {"seed": seed}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(archive) for archive in archives]},
            "history": [
                {"created": "2026-01-02T03:04:05Z", "created_by": f"layer {number}"} for number in range(len(archives))
            ],
        }
    )
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": _descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, config),
            "layers": [_descriptor(DOCKER_LAYER if docker else OCI_LAYER, layer) for layer in packed],
        }
    )
    blobs = {digest_of(content): content for content in (config, *packed)}
    return Image(media_type, manifest, blobs, platform={"architecture": architecture, "os": "linux"})


def with_foreign_layer(whole: Image, url: str) -> tuple[Image, bytes]:
    """The same image with its last layer at another place, and the bytes of that layer, which are no longer among its.

    Args:
        whole: an image of Docker's or OCI's types, which have different names for such a layer.
        url: from where the layer can be downloaded.
    """
    document = whole.document
    layer = document["layers"][-1]
    layer["mediaType"] = FOREIGN_LAYERS[whole.media_type]
    layer["urls"] = [url]
    blobs = dict(whole.blobs)
    content = blobs.pop(layer["digest"])
    return replace(whole, manifest=_json(document), blobs=blobs), content


def index(images: Iterable[Image]) -> Image:
    """An OCI index of images, one for each platform."""
    children = tuple(images)
    manifest = _json(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.descriptor for child in children]}
    )
    blobs = {digest: content for child in children for digest, content in child.blobs.items()}
    return Image(OCI_INDEX, manifest, blobs, children)


def write_oci_layout(folder: Path, tagged: Image, tag: str = "latest") -> Path:
    """Writes an OCI image layout holding one image or index under `tag`, and returns the folder."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifests = [tagged.manifest, *(child.manifest for child in tagged.children)]
    for content in [*tagged.blobs.values(), *manifests]:
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    entry = tagged.descriptor | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}))
    return folder


def write_dir_layout(folder: Path, single: Image) -> Path:
    """Writes skopeo's `dir:` layout, which keeps a manifest byte for byte whatever its type, and returns the folder."""
    folder.mkdir(parents=True)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(single.manifest)
    for digest, content in single.blobs.items():
        (folder / digest.removeprefix("sha256:")).write_bytes(content)
    return folder


def write_docker_archive(file: Path, single: Image, name: str) -> Path:
    """Writes the archive that `docker load` reads, with one image under "HOST/REPOSITORY:TAG", and returns the file."""
    config = single.blobs[single.config["digest"]]
    layers = {f"layer-{number}.tar": single.blobs[layer["digest"]] for number, layer in enumerate(single.layers)}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}]
    with tarfile.open(file, "w") as writer:
        _add(writer, "config.json", config)
        for layer, content in layers.items():
            _add(writer, layer, gzip.decompress(content))
        _add(writer, "manifest.json", _json(manifest))
    return file


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _json(document: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tar(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        _add(writer, name, content)
    return archive.getvalue()


def _add(writer: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    writer.addfile(entry, io.BytesIO(content))

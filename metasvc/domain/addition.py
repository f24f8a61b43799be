"""Additions: what can be read out of an artifact for people, as in Harbor.

From Harbor's processors (src/controller/artifact/processor). Configs and layers are what anybody has pushed, so they
are read within bounds, and what is wrong with them is told to whoever asks.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from metasvc.domain.addition_layer import Layer, read_file, read_layer
from metasvc.domain.artifact import unknown_artifact
from metasvc.domain.artifact_type import HELM_CONFIG, IMAGE
from metasvc.domain.blob_store import require_store
from metasvc.domain.model import Artifact, BlobKey, WantedBlob, WantedManifest
from metasvc.domain.model_files import list_files, named_layer
from metasvc.domain.ports import DamagedConfigError
from metasvc.domain.quarantine import quarantine_blob
from svckit.bounded_json import read_in_thread_if_large
from svckit.errors import Invalid, NotFound, Precondition
from svckit.oci.config import MAX_CONFIG_BYTES, parse_config
from svckit.oci.image_config import parse_image_config
from svckit.oci.manifest import parse_manifest
from svckit.oci.media_types import is_image_config
from svckit.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from metasvc.domain.ports import Ports
    from svckit.oci.descriptor import Descriptor
    from svckit.oci.manifest import Manifest

BUILD_HISTORY, VALUES, README = "build_history", "values.yaml", "readme.md"
DEPENDENCIES, LICENSE, FILES, SBOM = "dependencies", "license", "files", "sbom"
NAMES = frozenset({BUILD_HISTORY, VALUES, README, DEPENDENCIES, LICENSE, FILES, SBOM})

_OF_TYPE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CHART": (VALUES, README, DEPENDENCIES),
        "CNAI": (README, LICENSE, FILES),
        "SBOM": (SBOM,),
        "WASM": (BUILD_HISTORY,),
    }
)
_JSON = "application/json; charset=utf-8"
_MARKDOWN = "text/markdown; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_SBOM_TYPE = "application/vnd.goharbor.harbor.sbom.v1"
_CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MODEL_FILES: Mapping[str, tuple[frozenset[str], str]] = MappingProxyType(
    {
        README: (frozenset({"README", "README.MD"}), _MARKDOWN),
        LICENSE: (frozenset({"LICENSE", "LICENSE.TXT"}), _TEXT),
    }
)


@dataclass(frozen=True, slots=True)
class Addition:
    """The bytes of an addition, and their media type."""

    media_type: str
    content: bytes


def additions_of(artifact: Artifact) -> tuple[str, ...]:
    """The names of the additions that artifacts of this type have. An index has none."""
    if artifact.type == IMAGE:
        return (BUILD_HISTORY,) if is_image_config(artifact.media_type) else ()
    return _OF_TYPE.get(artifact.type, ()) if artifact.config_digest else ()


def addition_paths(artifact: Artifact) -> dict[str, str]:
    """The paths of its additions under Harbor's API, by their names. The name of the repository is encoded twice."""
    names = additions_of(artifact)
    if not names:
        return {}
    project, _, repository = artifact.repository_name.partition("/")
    encoded = quote(quote(repository, safe=""), safe="")
    path = f"/api/v2.0/projects/{project}/repositories/{encoded}/artifacts/{artifact.digest}/additions"
    return {name: f"{path}/{name}" for name in names}


async def get_addition(ports: Ports, *, project_id: int, repository: str, reference: Reference, name: str) -> Addition:
    """Reads an addition of the artifact that a tag or digest names.

    A chart without a README or values has empty ones, as in Harbor.

    Raises:
        DomainError: NOT_FOUND, there is no such artifact, or it has no such file; BAD_REQUEST, artifacts of its type
            have no such addition; PRECONDITION, its config or archive is damaged; REQUEST_TOO_LARGE; UNAVAILABLE, the
            bytes cannot be read now; OVERLOADED, TOOMANYREQUESTS, too many layers are read, or by this caller.
    """
    async with ports.store.lists() as lists:
        artifact = await lists.artifacts.get(project_id, repository, reference)
    if artifact is None:
        raise unknown_artifact(repository, reference)
    wanted = name.lower()
    if wanted not in NAMES:
        raise NotFound("NOT_FOUND", f"there is no addition {name}")
    if wanted not in additions_of(artifact):
        raise Invalid(message=f"artifacts of type {artifact.type} have no {wanted}")
    source = _Source(ports, artifact, await _manifest(ports, artifact))
    try:
        return await source.read(wanted)
    except DamagedConfigError as error:
        await require_store(ports, error.store_id)
        await quarantine_blob(ports, BlobKey(source.reading, source.generation), error.damage, "addition")
        raise NotFound("NOT_FOUND", f"the stored bytes of {source.reading} are damaged; push them again") from error


async def _manifest(ports: Ports, artifact: Artifact) -> Manifest:
    wanted = WantedManifest(
        artifact.project_id, artifact.repository_name, Reference.parse(artifact.digest), content=True
    )
    async with ports.store.read() as unit:
        (found,) = await unit.artifacts.find_manifests([wanted])
    if found is None or found.content is None:
        # It was deleted since it was found.
        raise unknown_artifact(artifact.repository_name, wanted.reference)
    return await read_in_thread_if_large(found.size, parse_manifest, found.content, found.media_type)


class _Source:
    """What the additions of one artifact are read from.

    Attributes:
        reading: the digest of the blob that is read.
        generation: its generation.
    """

    def __init__(self, ports: Ports, artifact: Artifact, manifest: Manifest) -> None:
        self._ports = ports
        self._artifact = artifact
        self._manifest = manifest
        self.reading = ""
        self.generation = 0

    async def read(self, name: str) -> Addition:
        match name:
            case "build_history":
                return await self._of_config(_history)
            case "dependencies":
                return await self._of_config(_dependencies)
            case "files":
                return Addition(_JSON, await asyncio.to_thread(list_files, self._manifest))
            case "sbom":
                return Addition(_SBOM_TYPE, await read_layer(self._ports, await self._layer(self._only_layer())))
            case _ if self._artifact.media_type == HELM_CONFIG:
                return await self._chart_file(name)
            case _:
                return await self._model_file(name)

    async def _chart_file(self, name: str) -> Addition:
        wanted = name.upper()

        def is_wanted(path: str) -> bool:
            folder, slash, file = path.removeprefix("./").partition("/")
            return bool(folder and slash) and file.upper() == wanted

        found = await read_file(self._ports, await self._layer(self._chart_layer()), is_wanted)
        return Addition(_MARKDOWN if name == README else _TEXT, found or b"")

    def _chart_layer(self) -> Descriptor:
        config = self._manifest.config
        layers = [each for each in self._manifest.layers if config is None or each.digest != config.digest]
        charts = [each for each in layers if each.media_type == _CHART_LAYER]
        if not layers:
            raise NotFound("NOT_FOUND", "the chart has no archive")
        return (charts or layers)[0]

    async def _model_file(self, name: str) -> Addition:
        names, media_type = _MODEL_FILES[name]
        described = named_layer(self._manifest, names)
        if described is None:
            raise NotFound("NOT_FOUND", f"the model has no {name}")
        layer = await self._layer(described)
        if described.media_type.endswith(".raw"):
            return Addition(media_type, await read_layer(self._ports, layer))
        found = await read_file(self._ports, layer, lambda path: path.rpartition("/")[2].upper() in names)
        if found is None:
            raise NotFound("NOT_FOUND", f"the model has no {name}")
        return Addition(media_type, found)

    def _only_layer(self) -> Descriptor:
        if len(self._manifest.layers) != 1:
            raise NotFound("NOT_FOUND", "the artifact has no SBOM: it must have one layer")
        return self._manifest.layers[0]

    async def _layer(self, described: Descriptor) -> Layer:
        (served,) = await self._ports.store.find_served(
            [WantedBlob(self._artifact.project_id, self._artifact.repository_name, str(described.digest))]
        )
        if served is None:
            raise NotFound("NOT_FOUND", f"the repository does not serve {described.digest} any more")
        self.reading, self.generation = served.digest, served.generation
        return Layer(served, self._artifact.project_id, self._artifact.repository_name)

    async def _of_config(self, show: Callable[[bytes], bytes]) -> Addition:
        config = await self._config()
        return Addition(_JSON, await read_in_thread_if_large(len(config), show, config))

    async def _config(self) -> bytes:
        config = self._manifest.config
        if config is None:
            raise NotFound("NOT_FOUND", "an index has no config")
        if config.data is not None:
            return config.data
        layer = await self._layer(config)
        if layer.blob.size > MAX_CONFIG_BYTES:
            raise Invalid("REQUEST_TOO_LARGE", f"the config has more than {MAX_CONFIG_BYTES} bytes")
        return await self._ports.configs.read(layer.blob, project_id=layer.project_id, repository=layer.repository)


def _history(config: bytes) -> bytes:
    image = parse_image_config(config)
    if image is None:
        raise _not_a_config()
    steps = [
        {
            "created": step.created,
            "created_by": step.created_by,
            "author": step.author,
            "comment": step.comment,
            "empty_layer": step.empty_layer,
        }
        for step in image.history
    ]
    # What is empty is left out, as by Go.
    return _dump([{key: value for key, value in step.items() if value} for step in steps])


def _dependencies(config: bytes) -> bytes:
    """The dependencies of a chart: helm writes them into the config, also those of a requirements.yaml."""
    chart = parse_config(config)
    if chart is None:
        raise _not_a_config()
    listed = chart.get("dependencies")
    return _dump([each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else [])


def _not_a_config() -> Precondition:
    return Precondition("PRECONDITION", "the config of the artifact is not a JSON object")


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

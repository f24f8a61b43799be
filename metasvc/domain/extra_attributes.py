"""What the config of an artifact says of it: Harbor's extra_attrs, kept with the artifact when it is pushed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from metasvc.domain.artifact_type import HELM_CONFIG
from svckit.oci.config import MAX_CONFIG_BYTES, parse_config
from svckit.oci.image_config import parse_image_config
from svckit.oci.media_types import is_image_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metasvc.domain.ports import Ports
    from svckit.oci.descriptor import Descriptor
    from svckit.oci.manifest import Manifest

MAX_ATTRIBUTES_CHARACTERS = 64 * 1024
"""As JSON. Every manifest that names a config keeps what it says, while the config itself is kept, and charged, once:
without a limit, a large one and many small manifests would fill the database at nobody's expense."""

# Reading a larger one would hold up every other request for more than a millisecond.
_INLINE_BYTES = 64 * 1024


async def read_attributes(
    ports: Ports, *, project_id: int, repository: str, digest: str, manifest: Manifest
) -> Mapping[str, object] | None:
    """Reads what the config of a manifest says of it, for a push that is about to be written.

    To be called before the write: no transaction is held while another service is asked. It asks only for what an
    artifact that is not here yet will show.

    Args:
        ports: the store knows which blobs the repository serves, blobsvc has their bytes.
        project_id: of the repository.
        repository: its full name.
        digest: of the manifest.
        manifest: that is pushed.

    Returns:
        The attributes, empty where nothing is known; None where the config was not looked for, because the artifact is
        here already, or the config is not.

    Raises:
        DomainError: UNAVAILABLE; the bytes are there, and cannot be read now.
    """
    config = _telling_config(manifest)
    if config is None:
        return {}
    content = config.data
    if content is None:
        async with ports.store.read() as unit:
            if await unit.artifacts.manifest_by_digest(project_id, repository, digest, content=False) is not None:
                return None
            served = await unit.blobs.served(project_id, repository, str(config.digest))
        if served is None:
            return None
        if served.size > MAX_CONFIG_BYTES:
            return {}
        content = await ports.configs.read(served, project_id=project_id, repository=repository)
        if content is None:
            return {}
    if len(content) > _INLINE_BYTES:
        return await asyncio.to_thread(extra_attributes, config.media_type, content)
    return extra_attributes(config.media_type, content)


def _telling_config(manifest: Manifest) -> Descriptor | None:
    """The config of a manifest, where people are shown what it says."""
    config = manifest.config
    if config is None or not (is_image_config(config.media_type) or config.media_type == HELM_CONFIG):
        return None
    return config


def extra_attributes(media_type: str, content: bytes) -> dict[str, object]:
    """What a config says, as Harbor shows it: five members of an image's, and all of a chart's (its Chart.yaml).

    From Harbor's processors (src/controller/artifact/processor/image and chart). What is odd, empty or too long is left
    out.
    """
    if media_type == HELM_CONFIG:
        return _fitting(parse_config(content) or {})
    image = parse_image_config(content)
    if image is None:
        return {}
    return _fitting(
        {
            "architecture": image.architecture,
            "os": image.os,
            "created": image.created,
            "author": image.author,
            "config": dict(image.config),
        }
    )


def _fitting(members: Mapping[str, object]) -> dict[str, object]:
    """The members that have a value, as many of them as there is room for, the first ones first."""
    fitting: dict[str, object] = {}
    room = MAX_ATTRIBUTES_CHARACTERS
    for name, value in members.items():
        if value is None or value in ("", {}, []):
            continue
        length = len(json.dumps({name: value}, ensure_ascii=False))
        if length <= room:
            fitting[name] = value
            room -= length
    return fitting

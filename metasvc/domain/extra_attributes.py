"""Harbor's extra_attrs: attributes from an artifact's config, which are stored with the artifact when it is pushed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from metasvc.domain.artifact_type import HELM_CONFIG
from metasvc.domain.blob_store import require_store
from metasvc.domain.model import BlobKey, WantedBlob, WantedManifest
from metasvc.domain.ports import DamagedConfigError
from metasvc.domain.quarantine import quarantine_blob
from svckit.bounded_json import read_in_thread_if_large
from svckit.oci.config import MAX_CONFIG_BYTES, parse_config
from svckit.oci.digest import Digest
from svckit.oci.image_config import parse_image_config
from svckit.oci.media_types import is_image_config
from svckit.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metasvc.domain.ports import Ports
    from svckit.oci.descriptor import Descriptor
    from svckit.oci.manifest import Manifest

MAX_ATTRIBUTES_CHARACTERS = 64 * 1024
"""The most attributes of one artifact, as JSON. They are stored for every manifest, but the quota counts a config only
once. Without a limit, many small manifests with one large config could fill the database without using the quota."""


async def read_attributes(
    ports: Ports, *, project_id: int, repository: str, digest: str, manifest: Manifest, given: bytes = b""
) -> Mapping[str, object] | None:
    """Reads the attributes of a manifest from its config, for a push.

    Call it before the unit of work begins, because no transaction may be open while blobsvc is called. It calls blobsvc
    only for an artifact that does not exist yet, and only if the caller has not given the config. Given bytes need no
    check that the repository serves them: without it, the push is refused anyway.

    Args:
        ports: the ports of metasvc.
        project_id: the project of the repository.
        repository: the full name of the repository.
        digest: the digest of the manifest.
        manifest: the manifest that is pushed.
        given: the bytes of the config, as the caller says; empty without them.

    Returns:
        The attributes, perhaps none; None if they were not read, because the artifact exists already, or because the
        repository does not serve the config.

    Raises:
        DomainError: UNAVAILABLE; the config exists but cannot be read now.
    """
    config = _shown_config(manifest)
    if config is None:
        return {}
    content = config.data
    if content is None and given and Digest.of(given, config.digest.algorithm) == config.digest:
        content = given
    if content is None:
        own = WantedManifest(project_id, repository, Reference.parse(digest), content=False)
        (existing,) = await ports.store.find_manifests([own], content_bytes=0)
        if existing is not None:
            return None
        (served,) = await ports.store.find_served([WantedBlob(project_id, repository, str(config.digest))])
        if served is None:
            return None
        if served.size > MAX_CONFIG_BYTES:
            return {}
        try:
            content = await ports.configs.read(served, project_id=project_id, repository=repository)
        except DamagedConfigError as error:
            # From now on the repository does not serve the config, so the push is refused.
            await require_store(ports, error.store_id)
            await quarantine_blob(ports, BlobKey(served.digest, served.generation), error.damage, "manifest")
            return None
    return await read_in_thread_if_large(len(content), extra_attributes, config.media_type, content)


def _shown_config(manifest: Manifest) -> Descriptor | None:
    """The config of a manifest, if it is of a kind whose attributes are shown: an image's or a Helm chart's."""
    config = manifest.config
    if config is None or not (is_image_config(config.media_type) or config.media_type == HELM_CONFIG):
        return None
    return config


def extra_attributes(media_type: str, content: bytes) -> dict[str, object]:
    """The attributes of a config, as Harbor shows them: five members of an image's, all of a chart's (its Chart.yaml).

    From Harbor's processors (src/controller/artifact/processor/image and chart). Invalid, empty and too long members
    are left out.
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
    """The members that have a value, in order, as far as they fit into `MAX_ATTRIBUTES_CHARACTERS`."""
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

"""Reads layers for additions: a small one as a whole, or one file of an archive while it streams."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasvc.domain.archive import ArchiveError, ArchiveSearch
from svckit.errors import Invalid, Precondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from metasvc.domain.model import ServedBlob
    from metasvc.domain.ports import Ports

MAX_LAYER_BYTES = 20 * 1024 * 1024
"""A larger archive is not read. Charts and documents are far smaller; models are, too, but for their weights."""
MAX_FILE_BYTES = 12 * 1024 * 1024
"""A larger layer that is a file itself is not read: it must fit into a message. SBOMs of large images have some MiB."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer to read, and the repository that serves it."""

    blob: ServedBlob
    project_id: int
    repository: str


async def read_layer(ports: Ports, layer: Layer) -> bytes:
    """Reads a layer that is a file itself.

    Raises:
        DomainError: REQUEST_TOO_LARGE; UNAVAILABLE.
        DamagedConfigError: the bytes are missing, or are not those that were uploaded.
    """
    _require_size(layer, MAX_FILE_BYTES)
    async with ports.layers.open(layer.blob, project_id=layer.project_id, repository=layer.repository) as pieces:
        return b"".join([piece async for piece in pieces])


async def read_file(ports: Ports, layer: Layer, wants: Callable[[str], bool]) -> bytes | None:
    """Reads the first file of an archive whose name is wanted; None without one. It stops reading once it has it.

    Raises:
        DomainError: REQUEST_TOO_LARGE; PRECONDITION, the archive is damaged or exceeds a bound; UNAVAILABLE.
        DamagedConfigError: as `read_layer`.
    """
    _require_size(layer, MAX_LAYER_BYTES)
    search = ArchiveSearch(wants)
    try:
        async with ports.layers.open(layer.blob, project_id=layer.project_id, repository=layer.repository) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(search.feed, piece)
                if search.is_over:
                    return search.content
        search.finish()
    except ArchiveError as error:
        raise Precondition("PRECONDITION", f"the archive {layer.blob.digest} {error}") from None
    return search.content


def _require_size(layer: Layer, most: int) -> None:
    if layer.blob.size > most:
        raise Invalid("REQUEST_TOO_LARGE", f"{layer.blob.digest} has more than {most} bytes")

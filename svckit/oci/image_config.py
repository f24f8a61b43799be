"""The config of a container image, read for what people are shown of it (image-spec, config.md; Docker's is alike).

What is odd in it is left out, as `svckit.oci.config` says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from svckit.oci.config import parse_config
from svckit.oci.descriptor import no_annotations

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step of how an image was built; '' for what is not said."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a container image says about itself; '' and empty for what it does not say.

    Attributes:
        created: as it is written there, RFC 3339 by the specification.
        labels: of `config`, strings only; read-only.
        config: the whole `config` object (Env, Cmd, ExposedPorts, …), safe to write as JSON and to store as text.
        history: oldest first.
    """

    architecture: str = ""
    os: str = ""
    os_version: str = ""
    variant: str = ""
    created: str = ""
    author: str = ""
    labels: Mapping[str, str] = field(default_factory=no_annotations, hash=False)
    config: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    history: tuple[HistoryEntry, ...] = ()


def parse_image_config(content: bytes) -> ImageConfig | None:
    """Read an image's config; None where it is no JSON object, or larger than anybody looks. Raises nothing."""
    document = parse_config(content)
    if document is None:
        return None
    members = document.get("config")
    config = members if isinstance(members, dict) else {}
    labels = config.get("Labels")
    history = document.get("history")
    return ImageConfig(
        architecture=_text(document, "architecture"),
        os=_text(document, "os"),
        os_version=_text(document, "os.version"),
        variant=_text(document, "variant"),
        created=_text(document, "created"),
        author=_text(document, "author"),
        labels=MappingProxyType(
            {key: value for key, value in labels.items() if isinstance(value, str)} if isinstance(labels, dict) else {}
        ),
        config=MappingProxyType(config),
        history=tuple(_history_entry(entry) for entry in history if isinstance(entry, dict))
        if isinstance(history, list)
        else (),
    )


def _history_entry(entry: Mapping[str, object]) -> HistoryEntry:
    return HistoryEntry(
        created=_text(entry, "created"),
        created_by=_text(entry, "created_by"),
        author=_text(entry, "author"),
        comment=_text(entry, "comment"),
        empty_layer=entry.get("empty_layer") is True,
    )


def _text(members: Mapping[str, object], key: str) -> str:
    value = members.get(key)
    return value if isinstance(value, str) else ""

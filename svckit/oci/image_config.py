"""The config of a container image, read only to show it to people (image-spec, config.md; Docker's is similar).

Wrong values are left out (`svckit.oci.config`).
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
    """One step of an image's build; '' for a value that is not given."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The description of a container image; '' or empty for values that are not given.

    Attributes:
        created: the time as the config has it; the specification demands RFC 3339.
        labels: the labels in `config`, strings only; read-only.
        config: the whole `config` object (Env, Cmd, ExposedPorts, …). It can be written as JSON and stored as text.
        history: the build steps, oldest first.
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
    """Read an image's config; None if it is not a JSON object or is too large. Never raises."""
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

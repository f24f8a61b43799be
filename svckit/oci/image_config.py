"""The config of a container image, read for what people are shown of it (image-spec, config.md; Docker's is alike).

It is a blob of a stranger's that nothing depends on: what is odd in it is left out, and never an error.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from svckit.oci.descriptor import no_annotations

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CONFIG_BYTES = 4 * 1024 * 1024
"""Larger ones are not looked into."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_DEPTH = 32
_MAX_INT_CHARACTERS = 20


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
    """Read an image's config; None where it is no JSON object or larger than 4 MiB. Raises nothing."""
    if len(content) > MAX_CONFIG_BYTES:
        return None
    try:
        document = json.loads(
            content.decode("utf-8"), parse_int=_integer, parse_float=_number, parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    members = document.get("config")
    config = _clean(members, 0) if isinstance(members, dict) else {}
    if not isinstance(config, dict):
        return None
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
    return _storable(value) if isinstance(value, str) else ""


def _storable(text: str) -> str:
    """Put U+FFFD where a lone surrogate (which has no UTF-8) or U+0000 (which PostgreSQL does not store) stands."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _clean(value: object, depth: int) -> object:
    """Make strings storable, all the way down; what lies deeper than anybody looks is left out."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, dict):
        return {} if depth > _MAX_DEPTH else {_storable(k): _clean(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [] if depth > _MAX_DEPTH else [_clean(item, depth + 1) for item in value]
    return value


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_INT_CHARACTERS else None


def _number(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None

"""Image configs: read for show, whatever is in them."""

from __future__ import annotations

import json

import pytest

from svckit.oci.config import MAX_CONFIG_BYTES
from svckit.oci.image_config import HistoryEntry, ImageConfig, parse_image_config

CONFIG = {
    "created": "2026-01-02T03:04:05Z",
    "author": "Jörg",
    "architecture": "arm64",
    "os": "linux",
    "os.version": "6.1",
    "variant": "v8",
    "config": {
        "Env": ["A=b"],
        "Cmd": ["sh"],
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
        "ArgsEscaped": True,
    },
    "rootfs": {"type": "layers", "diff_ids": []},
    "history": [{"created": "x", "created_by": "RUN y", "empty_layer": True}, {"comment": "c", "author": "me"}],
}


def test_a_config_is_read() -> None:
    config = parse_image_config(json.dumps(CONFIG).encode())
    assert config == ImageConfig(
        architecture="arm64",
        os="linux",
        os_version="6.1",
        variant="v8",
        created="2026-01-02T03:04:05Z",
        author="Jörg",
        labels={"a": "b"},
        config=CONFIG["config"],  # type: ignore[arg-type]  # the document is a plain dict
        history=(HistoryEntry("x", "RUN y", empty_layer=True), HistoryEntry(author="me", comment="c")),
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b" " * MAX_CONFIG_BYTES + b"{}"],
)
def test_what_is_no_config_is_none(content: bytes) -> None:
    assert parse_image_config(content) is None


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        '{"architecture": 1, "os": null, "created": {}, "author": [], "config": [], "history": {}}',
        '{"config": {"Labels": []}, "history": [1, null, "x"]}',
        '{"config": {"Labels": null}, "variant": NaN}',
        '{"config": null, "history": null, "x": 1, "x": 2}',
    ],
)
def test_what_is_odd_is_left_out(document: str) -> None:
    config = parse_image_config(document.encode())
    assert config is not None
    assert (config.architecture, config.labels, config.history) == ("", {}, ())


def test_labels_that_are_no_strings_are_left_out() -> None:
    config = parse_image_config(b'{"config": {"Labels": {"a": 1, "b": "c", "d": null}}}')
    assert config is not None
    assert config.labels == {"b": "c"}


def test_what_is_kept_can_be_written_and_stored() -> None:
    content = (
        b'{"author": "a\\u0000b", "os": "\\ud800", "config": {"n": [1e999, NaN, ' + b"9" * 5000 + b"], "
        b'"\\udc00": "\\u0000", "Labels": {"k\\u0000": "\\ud83d\\ude00"}, "deep": ' + b"[" * 200 + b"]" * 200 + b"}}"
    )
    config = parse_image_config(content)
    assert config is not None
    assert config.author == "a\N{REPLACEMENT CHARACTER}b"
    assert config.os == "\N{REPLACEMENT CHARACTER}"
    assert config.labels == {"k\N{REPLACEMENT CHARACTER}": "\N{GRINNING FACE}"}
    assert config.config["n"] == [None, None, None]
    written = json.dumps(dict(config.config), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert b"\\u0000" not in written

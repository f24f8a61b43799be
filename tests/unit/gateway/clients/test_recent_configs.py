"""Configs that were uploaded just now: by ticket, then by digest, within bounds."""

import json

from gateway.clients.recent_configs import RecentConfigs
from tests.unit.gateway.conftest import digest_of

CONFIG = b'{"os": "linux"}'


def manifest(*digests: str) -> bytes:
    return json.dumps({"config": {"digest": digests[0]}, "layers": [{"digest": each} for each in digests[1:]]}).encode()


def uploaded(configs: RecentConfigs, content: bytes, ticket: str = "ticket") -> str:
    configs.written(ticket, content)
    configs.finished(ticket, digest_of(content))
    return digest_of(content)


def test_a_finished_config_is_found_by_the_manifest_that_names_it() -> None:
    configs = RecentConfigs()
    digest = uploaded(configs, CONFIG)
    assert configs.named_by(manifest(digest, digest_of(b"layer"))) == CONFIG
    assert configs.named_by(manifest(digest_of(b"other"), digest_of(b"layer"))) == b""
    # It is found again: many images share a config.
    assert configs.named_by(manifest(digest)) == CONFIG


def test_what_is_not_finished_is_not_found() -> None:
    configs = RecentConfigs()
    configs.written("ticket", CONFIG)
    assert configs.named_by(manifest(digest_of(CONFIG))) == b""
    configs.forget("ticket")
    configs.finished("ticket", digest_of(CONFIG))
    assert configs.named_by(manifest(digest_of(CONFIG))) == b""


def test_later_bytes_of_an_upload_replace_those_before() -> None:
    configs = RecentConfigs()
    configs.written("ticket", b'{"a": 1}')
    digest = uploaded(configs, CONFIG)
    assert configs.named_by(manifest(digest)) == CONFIG


def test_layers_and_large_blobs_are_not_held() -> None:
    configs = RecentConfigs()
    for content in (b"layer", b"", b"{" + bytes(64 * 1024)):
        assert configs.named_by(manifest(uploaded(configs, content))) == b""
    largest = b"{" + bytes(64 * 1024 - 1)
    assert configs.named_by(manifest(uploaded(configs, largest))) == largest


def test_the_oldest_go_when_there_are_too_many_bytes() -> None:
    configs = RecentConfigs(limit_bytes=10_000)
    contents = [json.dumps({"number": number, "text": "x" * 1000}).encode() for number in range(20)]
    digests = [uploaded(configs, content, f"ticket-{number}") for number, content in enumerate(contents)]
    held = [configs.named_by(manifest(digest)) != b"" for digest in digests]
    assert held == [False] * 11 + [True] * 9
    assert configs._held_bytes <= 10_000
    # The same bytes again do not count twice.
    for _ in range(20):
        uploaded(configs, contents[-1])
    assert configs.named_by(manifest(digests[-2])) == contents[-2]


def test_only_the_beginning_of_a_manifest_is_looked_at() -> None:
    configs = RecentConfigs()
    digest = uploaded(configs, CONFIG)
    assert configs.named_by(b" " * 4096 + manifest(digest)) == b""

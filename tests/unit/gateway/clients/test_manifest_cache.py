"""Held bytes of manifests: verified, bounded, and never an answer by themselves."""

import hashlib

from gateway.clients.reads.manifest_cache import ManifestCache

KIB = 1024


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def kept(cache: ManifestCache, content: bytes, tag: str = "v1", repository: str = "team/app") -> str:
    digest = digest_of(content)
    cache.keep(repository, tag, digest, content)
    return digest


def test_bytes_are_found_by_their_digest_and_by_the_tag_that_named_them_last() -> None:
    cache = ManifestCache(64 * KIB)
    old = kept(cache, b"old")
    new = kept(cache, b"new")

    assert cache.find("team/app", "v1") == (new, b"new")
    assert cache.find("team/app", old) == (old, b"old")
    assert cache.find("team/other", "v1") is None
    assert cache.find("team/app", "v2") is None
    assert cache.find("team/app", digest_of(b"absent")) is None


def test_bytes_that_do_not_belong_to_the_digest_are_not_kept() -> None:
    cache = ManifestCache(64 * KIB)
    for digest in (digest_of(b"other"), "sha256:12", "nonsense:", ""):
        cache.keep("team/app", "v1", digest, b"content")

        assert cache.find("team/app", "v1") is None
        assert cache.find("team/app", digest_of(b"content")) is None
    assert cache.held_bytes == 0


def test_sha512_is_verified_as_well() -> None:
    cache = ManifestCache(64 * KIB)
    digest = digest_of(b"content", "sha512")
    cache.keep("team/app", digest, digest, b"content")
    assert cache.find("team/app", digest) == (digest, b"content")


def test_the_bytes_are_bounded_and_the_least_recently_used_go_first() -> None:
    cache = ManifestCache(10 * KIB)
    digests = [kept(cache, bytes([number]) * 2 * KIB, f"v{number}") for number in range(4)]
    assert cache.find("team/app", digests[0]) is not None

    kept(cache, b"x" * 2 * KIB, "v4")

    assert cache.held_bytes <= 10 * KIB
    assert cache.find("team/app", digests[0]) is not None
    assert cache.find("team/app", digests[1]) is None


def test_the_same_bytes_count_once() -> None:
    cache = ManifestCache(64 * KIB)
    kept(cache, b"content")
    held = cache.held_bytes
    kept(cache, b"content", "v2", "team/other")
    assert cache.held_bytes == held


def test_nothing_is_kept_with_a_limit_of_zero_or_of_a_very_large_manifest() -> None:
    none = ManifestCache(0)
    kept(none, b"content")
    assert none.find("team/app", "v1") is None
    large = ManifestCache(64 * KIB * KIB)
    kept(large, b"x" * (2 * KIB * KIB))
    assert large.held_bytes == 0


def test_the_tags_are_bounded_too() -> None:
    cache = ManifestCache(64 * KIB)
    for number in range(9000):
        kept(cache, b"content", f"v{number}")
    assert len(cache._hints) <= 8192
    assert cache.find("team/app", "v0") is None
    assert cache.find("team/app", "v8999") is not None

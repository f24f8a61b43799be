"""Digests: what is one, what is none, and that hashing in pieces is hashing at once."""

from __future__ import annotations

import hashlib

import pytest

from svckit.oci.digest import ALGORITHMS, Digest, Hasher
from svckit.oci.errors import DigestInvalidError

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("text", ["sha256:" + EMPTY_SHA256, "sha512:" + "0" * 128, "sha256:" + "f" * 64])
def test_a_digest_reads_back_as_it_was_written(text: str) -> None:
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        "sha256:baddigeststring",
        EMPTY_SHA256,
        ":" + EMPTY_SHA256,
        "sha256:" + EMPTY_SHA256[:-1],
        "sha256:" + EMPTY_SHA256 + "0",
        "sha256:" + EMPTY_SHA256.upper(),
        "sha256:" + EMPTY_SHA256 + "\n",
        "sha256:" + EMPTY_SHA256[:-1] + "\n",
        "sha256:" + EMPTY_SHA256[:-1] + "g",
        "sha256:" + "٣" * 64,
        "SHA256:" + EMPTY_SHA256,
        " sha256:" + EMPTY_SHA256,
        "sha256::" + EMPTY_SHA256[:-1],
        "sha256:../../../../etc/passwd" + "0" * 40,
        "sha512:" + EMPTY_SHA256,
        "sha384:" + "0" * 96,
        "md5:" + "0" * 32,
        "sha256+b64:" + EMPTY_SHA256,
        "blake3:" + "0" * 64,
        "x" * 1_000_000,
    ],
)
def test_what_is_no_digest_is_refused_in_a_short_message(text: str) -> None:
    with pytest.raises(DigestInvalidError) as refusal:
        Digest.parse(text)
    assert refusal.value.reason == "DIGEST_INVALID"
    assert len(refusal.value.message) < 250
    assert "\n" not in refusal.value.message
    assert refusal.value.detail


def test_a_digest_cannot_be_built_wrong_without_parse_either() -> None:
    with pytest.raises(DigestInvalidError):
        Digest("sha256", "00")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 500])
def test_hashing_in_pieces_gives_the_digest_of_the_whole(algorithm: str, data: bytes) -> None:
    hasher = Hasher(algorithm)
    for start in range(0, len(data), 777):
        hasher.update(memoryview(data)[start : start + 777])
    assert hasher.digest() == Digest.of(data, algorithm)
    assert hasher.digest().hex == hashlib.new(algorithm, data).hexdigest()


def test_a_hasher_goes_on_after_it_was_asked() -> None:
    hasher = Hasher()
    hasher.update(b"a")
    first = hasher.digest()
    hasher.update(b"b")
    assert (first, hasher.digest()) == (Digest.of(b"a"), Digest.of(b"ab"))


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "SHA256", "", "shake_128"])
def test_no_other_algorithm_hashes(algorithm: str) -> None:
    with pytest.raises(DigestInvalidError, match="sha256 and sha512 are"):
        Hasher(algorithm)


def test_a_digest_knows_its_bytes_and_sorts() -> None:
    small, large = Digest("sha256", "0" * 64), Digest("sha256", "f" * 64)
    assert Digest.of(b"x").matches(b"x")
    assert not Digest.of(b"x").matches(b"y")
    assert sorted({large, small}) == [small, large]

import base64
import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from svckit import keys
from svckit.keys import KeyFileError, KeyPair, load, load_or_create, thumbprint


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "="), "big")


def test_the_kid_is_the_rfc_7638_thumbprint() -> None:
    # The key of RFC 7515 appendix A.3; its thumbprint was computed with openssl from the canonical JSON.
    key = ec.EllipticCurvePublicNumbers(
        number("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        number("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        ec.SECP256R1(),
    ).public_key()
    assert thumbprint(key) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def test_a_jwk_names_the_public_half_only() -> None:
    keypair = KeyPair.generate()
    jwk = keypair.to_jwk()
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"], jwk["kid"]) == ("EC", "P-256", "sig", "ES256", keypair.kid)


def test_coordinates_keep_their_leading_zeros() -> None:
    # RFC 7518 §6.2.1.2: 32 octets always. One key in 256 has a coordinate that begins with a zero.
    for private_value in range(1, 2000):
        keypair = KeyPair(ec.derive_private_key(private_value, ec.SECP256R1()))
        if keypair.public_key.public_numbers().x >> 248 == 0:
            break
    else:
        pytest.fail("no such key")
    assert len(base64.urlsafe_b64decode(keypair.to_jwk()["x"] + "=")) == 32


def test_a_key_file_is_made_once_and_read_after(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "authsvc.pem"
    first = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert load_or_create(path).kid == first.kid
    assert [entry.name for entry in path.parent.iterdir()] == ["authsvc.pem"]


def test_of_many_who_start_at_once_all_hold_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with ThreadPoolExecutor(8) as pool:
        kids = {keypair.kid for keypair in pool.map(load_or_create, [path] * 32)}
    assert len(kids) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def test_one_who_comes_second_takes_the_key_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    first = load_or_create(path)
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    assert load_or_create(path).kid == first.kid


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o601, 0o620, 0o660, 0o666, 0o777])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load(path)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_or_create(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_group_may_read_what_root_has_put_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    load_or_create(path)
    path.chmod(0o640)
    load(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(KeyFileError, match="others may read"):
        load(path)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="another user"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ed25519.Ed25519PrivateKey.generate()),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        ),
    ],
)
def test_what_is_no_p256_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match="is not a usable key"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"absent\.pem"):
        load(tmp_path / "absent.pem")


def test_a_key_that_cannot_be_written_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, *, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys, "create_file", full)
    with pytest.raises(KeyFileError, match="No space left"):
        load_or_create(tmp_path / "key.pem")


def test_a_key_pair_shows_and_gives_away_nothing_of_its_private_half() -> None:
    keypair = KeyPair.generate()
    secret = keypair.private_key.private_numbers().private_value
    assert repr(keypair) == f"KeyPair(kid={keypair.kid!r})"
    assert str(secret) not in repr(keypair)
    with pytest.raises(TypeError):
        pickle.dumps(keypair)
    with pytest.raises(TypeError):
        copy.deepcopy(keypair)


def test_a_key_on_another_curve_cannot_become_a_pair() -> None:
    with pytest.raises(ValueError, match="P-256"):
        KeyPair(ec.generate_private_key(ec.SECP384R1()))


def test_no_name_of_a_new_key_looks_like_an_option() -> None:
    # One in 64 would.
    assert not [kid for _ in range(1000) if (kid := KeyPair.generate().kid).startswith("-")]

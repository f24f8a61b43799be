"""The key pair with which a service signs: ECDSA on P-256 (JWS "ES256", RFC 7518 §3.4), in a PEM file of mode 0600."""

import base64
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from svckit.durable import create_file
from svckit.errors.start import StartError

_COORDINATE_BYTES = 32  # of P-256, RFC 7518 §6.2.1.2
_FILE_MODE = 0o600


class KeyFileError(StartError):
    """A key file is missing, belongs to another user, is not a P-256 key, or is readable by others."""


class KeyPair:
    """A P-256 key pair. `repr` hides the private key, and it cannot be pickled by accident.

    Attributes:
        private_key: signs.
        public_key: verifies.
        kid: the key's name: its RFC 7638 thumbprint (SHA-256, base64url).
    """

    __slots__ = ("kid", "private_key", "public_key")

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        """Wraps a private key.

        Raises:
            ValueError: if its curve is not P-256.
        """
        self.private_key = private_key
        self.public_key = private_key.public_key()
        self.kid = thumbprint(self.public_key)

    @classmethod
    def generate(cls) -> Self:
        """Makes a new key pair. Its name does not begin with a hyphen: a command line would take it for an option."""
        keypair = cls(ec.generate_private_key(ec.SECP256R1()))
        while keypair.kid.startswith("-"):
            keypair = cls(ec.generate_private_key(ec.SECP256R1()))
        return keypair

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Reads an unencrypted PEM private key.

        Raises:
            ValueError: the text is not such a key, or the key is not on P-256.
        """
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise ValueError("not an unencrypted PEM private key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("not an elliptic curve key")
        return cls(key)

    def to_pem(self) -> bytes:
        """The private key as unencrypted PKCS #8. A secret."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def to_jwk(self) -> dict[str, str]:
        """The public key as a JWK (RFC 7517), which may be published."""
        return public_jwk(self.public_key)

    def __repr__(self) -> str:
        return f"KeyPair(kid={self.kid!r})"

    def __reduce__(self) -> str:
        raise TypeError("a key pair must not be copied out of the process")


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """The RFC 7638 thumbprint of a P-256 public key: base64url of SHA-256, 43 characters.

    Raises:
        ValueError: if its curve is not P-256.
    """
    # Only the required members, in lexicographic order, without white space (RFC 7638 §3).
    text = json.dumps(_required_members(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode()).digest())


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """A P-256 public key as a JWK with `kid`, `use` and `alg`.

    Raises:
        ValueError: if its curve is not P-256.
    """
    return {**_required_members(key), "kid": thumbprint(key), "use": "sig", "alg": "ES256"}


def load(path: Path) -> KeyPair:
    """Reads the key file.

    Raises:
        KeyFileError: the file cannot be read, is not a P-256 key, or is readable by others.
    """
    try:
        with path.open("rb") as file:
            _check_permissions(path, os.fstat(file.fileno()))
            pem = file.read()
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error
    try:
        return KeyPair.from_pem(pem)
    except ValueError as error:
        raise KeyFileError(f"{path} is not a usable key: {error}") from error


def load_or_create(path: Path) -> KeyPair:
    """Reads the key file. If it does not exist, creates it with a new key.

    If several processes start at the same time, one of them creates the file, and all use that key.

    Raises:
        KeyFileError: as `load`; or the file cannot be created.
    """
    if not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_file(path, KeyPair.generate().to_pem(), mode=_FILE_MODE)
        except FileExistsError:
            pass  # another process was first
        except OSError as error:
            raise KeyFileError(f"cannot make the key file {path}: {error.strerror}") from error
    return load(path)


def _check_permissions(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    # This is PostgreSQL's rule for its server key: only the owner may read it. If root owns the file, as in Kubernetes,
    # the group may read it, too.
    forbidden = 0o037 if status.st_uid == 0 else 0o077
    if mode & forbidden:
        raise KeyFileError(f"others may read or change the key file {path} (mode {mode:04o}): chmod 600 it")
    if status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(f"the key file {path} belongs to another user (uid {status.st_uid})")


def _required_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    if not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"the curve is {key.curve.name}, not P-256")
    numbers = key.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64url(numbers.x.to_bytes(_COORDINATE_BYTES, "big")),
        "y": _base64url(numbers.y.to_bytes(_COORDINATE_BYTES, "big")),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")

"""Makes tokens by hand, good and bad, without the library that reads them: what a forger would do."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from svckit.keys import KeyPair

NOW = 1_800_000_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, time: float = NOW) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: object) -> str:
    return encode(json.dumps(value).encode())


def es256(keypair: KeyPair, text: str) -> str:
    r, s = decode_dss_signature(keypair.private_key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def signed(keypair: KeyPair, header: Mapping[str, Any], payload: object) -> str:
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{es256(keypair, text)}"


def hs256_with_public_key(keypair: KeyPair, header: Mapping[str, Any], payload: object) -> list[str]:
    """Signed with what everybody knows, in each form that a verifier might take for the secret."""
    forms = [
        keypair.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        keypair.public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(keypair.to_jwk()).encode(),
        b"",
    ]
    text = f"{segment(header)}.{segment(payload)}"
    return [f"{text}.{encode(hmac.new(form, text.encode(), hashlib.sha256).digest())}" for form in forms]


def header(keypair: KeyPair, **changes: Any) -> dict[str, Any]:
    return {"alg": "ES256", "typ": "registry+jwt", "kid": keypair.kid} | changes


def payload(**changes: Any) -> dict[str, Any]:
    """Of a registry token that is good at `NOW`. A change to None leaves the claim out."""
    claims = {
        "iss": "authsvc",
        "aud": "harbor-registry",
        "sub": "user:7",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 1800,
        "jti": "1",
        "access": [{"type": "repository", "name": "p/r", "actions": ["pull"], "project_id": 3}],
    } | changes
    return {name: value for name, value in claims.items() if value is not None}

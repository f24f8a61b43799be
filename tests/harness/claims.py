"""Reads the claims of tokens, without verification."""

from collections.abc import Sequence
from typing import Any

import jwt


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token, unverified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def granted_by(token: str) -> dict[str, Sequence[str]]:
    """The actions that a registry token grants, by repository."""
    return {each["name"]: each["actions"] for each in claims_of(token)["access"]}

"""What tokens say, read without judging them."""

from collections.abc import Sequence
from typing import Any

import jwt


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def granted_by(token: str) -> dict[str, Sequence[str]]:
    """The actions that a registry token grants, by repository."""
    return {each["name"]: each["actions"] for each in claims_of(token)["access"]}

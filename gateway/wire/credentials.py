"""The Authorization header: Basic (RFC 7617) and Bearer (RFC 6750)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from svckit.errors import Unauthenticated

_MAXIMUM_CHARACTERS = 20 * 1024
"""A token has 16 KiB at most. A longer header is refused before it is decoded."""


@dataclass(frozen=True, slots=True)
class Basic:
    """A name and its secret.

    Attributes:
        username: the name of a user or a robot.
        secret: the password or the robot's secret. `repr` hides it.
    """

    username: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that is not verified yet. `repr` hides it."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token in a form, and the client that presents it. `repr` hides the token."""

    token: str = field(repr=False)
    client_id: str


def parse_authorization(values: list[str]) -> Basic | Bearer | None:
    """Reads the Authorization headers of a request.

    Args:
        values: the header's values, one for each time it was sent.

    Returns:
        The credentials; None without the header.

    Raises:
        Unauthenticated: the header was sent twice, has another scheme, or cannot be decoded. The text of the error
            holds no part of the header.
    """
    if not values:
        return None
    if len(values) > 1 or len(values[0]) > _MAXIMUM_CHARACTERS:
        raise Unauthenticated("UNAUTHORIZED", "the Authorization header is malformed")
    scheme, _, rest = values[0].strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" if rest and rest.isascii() and " " not in rest:
            return Bearer(rest)
        case "basic":
            return _parse_basic(rest)
    raise Unauthenticated("UNAUTHORIZED", "the Authorization header is malformed; Basic and Bearer are supported")


def _parse_basic(encoded: str) -> Basic:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Unauthenticated("UNAUTHORIZED", "the Basic credentials cannot be decoded") from None
    username, colon, secret = text.partition(":")
    if colon and not username:
        # BuildKit sends a refresh token in this way after the form with it was refused, and shows this text.
        raise Unauthenticated("UNAUTHORIZED", "the Basic credentials have no name; log in again")
    if not colon or "\0" in text:
        raise Unauthenticated("UNAUTHORIZED", "the Basic credentials are malformed")
    return Basic(username, secret)

"""The challenge of a 401 (Docker's token specification; RFC 6750 §3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.wire.origin import Origin


@dataclass(frozen=True, slots=True)
class Challenger:
    """Writes challenges.

    Attributes:
        service: the name of the token service.
        token_path: the path of the token service.
        external_url: the URL at which clients reach this registry. If it is empty, the host of each request is used:
            clients refuse a realm on another host than the one they called.
    """

    service: str
    token_path: str
    external_url: str = ""

    def bearer(self, origin: Origin, scopes: Sequence[str] = (), error: str = "") -> str:
        """The value of `WWW-Authenticate`.

        Args:
            origin: how the client reached this registry.
            scopes: the scopes that this request needs.
            error: "insufficient_scope" or "invalid_token" if the client sent a token, else empty.
        """
        base = self.external_url or (f"{origin.scheme}://{origin.host}" if origin.host else "")
        value = f'Bearer realm="{base}{self.token_path}",service="{self.service}"'
        if scopes:
            value += f',scope="{" ".join(scopes)}"'
        if error:
            value += f',error="{error}"'
        return value

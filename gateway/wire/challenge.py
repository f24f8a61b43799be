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
        token_path: where it is.
        external_url: where clients reach this registry; empty for wherever they say they do. Clients refuse a realm on
            another host than theirs, so the client's own word is the best there is.
    """

    service: str
    token_path: str
    external_url: str = ""

    def bearer(self, origin: Origin, scopes: Sequence[str] = (), error: str = "") -> str:
        """The value of `WWW-Authenticate`.

        Args:
            origin: how the client reached us.
            scopes: what a token must hold for this request, one each.
            error: "insufficient_scope" or "invalid_token", where a token was sent.
        """
        base = self.external_url or (f"{origin.scheme}://{origin.host}" if origin.host else "")
        value = f'Bearer realm="{base}{self.token_path}",service="{self.service}"'
        if scopes:
            value += f',scope="{" ".join(scopes)}"'
        if error:
            value += f',error="{error}"'
        return value

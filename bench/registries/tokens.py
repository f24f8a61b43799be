"""Tokens of Roadstead's token service, which signs for the peer too."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import httpx

from tests.harness.workspace import Login

# Tokens are valid for half an hour. Each is used again for some time, so that signing it does not count.
_REUSE_SECONDS = 600.0


@dataclass(frozen=True)
class TokenService:
    """Roadstead's token service.

    Attributes:
        realm: its URL.
        jwks: the file with the public keys of its signer.
        login: whose tokens are fetched.
    """

    realm: str
    jwks: str
    login: Login
    _kept: dict[Sequence[str], tuple[float, str]] = field(default_factory=dict, repr=False)

    def token(self, repositories: Iterable[str]) -> str:
        """A token that may push to and pull from these repositories. It is valid for ten minutes at least."""
        scopes = tuple(f"repository:{repository}:pull,push" for repository in repositories)
        fetched, token = self._kept.get(scopes, (0.0, ""))
        now = time.monotonic()
        if not token or now - fetched > _REUSE_SECONDS:
            params = {"scope": scopes}
            answer = httpx.get(self.realm, params=params, auth=self.login.basic, timeout=30, trust_env=False)
            token = answer.raise_for_status().json()["token"]
            self._kept[scopes] = (now, token)
        return token

"""/v2/: tells callers with a token that this is a registry."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import IS_JSON, Answer
from gateway.wire.credentials import Bearer
from svckit.access.principal import ANONYMOUS
from svckit.errors import error_for
from svckit.tokens import RegistryToken
from svckit.tokens.verifier import TokenVerifier


class BaseRoute:
    """Answers at /v2/."""

    def __init__(self, verifier: TokenVerifier) -> None:
        """Takes the verifier of tokens. The token is verified here, because this route calls no service."""
        self._verifier = verifier

    async def answer(self, exchange: Exchange) -> Answer:
        """`{}` for a registry token of a user or robot, or for correct credentials. `docker login` uses this.

        As in Harbor, an anonymous token gives access to public repositories, but is not a log-in.
        """
        await exchange.authenticate()
        credentials = exchange.request.credentials
        if isinstance(credentials, Bearer):
            token = self._verifier.verify(credentials.token, RegistryToken)
            if token.subject == ANONYMOUS.subject:
                raise error_for("INSUFFICIENT_SCOPE", "authentication required")
        return Answer(200, [IS_JSON], b"{}")

"""/v2/: says that this is a registry, to whoever has a token."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import JSON, Answer
from gateway.wire.credentials import Bearer
from svckit.access.principal import ANONYMOUS
from svckit.errors import error_for
from svckit.tokens import RegistryToken
from svckit.tokens.verifier import TokenVerifier


class BaseRoute:
    """Answers at /v2/."""

    def __init__(self, verifier: TokenVerifier) -> None:
        """Takes the judge of tokens: no service is called here, so none of them would."""
        self._verifier = verifier

    async def answer(self, exchange: Exchange) -> Answer:
        """`{}` to the registry token of anybody who has a name, or to right credentials; docker logs in by this.

        As in Harbor, the token that nobody in particular gets opens public repositories, and is no log-in.
        """
        await exchange.authenticate()
        credentials = exchange.request.credentials
        if isinstance(credentials, Bearer):
            token = self._verifier.verify(credentials.token, RegistryToken)
            if token.subject == ANONYMOUS.subject:
                raise error_for("INSUFFICIENT_SCOPE", "authentication required")
        return Answer(200, [("Content-Type", JSON)], b"{}")

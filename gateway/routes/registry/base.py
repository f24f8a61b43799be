"""/v2/: says that this is a registry, to whoever has a token."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import JSON, Answer
from gateway.wire.credentials import Bearer
from svckit.tokens import RegistryToken
from svckit.tokens.verifier import TokenVerifier


class BaseRoute:
    """Answers at /v2/."""

    def __init__(self, verifier: TokenVerifier) -> None:
        """Takes the judge of tokens: no service is called here, so none of them would."""
        self._verifier = verifier

    async def answer(self, exchange: Exchange) -> Answer:
        """`{}` to any valid registry token or right credentials; docker logs in by this."""
        await exchange.authenticate()
        credentials = exchange.request.credentials
        if isinstance(credentials, Bearer):
            self._verifier.verify(credentials.token, RegistryToken)
        return Answer(200, [("Content-Type", JSON)], b"{}")

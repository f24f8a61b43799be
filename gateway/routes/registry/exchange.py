"""What the routes of /v2 share: the request, what its path names, and the caller's token."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from gateway.clients.channels import Services
from gateway.routes.registry.paths import Target
from gateway.wire.credentials import Basic, Bearer
from gateway.wire.fields import Fields, read_fields
from gateway.wire.origin import Origin
from gateway.wire.request import GatewayRequest
from svckit.access.call import Call
from svckit.errors import Unauthenticated, error_for

_ACTIONS: Mapping[str, str] = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}


class ChallengeNeeded(Unauthenticated):
    """The request has no credentials. The challenge tells the client where to get a token."""


@dataclass
class Exchange:
    """One request under /v2.

    Attributes:
        request: the HTTP request.
        target: the parts of its path.
        origin: where it comes from.
        services: the clients of the services.
        call: the call as the services see it.
    """

    request: GatewayRequest
    target: Target
    origin: Origin
    services: Services
    call: Call
    _more_scopes: list[str] = field(default_factory=list)

    @property
    def repository(self) -> str:
        """The full name in the path."""
        return self.target.repository

    @property
    def scopes(self) -> Sequence[str]:
        """The scopes that a token needs for this request, in Docker's form."""
        if self.target.route == "v2.catalog":
            return ("registry:catalog:*",)
        if not self.repository:
            return ()
        actions = _ACTIONS.get(self.request.method, "pull,push")
        if self.target.route == "v2.upload":
            # Asking for the status of an upload, or cancelling it, is a part of pushing.
            actions = "pull,push"
        return (f"repository:{self.repository}:{actions}", *self._more_scopes)

    def require_pull(self, repository: str) -> None:
        """Adds another repository that this request reads from: the source of a mount."""
        self._more_scopes.append(f"repository:{repository}:pull")

    @cached_property
    def query(self) -> Fields:
        """The query's fields.

        Raises:
            DomainError: BAD_REQUEST if the query cannot be read.
        """
        fields = read_fields(self.request.query_string)
        if any("\0" in value for values in fields.values() for value in values):
            raise error_for("BAD_REQUEST", "the query contains a NUL")
        return fields

    def parameter(self, name: str) -> str | None:
        """The first value of a query field; None without it."""
        values = self.query.get(name)
        return values[0] if values else None

    def number(self, name: str) -> int | None:
        """A query field that is a number of 0 or more; None without it.

        Raises:
            DomainError: BAD_REQUEST if the field is not such a number.
        """
        text = self.parameter(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise error_for("BAD_REQUEST", f"{name} must be a number of 0 or more")
        return int(text)

    async def authenticate(self) -> None:
        """Sets the caller's token in the call. It is not verified here; the services verify it.

        For Basic credentials, a token with exactly the scopes of this request is created.

        Raises:
            ChallengeNeeded: there are no credentials.
            DomainError: UNAUTHORIZED for wrong credentials.
        """
        match self.request.credentials:
            case None:
                raise ChallengeNeeded
            case Bearer(token):
                self.call.token = token
            case Basic() as basic:
                issued = await self.services.tokens.create_registry_token(basic, scopes=self.scopes)
                self.call.token = issued.text
                self.request.visit.identify(issued.text)

    def require_push(self) -> None:
        """Checks that the caller's token allows a push here, before a body is read. The service checks it again.

        Raises:
            DomainError: UNAUTHORIZED, INSUFFICIENT_SCOPE.
        """
        self.request.visit.require_token(self.repository, "push")

    def set_timeout(self, seconds: float | None) -> None:
        """Sets how long unary calls may take, counted from now; None for no limit by the gateway."""
        self.call.deadline = None if seconds is None else time.monotonic() + seconds

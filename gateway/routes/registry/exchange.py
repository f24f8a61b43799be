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
    """No credentials at all: the client has not been told yet where to get a token."""


@dataclass
class Exchange:
    """One request under /v2.

    Attributes:
        request: as it came.
        target: what its path names.
        origin: how the client reached us.
        services: what there is to be called.
        call: what the services see of it.
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
        """What a token must hold for this request, in Docker's form."""
        if self.target.route == "v2.catalog":
            return ("registry:catalog:*",)
        if not self.repository:
            return ()
        actions = _ACTIONS.get(self.request.method, "pull,push")
        if self.target.route == "v2.upload":
            # Reading or ending an upload is a part of pushing.
            actions = "pull,push"
        return (f"repository:{self.repository}:{actions}", *self._more_scopes)

    def require_pull(self, repository: str) -> None:
        """Adds another repository that this request reads from: the source of a mount."""
        self._more_scopes.append(f"repository:{repository}:pull")

    @cached_property
    def query(self) -> Fields:
        """The query's fields.

        Raises:
            DomainError: BAD_REQUEST where it cannot be read.
        """
        fields = read_fields(self.request.query_string)
        if any("\0" in value for values in fields.values() for value in values):
            raise error_for("BAD_REQUEST", "the query holds a NUL")
        return fields

    def parameter(self, name: str) -> str | None:
        """The first value of a query field; None without it."""
        values = self.query.get(name)
        return values[0] if values else None

    def number(self, name: str) -> int | None:
        """A query field that is a number from 0 on; None without it.

        Raises:
            DomainError: BAD_REQUEST where it is something else.
        """
        text = self.parameter(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise error_for("BAD_REQUEST", f"{name} is a number from 0 on")
        return int(text)

    async def authenticate(self) -> None:
        """Makes sure that the services see the caller's token, whatever it is worth: they judge it.

        Basic credentials become a token for exactly what this request needs.

        Raises:
            ChallengeNeeded: there are no credentials.
            DomainError: UNAUTHORIZED for wrong ones.
        """
        match self.request.credentials:
            case None:
                raise ChallengeNeeded
            case Bearer(token):
                self.call.token = token
            case Basic() as basic:
                issued = await self.services.tokens.create_registry_token(basic, scopes=self.scopes)
                self.call.token = issued.text

    def allow(self, seconds: float | None) -> None:
        """Sets how long unary calls may take from now on; None for no limit of ours."""
        self.call.deadline = None if seconds is None else time.monotonic() + seconds

"""The signed marker with which a service acts for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from svckit.actor import Actor
from svckit.services import TABLE
from svckit.tokens.claims import Claims, ClaimsError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingToken(Claims):
    """In this call a service acts for itself. The token is signed by that service.

    It is a separate kind, so that a service token is never accepted in its place. It is for one service only, so that
    a service that receives it cannot use it at another one. The gateway signs none, because it never acts for itself:
    it passes on its clients' calls.

    Attributes:
        on_behalf_of: the actor who caused the action; None for nobody. It is only recorded and adds no right.
    """

    on_behalf_of: Actor | None = None

    typ: ClassVar[str] = "acting+jwt"
    signers: ClassVar[frozenset[str]] = frozenset(row.name for row in TABLE if row.kind != "http")
    # The audience is the service that is called; it is given for each token.
    fixed_audience: ClassVar[str | None] = None
    lifetime_seconds: ClassVar[int | None] = 300
    longest_lifetime_seconds: ClassVar[int] = 300

    @property
    def service(self) -> str:
        """The service's name."""
        return self.subject.removeprefix("service:")

    def payload(self) -> dict[str, Any]:
        """`on_behalf_of`, if it is not None."""
        return {} if self.on_behalf_of is None else {"on_behalf_of": self.on_behalf_of.to_json()}

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        if payload.get("sub") != f"service:{payload.get('iss')}":
            raise ClaimsError("sub is not the service that signed")
        if "on_behalf_of" not in payload:
            return {}
        try:
            return {"on_behalf_of": Actor.from_json(payload["on_behalf_of"])}
        except ValueError as error:
            raise ClaimsError("on_behalf_of is not an actor") from error

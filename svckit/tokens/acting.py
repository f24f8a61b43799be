"""The marker by which a service acts for itself."""

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
    """In this call a service acts for itself; signed by itself.

    A kind of its own, so that no service token is ever taken for one. It is meant for one service, so that what one
    service is given opens nothing at another. The gateway signs none: all its calls are somebody else's.

    Attributes:
        on_behalf_of: who caused what the service does, for the record only: it adds no right. None for nobody.
    """

    on_behalf_of: Actor | None = None

    typ: ClassVar[str] = "acting+jwt"
    signers: ClassVar[frozenset[str]] = frozenset(row.name for row in TABLE if row.kind != "http")
    # The service that is called, said with each token.
    fixed_audience: ClassVar[str | None] = None
    lifetime_seconds: ClassVar[int | None] = 300

    @property
    def service(self) -> str:
        """The service's name."""
        return self.subject.removeprefix("service:")

    def payload(self) -> dict[str, Any]:
        """`on_behalf_of`, where it is somebody."""
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
            raise ClaimsError("on_behalf_of is no actor") from error

"""Who did something, as change logs, histories and audit trails record it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["anonymous", "user", "robot", "service", "policy", "execution"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something. The same on the wire (`roadstead.access.v1.Actor`), in change logs and in audit trails.

    Attributes:
        kind: "policy" and "execution" never act themselves: a service acts on their behalf.
        id: of the user, robot, policy or execution; 0 for the other kinds.
        name: as the user or robot logs in; the service's name; empty where it is not known.
        on_behalf_of: for whom a service acts by itself; None where it acts for nobody, or where a caller acts.
    """

    kind: ActorKind
    id: int = 0
    name: str = ""
    on_behalf_of: Actor | None = None

    @property
    def subject(self) -> str:
        """The short form for log lines: "user:7", "service:metasvc", "anonymous"."""
        if self.kind == "anonymous":
            return self.kind
        return f"{self.kind}:{self.name if self.kind == 'service' else self.id}"

    def __str__(self) -> str:
        return self.subject if self.on_behalf_of is None else f"{self.subject} for {self.on_behalf_of}"


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """Who caused a change, and by which request: what every entry of a change log carries.

    Attributes:
        actor: who did it.
        request_id: names the request in the logs of all services.
        client_address: of the client, see `svckit.access.call.Call`; empty where it is unknown.
        token_id: `jti` of the caller's own token; empty without one.
    """

    actor: Actor
    request_id: str = ""
    client_address: str = ""
    token_id: str = ""

"""Who caused a change, and by which request."""

from __future__ import annotations

from dataclasses import dataclass

from svckit.actor import Actor, ActorKind

__all__ = ["Actor", "ActorKind", "ChangeOrigin"]


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """Who caused a change, and by which request: what every entry of a change log carries.

    Attributes:
        actor: who did it.
        request_id: names the request in the logs of all services.
        client_address: of the client, see `svckit.access.call.Call`; empty where it is unknown.
        token_id: `jti` of the token that the actor came with; empty without one.
    """

    actor: Actor
    request_id: str = ""
    client_address: str = ""
    token_id: str = ""

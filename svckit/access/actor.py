"""The origin of a change: its actor and its request."""

from __future__ import annotations

from dataclasses import dataclass

from svckit.actor import Actor, ActorKind

__all__ = ["Actor", "ActorKind", "ChangeOrigin"]


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """The origin of a change: its actor and its request. Every entry of a change log has one.

    Attributes:
        actor: who made the change.
        request_id: the id of the request in the logs of all services.
        client_address: the client's address, see `svckit.access.call.Call`; empty if it is unknown.
        token_id: the `jti` of the actor's token; empty without one.
    """

    actor: Actor
    request_id: str = ""
    client_address: str = ""
    token_id: str = ""

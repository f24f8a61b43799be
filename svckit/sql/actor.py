"""Actors in tables (`svckit.actor`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, String, Text

from svckit.actor import Actor
from svckit.sql.types import Json

if TYPE_CHECKING:
    from sqlalchemy import Row


def actor_columns() -> tuple[Column[Any], ...]:
    """The columns for the actor of a row. A table can have them once."""
    return (
        Column("actor_kind", String(32), nullable=False),
        Column("actor_id", BigInteger, nullable=False),
        Column("actor_name", Text, nullable=False),
        # An actor of the same form, as JSON; NULL for none.
        Column("on_behalf_of", Json),
    )


def actor_values(actor: Actor) -> dict[str, object]:
    """The values of these columns for an insert."""
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "on_behalf_of": None if actor.on_behalf_of is None else actor.on_behalf_of.to_json(),
    }


def to_actor(row: Row[Any]) -> Actor:
    """Reads the actor from a row."""
    cause = None if row.on_behalf_of is None else Actor.from_json(row.on_behalf_of)
    return Actor(row.actor_kind, row.actor_id, row.actor_name, cause)

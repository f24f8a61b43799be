"""Who did something: the form for tokens, change logs, histories and audit trails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

ActorKind = Literal["anonymous", "user", "robot", "service", "policy", "execution"]

_KINDS = frozenset(get_args(ActorKind))
_MAXIMUM_ID = 2**63 - 1
# The longest chain of calls is gateway, jobsvc, metasvc, authsvc, so no chain of actors is longer.
_LONGEST_CHAIN = 4


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something. The same in messages (`roadstead.access.v1.Actor`), tokens, change logs and audit trails.

    Attributes:
        kind: "policy" and "execution" never act themselves: a service acts on their behalf.
        id: the id of the user, robot, policy or execution; 0 for the other kinds.
        name: the log-in name of the user or robot, or the service's name; empty if it is not known.
        on_behalf_of: the actor on whose behalf a service acts; None if there is none, or if a caller acts.
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

    def to_json(self) -> dict[str, object]:
        """The actor as a JSON object."""
        cause = None if self.on_behalf_of is None else self.on_behalf_of.to_json()
        return {"kind": self.kind, "id": self.id, "name": self.name, "on_behalf_of": cause}

    @classmethod
    def from_json(cls, value: object) -> Actor:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: the value is not an actor. The text contains no part of the value.
        """
        return _read(value, _LONGEST_CHAIN)


def _read(value: object, longest: int) -> Actor:
    if not isinstance(value, dict) or longest == 0:
        raise ValueError(f"an actor must be an object, in a chain of at most {_LONGEST_CHAIN}")
    fields = cast("Mapping[str, Any]", value)
    kind, id_, name, cause = (fields.get(key) for key in ("kind", "id", "name", "on_behalf_of"))
    # In Python, bool is a subclass of int; in JSON, `true` is not a number.
    is_number = isinstance(id_, int) and not isinstance(id_, bool) and 0 <= id_ <= _MAXIMUM_ID
    if not isinstance(kind, str) or kind not in _KINDS or not is_number or not isinstance(name, str):
        raise ValueError("an actor must have a kind, an id and a name")
    return Actor(cast("ActorKind", kind), cast("int", id_), name, None if cause is None else _read(cause, longest - 1))

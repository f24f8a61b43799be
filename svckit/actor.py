"""Who did something, as tokens, change logs, histories and audit trails name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

ActorKind = Literal["anonymous", "user", "robot", "service", "policy", "execution"]

_KINDS = frozenset(get_args(ActorKind))
_MAXIMUM_ID = 2**63 - 1
# Calls run from gateway to jobsvc to metasvc to authsvc, so no chain of causes is longer.
_LONGEST_CHAIN = 4


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something. The same on the wire (`roadstead.access.v1.Actor`), in tokens, change logs and audit trails.

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

    def to_json(self) -> dict[str, object]:
        """The actor as a JSON object."""
        cause = None if self.on_behalf_of is None else self.on_behalf_of.to_json()
        return {"kind": self.kind, "id": self.id, "name": self.name, "on_behalf_of": cause}

    @classmethod
    def from_json(cls, value: object) -> Actor:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it is no actor; the text never holds any of it.
        """
        return _read(value, _LONGEST_CHAIN)


def _read(value: object, longest: int) -> Actor:
    if not isinstance(value, dict) or longest == 0:
        raise ValueError("an actor is an object, on behalf of few others")
    fields = cast("Mapping[str, Any]", value)
    kind, id_, name, cause = (fields.get(key) for key in ("kind", "id", "name", "on_behalf_of"))
    # bool is an int in Python, and `true` is no number in JSON.
    is_number = isinstance(id_, int) and not isinstance(id_, bool) and 0 <= id_ <= _MAXIMUM_ID
    if not isinstance(kind, str) or kind not in _KINDS or not is_number or not isinstance(name, str):
        raise ValueError("an actor has a kind, an id and a name")
    return Actor(cast("ActorKind", kind), cast("int", id_), name, None if cause is None else _read(cause, longest - 1))

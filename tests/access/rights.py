"""Who may call each RPC, as written down in rpcs.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.access.callers import ROBOTS, held_in_project, held_on_system
from tests.access.matrix import Pair
from tests.harness.contracts import Rpc, every_rpc

RPCS: Mapping[str, Rpc] = {rpc.name: rpc for rpc in every_rpc()}

# The errors of callers who are refused. All other answers, also other errors, mean that the caller was admitted.
REFUSALS = frozenset(
    {
        "UNAUTHORIZED",
        "INSUFFICIENT_SCOPE",
        "FORBIDDEN",
        "PROJECT_UNKNOWN",
        "TICKET_INVALID",
        "RECEIPT_INVALID",
        "FINDING_INVALID",
        "GRANT_INVALID",
        # For a robot in a project that the caller may not see. The robot exists.
        "ROBOT_UNKNOWN",
        # The same for a label.
        "LABEL_UNKNOWN",
    }
)


@dataclass(frozen=True)
class Right:
    """One line of the table.

    Attributes:
        kind: "public", "project", …: the first word.
        needed: what must be held, such as "repository:pull"; empty where the kind says it all.
        callers: of the kinds "service" and "each", who may call.
        acting: the services that may act for themselves.
    """

    kind: str
    needed: str = ""
    callers: frozenset[str] = frozenset()
    acting: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, line: str) -> Self:
        """Reads "project tag:delete", or "project tag:delete; acting jobsvc"."""
        rule, _, rest = line.partition(";")
        kind, *words = rule.split()
        marker, *acting = rest.split() or ["acting"]
        if marker != "acting":
            raise ValueError(line)
        if kind == "service":
            return cls(kind, callers=frozenset(words), acting=frozenset(acting))
        if kind == "each":
            return cls(kind, words[0], frozenset(words[1:]), frozenset(acting))
        return cls(kind, " ".join(words), acting=frozenset(acting))

    @property
    def permission(self) -> Pair:
        """The resource and the action that are needed."""
        resource, _, action = self.needed.partition(":")
        return resource, action


RIGHTS: Mapping[str, Right] = {
    f"{service}/{method}": Right.parse(line)
    for service, methods in tomllib.loads((Path(__file__).parent / "rpcs.toml").read_text(encoding="utf-8")).items()
    for method, line in methods.items()
}


def may(caller: str, kind: str, right: Right) -> bool:
    """The answer that the tables demand."""
    if right.kind in ("public", "filtered"):
        return True
    if right.kind == "authenticated":
        return caller != "anonymous"
    if caller == "sysadmin":
        return right.kind in ("self", "administrator", "system", "project", "either", "somewhere")
    match right.kind:
        case "self" | "system":
            return right.permission in held_on_system(caller)
        case "project":
            return right.permission in held_in_project(caller, kind)
        case "either":
            return right.permission in held_in_project(caller, kind) | held_on_system(caller)
        case "somewhere":
            return right.permission in _held_somewhere(caller, kind)
        case _:
            return False


def _held_somewhere(caller: str, kind: str) -> frozenset[Pair]:
    robot = ROBOTS.get(caller)
    return robot.held if robot is not None else held_in_project(caller, kind)

"""Who may call each RPC, as written down in rpcs.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.access.matrix import MATRIX, PUBLIC, ROLES
from tests.harness.contracts import Rpc, every_rpc
from tests.harness.workspace import BUILDER_PERMISSIONS

CALLERS = ("anonymous", "outsider", *ROLES, "sysadmin", "robot", "system-robot")

# A robot of the system level: what it may do in every project, and on the system level.
SYSTEM_ROBOT_IN_PROJECTS = frozenset(
    {("repository", "pull"), ("repository", "list"), ("tag", "create"), ("robot", "read"), ("member", "list")}
)
SYSTEM_ROBOT_ON_SYSTEM = frozenset(
    {
        ("user", "list"),
        ("user", "read"),
        ("quota", "list"),
        ("catalog", "read"),
        ("user-group", "read"),
        ("robot", "list"),
    }
)
# Robots that may do everything, but for being disabled or expired. They got their tokens before.
DEAD_ROBOTS = ("disabled-robot", "expired-robot")

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
    def permission(self) -> tuple[str, str]:
        """The resource and the action that are needed."""
        resource, _, action = self.needed.partition(":")
        return resource, action


RIGHTS: Mapping[str, Right] = {
    f"{service}/{method}": Right.parse(line)
    for service, methods in tomllib.loads((Path(__file__).parent / "rpcs.toml").read_text(encoding="utf-8")).items()
    for method, line in methods.items()
}


def may(caller: str, kind: str, right: Right) -> bool:
    """The answer that the two tables demand."""
    match right.kind:
        case "public" | "filtered":
            return True
        case "authenticated":
            return caller != "anonymous"
        case "self":
            by_action = caller == "system-robot" and right.permission in SYSTEM_ROBOT_ON_SYSTEM
            return caller == "sysadmin" or by_action
        case "system":
            if caller == "system-robot":
                return right.permission in SYSTEM_ROBOT_ON_SYSTEM
            return caller == "sysadmin" or (right.needed == "project:create" and caller not in ("anonymous", "robot"))
        case "project":
            return _in_project(caller, kind, right.permission)
        case _:
            return False


def _in_project(caller: str, kind: str, pair: tuple[str, str]) -> bool:
    if caller == "sysadmin":
        return True
    if kind == "public" and pair in MATRIX[PUBLIC]:
        return True
    if caller == "robot":
        return {"resource": pair[0], "action": pair[1]} in BUILDER_PERMISSIONS
    if caller == "system-robot":
        return pair in SYSTEM_ROBOT_IN_PROJECTS
    return caller in MATRIX and pair in MATRIX[caller]

"""What robots are given: permissions on the system level, in every project, or in one project.

An entry may also deny. As in Harbor, a denied permission is not held where the entry reaches, whatever else gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from authsvc.domain.permission import ROBOT_PROJECT_PERMISSIONS, SYSTEM_PERMISSIONS, Permission, lacking
from svckit.errors import FieldViolation, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Kind: TypeAlias = Literal["project", "system"]
Effect: TypeAlias = Literal["", "allow", "deny"]

SYSTEM_NAMESPACE = "/"
EVERY_PROJECT_NAMESPACE = "*"
MAXIMUM_ACCESSES = 2000
"""The most entries of one robot. A page of 100 robots with so many fits into one message."""

_CATALOGUES: Mapping[Kind, frozenset[Permission]] = {
    "project": ROBOT_PROJECT_PERMISSIONS,
    "system": SYSTEM_PERMISSIONS,
}


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One entry of a grant.

    Attributes:
        permission: the permission that the entry is about.
        effect: "deny" takes it away; "allow" and "" give it. It is kept as the client wrote it.
    """

    permission: Permission
    effect: Effect = ""

    @property
    def denies(self) -> bool:
        """Whether the entry takes the permission away."""
        return self.effect == "deny"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where a grant holds.

    Attributes:
        kind: "system" for the system level; "project" for projects.
        project_id: of the only project; 0 for every project, also later ones, and for the system level.
    """

    kind: Kind
    project_id: int = 0


SYSTEM = Scope("system")
EVERY_PROJECT = Scope("project")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a robot may do in one scope.

    Attributes:
        scope: where.
        namespace: the scope's name: a project's name, "*", or "/".
        accesses: the entries; at least one.
    """

    scope: Scope
    namespace: str
    accesses: frozenset[Access]


@dataclass(frozen=True, slots=True)
class AskedGrant:
    """A grant as a request asks for it. Its project has not been looked up.

    Attributes:
        kind: "project" or "system".
        namespace: a project's name, "*", or "/".
        accesses: the entries.

    Raises:
        DomainError: BAD_REQUEST; there is no entry, one that is not in the catalogue of its kind, or no such namespace.
    """

    kind: Kind
    namespace: str
    accesses: frozenset[Access]

    def __post_init__(self) -> None:
        if not self.accesses:
            raise _refused("bad request empty access", "has no access")
        if not self.namespace or (self.kind == "system") != (self.namespace == SYSTEM_NAMESPACE):
            raise _refused("unknown namespace", f"names {self.namespace!a}, which is no namespace of its kind")
        for access in sorted(self.accesses):
            if access.permission not in _CATALOGUES[self.kind]:
                # Escaped, because a client may write any characters.
                named = ascii(f"{access.permission.resource}:{access.permission.action}")[1:-1]
                raise _refused(f"bad request permission: {named}", f"holds {named}, which no {self.kind} has")

    @property
    def names_one_project(self) -> bool:
        """Whether it is for one project, which has to be looked up."""
        return self.kind == "project" and self.namespace != EVERY_PROJECT_NAMESPACE

    def in_scope(self, project_ids: Mapping[str, int]) -> Grant:
        """The grant, with the id of its project.

        Raises:
            KeyError: its project is not among these.
        """
        if self.kind == "system":
            scope = SYSTEM
        elif self.names_one_project:
            scope = Scope("project", project_ids[self.namespace])
        else:
            scope = EVERY_PROJECT
        return Grant(scope, self.namespace, self.accesses)


def merge_asked(grants: Iterable[AskedGrant]) -> tuple[AskedGrant, ...]:
    """The grants with one for each scope, sorted.

    Raises:
        DomainError: BAD_REQUEST; there is none, or there are too many entries.
    """
    merged: dict[tuple[Kind, str], frozenset[Access]] = {}
    for grant in grants:
        key = (grant.kind, grant.namespace)
        merged[key] = merged.get(key, frozenset()) | grant.accesses
    if not merged:
        raise _refused("bad request empty permission", "are empty")
    if sum(map(len, merged.values())) > MAXIMUM_ACCESSES:
        raise _refused(
            f"a robot can have at most {MAXIMUM_ACCESSES} permissions; * stands for every project",
            f"have more than {MAXIMUM_ACCESSES} entries",
        )
    return tuple(AskedGrant(kind, namespace, accesses) for (kind, namespace), accesses in sorted(merged.items()))


def held_in(grants: Iterable[Grant], scope: Scope) -> frozenset[Permission]:
    """The permissions that grants come to in a scope. In a project, those for every project count as well.

    For EVERY_PROJECT, the answer is what they come to in a project that no grant names.
    """
    reaching = [grant for grant in grants if grant.scope == scope or (_is_project(scope) and _is_wide(grant.scope))]
    accesses = [access for grant in reaching for access in grant.accesses]
    denied = {access.permission for access in accesses if access.denies}
    return frozenset(access.permission for access in accesses if not access.denies) - denied


def exceeding(wanted: Sequence[Grant], held: Sequence[Grant]) -> frozenset[Permission]:
    """The permissions that `wanted` comes to and `held` does not, in any scope.

    Each project that either names is compared by itself, and all others together. So nothing that `held` denies in one
    project can be had there by a grant for every project.
    """
    scopes = {grant.scope for grant in (*wanted, *held)} | {EVERY_PROJECT}
    return frozenset().union(*(lacking(held_in(held, scope), held_in(wanted, scope)) for scope in scopes))


def _is_project(scope: Scope) -> bool:
    return scope.kind == "project"


def _is_wide(scope: Scope) -> bool:
    return scope == EVERY_PROJECT


def _refused(message: str, description: str) -> Invalid:
    return Invalid(message=message, violations=[FieldViolation("permissions", description)])

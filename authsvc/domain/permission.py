"""Permissions, roles, and what robots may be given, by Harbor's names.

What a role allows is not here: those are rows, so that roles of one's own can come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from svckit.errors import FieldViolation, Invalid


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """An action on a resource."""

    resource: str
    action: str


@dataclass(frozen=True, slots=True)
class Role:
    """A role.

    Attributes:
        id: Harbor's.
        name: Harbor's, such as "projectAdmin".
        is_assignable: whether a member can have it; "public" and "sysadmin" are given otherwise.
    """

    id: int
    name: str
    is_assignable: bool


PUBLIC_ROLE = 0
"""What anybody may do in a public project."""
PROJECT_ADMIN_ROLE = 1
SYSTEM_ADMINISTRATOR_ROLE = 100
"""What a system administrator may do, anywhere. Roles of one's own are to begin above 1000."""
ANYTHING = Permission("*", "*")
"""The permission that holds all others."""

REPOSITORY_ACTIONS = ("pull", "push", "delete")
"""What a registry token can allow on a repository: each is the action of that name on the resource "repository"."""

CREATE_PROJECT = Permission("project", "create")

_LETTERS: Mapping[str, str] = MappingProxyType(
    {
        "C": "create",
        "R": "read",
        "U": "update",
        "D": "delete",
        "L": "list",
        "P": "pull",
        "W": "push",
        "X": "operate",
        "S": "stop",
    }
)

# Harbor's list of what a robot of the project level may be given.
_ROBOT_PROJECT_LEVEL = MappingProxyType(
    {
        "log": "L",
        "project": "RUD",
        "metadata": "CRUDL",
        "repository": "RUDLPW",
        "artifact": "CRDL",
        "scan": "CRS",
        "sbom": "CRS",
        "tag": "CDL",
        "accessory": "L",
        "artifact-addition": "R",
        "artifact-label": "CD",
        "scanner": "CR",
        "preheat-policy": "CRUDL",
        "notification-policy": "CRUDL",
        "label": "CRUDL",
        "tag-retention": "CRUDL",
        "immutable-tag": "CUDL",
        "quota": "R",
        "robot": "CRDL",
        "export-cve": "CR",
        "member": "CRUDL",
    }
)

# Harbor's list for robots of the system level: what there is to be done there.
_SYSTEM_LEVEL = MappingProxyType(
    {
        "audit-log": "L",
        "preheat-instance": "CRUDL",
        "registry": "CRUDL",
        "replication-policy": "CRUDL",
        "scanner": "CRUDL",
        "project": "CL",
        "replication": "CRL",
        "replication-adapter": "L",
        "scan-all": "CRUS",
        "garbage-collection": "CRULS",
        "purge-audit": "CRULS",
        "system-volumes": "R",
        "catalog": "R",
        "jobservice-monitor": "LS",
        "label": "CRUD",
        "security-hub": "RL",
        "quota": "RLU",
        "robot": "CRDL",
        "user": "CRUDL",
        "user-group": "CRUDL",
        "ldap-user": "CL",
    }
)


def _spell_out(table: Mapping[str, str]) -> frozenset[Permission]:
    return frozenset(
        Permission(resource, _LETTERS[letter]) for resource, letters in table.items() for letter in letters
    )


ROBOT_PROJECT_PERMISSIONS = _spell_out(_ROBOT_PROJECT_LEVEL)
"""What a robot of a project may be given."""
SYSTEM_PERMISSIONS = _spell_out(_SYSTEM_LEVEL)
"""What there is on the system level."""

# Harbor's roles have no "list" of a project's metadata, and its robots have: who may read each may list them.
_COVERED_BY: Mapping[Permission, Permission] = MappingProxyType(
    {Permission("metadata", "list"): Permission("metadata", "read")}
)


def lacking(held: frozenset[Permission], wanted: frozenset[Permission]) -> frozenset[Permission]:
    """What of `wanted` is not held. Nobody grants more than they hold."""
    if ANYTHING in held:
        return frozenset()
    return frozenset(
        permission
        for permission in wanted
        if permission not in held and _COVERED_BY.get(permission, permission) not in held
    )


def check_robot_permissions(permissions: frozenset[Permission]) -> None:
    """Refuses an empty list, and what a project's robot cannot be given.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if not permissions:
        raise Invalid(
            message="a robot needs a permission at least",
            violations=[FieldViolation("permissions", "holds no permission")],
        )
    unknown = sorted(permissions - ROBOT_PROJECT_PERMISSIONS)
    if unknown:
        named = ", ".join(f"{permission.resource}:{permission.action}"[:64] for permission in unknown[:5])
        raise Invalid(
            message=f"a project's robot cannot be given {named!a}",
            violations=[FieldViolation("permissions", "holds what a project's robot cannot be given")],
        )

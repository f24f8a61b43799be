"""Permissions, roles, and what robots may be given, by Harbor's names.

The permissions of roles are rows of the database, so that a later release can add custom roles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


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
        is_assignable: whether a member can have it. "public" and "sysadmin" are not given to members.
    """

    id: int
    name: str
    is_assignable: bool


PUBLIC_ROLE = 0
"""What anybody may do in a public project."""
PROJECT_ADMIN_ROLE = 1
SYSTEM_ADMINISTRATOR_ROLE = 100
"""What a system administrator may do, anywhere. The ids of custom roles will begin above 1000."""
ANYTHING = Permission("*", "*")
"""The permission that includes all others."""

REPOSITORY_ACTIONS = ("pull", "push", "delete")
"""What a registry token can allow on a repository: the actions of these names on the resource "repository"."""

REPOSITORY_PERMISSIONS = frozenset(Permission("repository", action) for action in REPOSITORY_ACTIONS)
"""The same as permissions."""

CREATE_PROJECT = Permission("project", "create")
LIST_PROJECTS = Permission("project", "list")
READ_CATALOG = Permission("catalog", "read")

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

# Harbor's catalogue of the permissions in a project that a robot may have.
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

# Harbor's catalogue for the system level, which names all permissions of that level.
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
"""The permissions in a project that a robot may have."""
SYSTEM_PERMISSIONS = _spell_out(_SYSTEM_LEVEL)
"""All permissions of the system level."""

# Harbor's robots may have metadata:list, but none of its roles has it. A caller that may read each setting may list
# them. The other way round, every role has configuration:read, and no robot may have it: without its line, a robot with
# member:create could make nobody a member. A project shows its configuration to all who read it.
_COVERED_BY: Mapping[Permission, Permission] = MappingProxyType(
    {
        Permission("metadata", "list"): Permission("metadata", "read"),
        Permission("configuration", "read"): Permission("project", "read"),
    }
)


def lacking(held: frozenset[Permission], wanted: frozenset[Permission]) -> frozenset[Permission]:
    """The permissions in `wanted` that are not in `held`. A caller must not grant a permission that it lacks."""
    if ANYTHING in held:
        return frozenset()
    return frozenset(
        permission
        for permission in wanted
        if permission not in held and _COVERED_BY.get(permission, permission) not in held
    )

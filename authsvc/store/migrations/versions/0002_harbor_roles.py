"""Harbor's roles and their permissions. They are rows, so that a later release can add custom roles."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"

# id, name, whether a member can have it, rank. The ids are Harbor's. Role 0 is what anybody may do in a public project,
# role 100 what a system administrator may do anywhere.
ROLES = (
    (1, "projectAdmin", True, 10),
    (4, "maintainer", True, 20),
    (2, "developer", True, 30),
    (3, "guest", True, 40),
    (5, "limitedGuest", True, 50),
    (0, "public", False, 100),
    (100, "sysadmin", False, 0),
)

LETTERS = {
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

# As in Harbor 2.16.
COLUMNS = (1, 4, 2, 3, 5, 0)  # projectAdmin, maintainer, developer, guest, limitedGuest, public
TABLE = (
    ("project", "RUD", "R", "R", "R", "R", "R"),
    ("member", "CRUDL", "RL", "RL", "RL", "", ""),
    ("metadata", "CRUD", "R", "", "", "", ""),
    ("log", "L", "", "", "", "", ""),
    ("label", "CRUDL", "CRUDL", "RL", "RL", "", "RL"),
    ("quota", "R", "R", "R", "R", "R", ""),
    ("repository", "CRUDLPW", "CRUDLPW", "CRULPW", "RLP", "RLP", "LP"),
    ("artifact", "CRDL", "CRDL", "CRL", "RL", "RL", "RL"),
    ("artifact-addition", "R", "R", "R", "R", "R", "R"),
    ("accessory", "L", "L", "L", "L", "L", "L"),
    ("artifact-label", "CD", "CD", "CD", "", "", ""),
    ("tag", "CDL", "CDL", "CL", "L", "L", "L"),
    ("scan", "CRS", "CRS", "R", "R", "R", "R"),
    ("sbom", "CRS", "CRS", "R", "R", "R", ""),
    ("scanner", "CR", "R", "R", "R", "R", "R"),
    ("tag-retention", "CRUDLX", "CRUDLX", "CRUDLX", "", "", ""),
    ("immutable-tag", "CUDL", "CUDL", "", "", "", ""),
    ("configuration", "RU", "R", "R", "R", "R", ""),
    ("robot", "CRUDL", "RL", "RL", "RL", "", ""),
    ("notification-policy", "CRUDL", "RL", "", "", "", ""),
    ("preheat-policy", "CRUDL", "", "", "", "", ""),
    ("export-cve", "CRL", "CRL", "CRL", "", "", ""),
)


def upgrade(op: Operations) -> None:
    """Writes the roles and their permissions."""
    role = sa.table(
        "role",
        sa.column("id", sa.BigInteger),
        sa.column("name", sa.String),
        sa.column("is_assignable", sa.Boolean),
        sa.column("rank", sa.BigInteger),
    )
    op.bulk_insert(
        role,
        [
            {"id": id_, "name": name, "is_assignable": is_assignable, "rank": rank}
            for id_, name, is_assignable, rank in ROLES
        ],
    )
    role_permission = sa.table(
        "role_permission",
        sa.column("role_id", sa.BigInteger),
        sa.column("resource", sa.String),
        sa.column("action", sa.String),
    )
    rows = [
        {"role_id": role_id, "resource": resource, "action": LETTERS[letter]}
        for resource, *cells in TABLE
        for role_id, letters in zip(COLUMNS, cells, strict=True)
        for letter in letters
    ]
    rows.append({"role_id": 100, "resource": "*", "action": "*"})
    op.bulk_insert(role_permission, rows)

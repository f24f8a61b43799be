"""The tables of authsvc.

`store/migrations` creates them; a test compares the two. On PostgreSQL they are in a schema of their own.

Every write locks rows in the same order, so that writes cannot deadlock: installation, configuration, idempotency, user
(by id), user group, project, CVE allowlist, member, robot, refresh token, and the change log
last, with the revocations.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from authsvc.domain.change import ChangeKind
from svckit.sql.change_cursor import CursorTable
from svckit.sql.change_log import ChangeLog
from svckit.sql.idempotency import idempotency_table
from svckit.sql.names import NAMING_CONVENTION
from svckit.sql.types import BigIntKey, ByteOrdered, Json, UtcDateTime

metadata = MetaData(naming_convention=NAMING_CONVENTION)

Word = String(64)
"""One of a few values that the domain or the migrations know."""

installation = Table(
    "installation",
    metadata,
    # The table has one row once the first start has ended.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # The key of the fast hash of robots' secrets, from which that of refresh tokens is derived. It must be kept secret.
    Column("robot_secret_key", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

configuration = Table(
    "configuration",
    metadata,
    # A value that was never changed has no row. Values that the settings fix may have one, which does not count then.
    Column("name", Word, primary_key=True),
    Column("value", Json, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
)

user = Table(
    "user",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("username", ByteOrdered, nullable=False, unique=True),
    # NULL if unknown, because a unique column allows any number of NULLs.
    Column("email", Text, nullable=True, unique=True),
    Column("realname", Text, nullable=False),
    Column("comment", Text, nullable=False),
    # argon2id, with its salt and parameters (PHC string format).
    Column("password_hash", Text, nullable=False),
    Column("is_administrator", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    # Refresh tokens are for one version.
    Column("credential_version", BigInteger, nullable=False, server_default=text("1")),
    # Grows with every change. Etags are made from it.
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Index("ix_user_create_time_id", "create_time", "id"),
    Index("ix_user_update_time_id", "update_time", "id"),
    Index("ix_user_realname_id", "realname", "id"),
    # As lists sort by it: a keyset cannot have NULL.
    Index("ix_user_email_id", text("coalesce(email, '')"), "id"),
    # The id of a deleted row is never used again, because tokens and logs may still name it.
    sqlite_autoincrement=True,
)

project = Table(
    "project",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("name", ByteOrdered, nullable=False, unique=True),
    # NULL once the owner has been deleted.
    Column("owner_id", BigInteger, ForeignKey("user.id", ondelete="SET NULL"), nullable=True, index=True),
    Column("public", Boolean, nullable=False),
    # -1: no limit.
    Column("initial_storage_limit_bytes", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Index("ix_project_create_time_id", "create_time", "id"),
    Index("ix_project_update_time_id", "update_time", "id"),
    sqlite_autoincrement=True,
)

project_setting = Table(
    "project_setting",
    metadata,
    Column("project_id", BigInteger, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("name", Word, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("project_id", "name"),
)

cve_allowlist = Table(
    "cve_allowlist",
    metadata,
    # 0 for the list of the system. There is no foreign key, because no project has that id.
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("cve_ids", Json, nullable=False),
    # NULL: the list never ends to count.
    Column("expire_time_unix_seconds", BigInteger, nullable=True),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
)

role = Table(
    "role",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Word, nullable=False, unique=True),
    # Whether a member can have it.
    Column("is_assignable", Boolean, nullable=False),
    # The strongest role has the smallest rank.
    Column("rank", BigInteger, nullable=False),
)

role_permission = Table(
    "role_permission",
    metadata,
    Column("role_id", BigInteger, ForeignKey("role.id", ondelete="CASCADE"), nullable=False),
    Column("resource", Word, nullable=False),
    Column("action", Word, nullable=False),
    PrimaryKeyConstraint("role_id", "resource", "action"),
)

user_group = Table(
    "user_group",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("name", ByteOrdered, nullable=False),
    # Harbor's: 1 LDAP, 2 HTTP, 3 OIDC.
    Column("type", BigInteger, nullable=False),
    # In lower case. NULL if it is not a group of LDAP.
    Column("ldap_group_dn", Text, nullable=True, unique=True),
    Column("version", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    UniqueConstraint("name", "type"),
    Index("ix_user_group_name_id", "name", "id"),
    Index("ix_user_group_create_time_id", "create_time", "id"),
    sqlite_autoincrement=True,
)

# Which users are in which groups. By user first: that is asked with each check of access.
user_group_member = Table(
    "user_group_member",
    metadata,
    Column("user_id", BigInteger, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("group_id", BigInteger, ForeignKey("user_group.id", ondelete="CASCADE"), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("user_id", "group_id"),
    Index("ix_user_group_member_group_id_user_id", "group_id", "user_id"),
)

# The roles of users and groups in projects.
member = Table(
    "member",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("project_id", BigInteger, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    # One of the two.
    Column("user_id", BigInteger, ForeignKey("user.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("group_id", BigInteger, ForeignKey("user_group.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("role_id", BigInteger, ForeignKey("role.id"), nullable=False, index=True),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("create_time", UtcDateTime, nullable=False),
    UniqueConstraint("project_id", "user_id"),
    UniqueConstraint("project_id", "group_id"),
    CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="one_entity"),
    sqlite_autoincrement=True,
)

robot = Table(
    "robot",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    # The project that the robot belongs to and goes with; NULL on the system level.
    Column("project_id", BigInteger, ForeignKey("project.id", ondelete="CASCADE"), nullable=True, index=True),
    # The same, but 0 on the system level, so that one index serves the lists of both levels: no database sorts by an
    # index after IS NULL.
    Column("scope_id", BigInteger, nullable=False),
    # Without prefix and project.
    Column("name", ByteOrdered, nullable=False),
    Column("description", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    # -1: for ever.
    Column("duration_days", BigInteger, nullable=False),
    Column("expire_time", UtcDateTime, nullable=True),
    # "hmac-sha256$…" for a random secret, argon2id for a secret that a person has chosen.
    Column("secret_hash", Text, nullable=False),
    Column("credential_version", BigInteger, nullable=False, server_default=text("1")),
    Column("creator_kind", Word, nullable=False),
    # A user or a robot, which may have been deleted since.
    Column("creator_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    UniqueConstraint("scope_id", "name"),
    Index("ix_robot_scope_id_create_time_id", "scope_id", "create_time", "id"),
    Index("ix_robot_scope_id_update_time_id", "scope_id", "update_time", "id"),
    Index("ix_robot_scope_id_id", "scope_id", "id"),
    CheckConstraint("scope_id = coalesce(project_id, 0)", name="scope"),
    sqlite_autoincrement=True,
)

# What robots may do in single projects. A deleted project takes its rows along.
robot_permission = Table(
    "robot_permission",
    metadata,
    Column("robot_id", BigInteger, ForeignKey("robot.id", ondelete="CASCADE"), nullable=False),
    # The project that the permission is in: for a project's robot, that project.
    Column("project_id", BigInteger, ForeignKey("project.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("resource", Word, nullable=False),
    Column("action", Word, nullable=False),
    # "deny" takes the permission away; "allow" and "" give it.
    Column("effect", Word, nullable=False),
    PrimaryKeyConstraint("robot_id", "project_id", "resource", "action", "effect"),
)

# What robots of the system level may do beyond single projects.
robot_wide_permission = Table(
    "robot_wide_permission",
    metadata,
    Column("robot_id", BigInteger, ForeignKey("robot.id", ondelete="CASCADE"), nullable=False),
    # "project": in every project, also in later ones. "system": on the system level.
    Column("kind", Word, nullable=False),
    Column("resource", Word, nullable=False),
    Column("action", Word, nullable=False),
    Column("effect", Word, nullable=False),
    PrimaryKeyConstraint("robot_id", "kind", "resource", "action", "effect"),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    # HMAC-SHA256 of the token, in hexadecimal.
    Column("token_hash", String(64), nullable=False, unique=True),
    # The holder: one of the two.
    Column("user_id", BigInteger, ForeignKey("user.id", ondelete="CASCADE"), nullable=True),
    Column("robot_id", BigInteger, ForeignKey("robot.id", ondelete="CASCADE"), nullable=True),
    # The holder's when the token was given. A token with another version than its holder's is dead.
    Column("credential_version", BigInteger, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("create_address", Text, nullable=False),
    Column("last_use_time", UtcDateTime, nullable=False),
    Column("last_use_address", Text, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False, index=True),
    Index("ix_refresh_token_user_id_id", "user_id", "id"),
    Index("ix_refresh_token_robot_id_id", "robot_id", "id"),
    CheckConstraint("(user_id IS NULL) <> (robot_id IS NULL)", name="one_holder"),
    sqlite_autoincrement=True,
)

# Losses of rights, because of which registry tokens are refused that were given before (`svckit.tokens.revocation`).
revocation = Table(
    "revocation",
    metadata,
    # Of the last change of the commit.
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("time", UtcDateTime, nullable=False, index=True),
    Column("subjects", Json, nullable=False),
    Column("project_ids", Json, nullable=False),
)

idempotency = idempotency_table(metadata)

change_log = ChangeLog(metadata, ChangeKind)

change_cursors = CursorTable(metadata)

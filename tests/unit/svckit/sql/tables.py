"""Tables of an imaginary service, and what its migrations must produce."""

from sqlalchemy import Column, ForeignKey, Index, MetaData, String, Table

from svckit.sql.types import BigIntKey, Json, UtcDateTime

metadata = MetaData()

account = Table(
    "account",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("balance", BigIntKey, nullable=False),
    Column("labels", Json()),
    Column("seen_time", UtcDateTime()),
    Index("account_name_uq", "name", unique=True),
    sqlite_autoincrement=True,
)

entry = Table(
    "entry",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("account_id", BigIntKey, ForeignKey("account.id", name="entry_account_fk", ondelete="CASCADE"), index=True),
    Column("amount", BigIntKey, nullable=False),
    sqlite_autoincrement=True,
)

"""Column types that hold the same values on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, Text
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

BigIntKey = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit key that the database generates. SQLite generates only INTEGER keys, which have 64 bits there.

A table that uses it must set `sqlite_autoincrement=True`. Otherwise SQLite uses the key of the newest row again after
that row is deleted, and an old reference to it (in a token or a log) would then mean another row.
`tests/harness/migrations.py` checks this.
"""

ByteOrdered = Text().with_variant(Text(collation="C"), "postgresql")
"""A name by which lists are sorted. Both databases sort it by its bytes, independent of the server's locale.

So tags have the order that the distribution spec demands ("Content Discovery"), and a page token means the same on
every replica.
"""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, to the microsecond: an aware `datetime` in UTC. On SQLite it is text that sorts by time.

    Raises ValueError for a datetime without a time zone, because it is not a definite point in time.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC. On SQLite, where the column is text, the zone is left out."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC, whatever the time zone of the session is."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A JSON value: JSONB on PostgreSQL, text on SQLite. None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB on PostgreSQL."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Makes `column["key"]` work as it does with JSON."""
        return self.impl_instance.coerce_compared_value(op, value)

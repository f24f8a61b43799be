"""Column types that hold the same values on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, Text
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

BigIntKey = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit key that the database numbers. SQLite numbers only what is called INTEGER, which is 64 bits wide there.

A table that uses it says `sqlite_autoincrement=True`: otherwise SQLite gives the number of the newest row again after
that row is deleted, and what still names it (a token, a log) would mean another row. `tests/harness/migrations.py`
checks it.
"""

ByteOrdered = Text().with_variant(Text(collation="C"), "postgresql")
"""A name that lists are sorted by: by its bytes on both databases, whatever the locale of the server is.

So clients see tags in the order that the distribution spec wants ("Content Discovery"), and a page token that was made
on one replica means the same on another.
"""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, to the microsecond: an aware `datetime` in UTC. Text that sorts by time on SQLite.

    Raises ValueError for a datetime without a time zone: nobody can say which moment it means.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; without its zone on SQLite, where the column is text."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always in UTC, whatever zone the session speaks."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A JSON value: JSONB on PostgreSQL, text on SQLite. None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB where there is one."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Lets `column["key"]` work as it does on JSON itself."""
        return self.impl_instance.coerce_compared_value(op, value)

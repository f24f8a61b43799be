"""Settings of a service with a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from svckit.process.settings import RpcProcessSettings
from svckit.rpc.settings import RpcServerSettings

SchemaName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
PoolSize = Annotated[int, Field(ge=4)]

# Background work, and the access check of a new call, need a connection even while every call in flight has one.
_SPARE_CONNECTIONS = 2


class DatabaseServiceSettings(RpcProcessSettings):
    """Settings of a service with a database. Each service sets its own defaults."""

    database_url: SecretStr
    """sqlite:////absolute/path.db, or postgresql://user:password@host/database."""
    database_schema: SchemaName
    """The PostgreSQL schema of its tables. It is created if it does not exist. SQLite has none."""
    database_pool_size: PoolSize
    """The most connections to PostgreSQL. No more RPCs than this are served at once."""
    database_must_exist: bool = False
    """Refuse to start with a database that is missing or has no tables, instead of making an empty one. Set it after
    the first start: a lost database is then noticed. `roadstead up` does so for its SQLite files."""
    idempotency_key_seconds: Annotated[int, Field(ge=60, le=30 * 24 * 3600)] = 24 * 3600
    """How long a repeated create with the same idempotency key gets the answer of the first call."""

    reserved_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """With SQLite: while the disk has less free space than this, calls that add data are refused. Reads and deletes
    still work."""

    @property
    def sqlite_folder(self) -> Path | None:
        """The folder of the SQLite file; None for PostgreSQL."""
        url = self.database_url.get_secret_value()
        return Path(url.removeprefix("sqlite:///")).parent if url.startswith("sqlite:///") else None

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self.database_url.get_secret_value().startswith("postgresql")

    def server_settings(self) -> RpcServerSettings:
        """`rpc`, with a limit of RPCs in flight that fits the number of connections.

        More RPCs would wait in the pool instead of being refused, and could hold locks that others wait for.
        """
        if not self.is_postgresql:
            return self.rpc
        most = self.database_pool_size - _SPARE_CONNECTIONS
        return self.rpc.model_copy(update={"max_in_flight": min(self.rpc.max_in_flight, most)})

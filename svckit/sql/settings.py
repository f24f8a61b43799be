"""Settings of a service that keeps its rows in a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from svckit.process.settings import RpcProcessSettings
from svckit.rpc.settings import RpcServerSettings

SchemaName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
PoolSize = Annotated[int, Field(ge=4)]

# What a service does in the background, or before a call is let in, needs a connection while every caller has one.
_SPARE_CONNECTIONS = 2


class DatabaseServiceSettings(RpcProcessSettings):
    """What such a service has; each gives the defaults that are its own."""

    database_url: SecretStr
    """sqlite:////absolute/path.db, or postgresql://user:password@host/database."""
    database_schema: SchemaName
    """The PostgreSQL schema of its tables; made when it is absent. SQLite has none."""
    database_pool_size: PoolSize
    """Connections to PostgreSQL at the most. No more RPCs than this are served at once."""
    idempotency_key_seconds: Annotated[int, Field(ge=60, le=30 * 24 * 3600)] = 24 * 3600
    """How long a repeat of a create with an idempotency key is answered as the first call was."""

    reserved_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """With SQLite: while the disk has less room than this, calls that add data are refused; reads and deletes go on."""

    @property
    def sqlite_folder(self) -> Path | None:
        """The folder of the SQLite file; None where the database is another one."""
        url = self.database_url.get_secret_value()
        return Path(url.removeprefix("sqlite:///")).parent if url.startswith("sqlite:///") else None

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self.database_url.get_secret_value().startswith("postgresql")

    def server_settings(self) -> RpcServerSettings:
        """`rpc`, with no more RPCs in flight than there are connections.

        More would wait in the pool without being told, while each of them holds what others wait for.
        """
        if not self.is_postgresql:
            return self.rpc
        most = self.database_pool_size - _SPARE_CONNECTIONS
        return self.rpc.model_copy(update={"max_in_flight": min(self.rpc.max_in_flight, most)})

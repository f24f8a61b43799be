"""Settings of metasvc: section `[metasvc]`, variables `ROADSTEAD_METASVC_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES
from svckit.sql.settings import DatabaseServiceSettings, PoolSize, SchemaName

SECTION = "metasvc"

_DAY_SECONDS = 24 * 60 * 60


class MetaSettings(DatabaseServiceSettings):
    """What metasvc needs."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    database_url: SecretStr = SecretStr("sqlite:////var/lib/roadstead/metasvc/meta.db")
    database_schema: SchemaName = "metasvc"
    database_pool_size: PoolSize = 64
    key_file: Path = Path("/var/lib/roadstead/keys/metasvc.pem")
    """Its key pair, which signs grants. Made when it is absent. Replicas share one."""
    delete_enabled: bool = True
    """Whether clients may delete manifests, tags and blobs under /v2; 405 where not, and the same over gRPC. What is
    managed by /api/v2.0 is not meant: there, roles decide."""
    review_delay_seconds: Annotated[int, Field(ge=0)] = _DAY_SECONDS
    """How long what may have become garbage is left alone."""
    push_grace_seconds: Annotated[int, Field(ge=60)] = 2 * 60 * 60
    """How long a push may rely on a blob that it was told of. The delay does not shorten it."""
    pull_flush_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How often the dates and counts of pulls are written. What was not written is lost in a crash."""

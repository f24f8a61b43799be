"""Settings of metasvc: section `[metasvc]`, variables `ROADSTEAD_METASVC_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from svckit.changes.settings import ChangeLogSettings
from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES
from svckit.sql.settings import DatabaseServiceSettings, PoolSize, SchemaName

SECTION = "metasvc"

_DAY_SECONDS = 24 * 60 * 60


class MetaSettings(DatabaseServiceSettings):
    """The settings of metasvc."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    database_url: SecretStr = SecretStr("sqlite:////var/lib/roadstead/metasvc/meta.db")
    database_schema: SchemaName = "metasvc"
    database_pool_size: PoolSize = 64
    key_file: Path = Path("/var/lib/roadstead/keys/metasvc.pem")
    """The key pair that signs grants. Made when it is absent. Replicas share one."""
    delete_enabled: bool = True
    """Whether clients may delete manifests, tags and blobs under /v2; otherwise they get 405. It also applies to these
    RPCs over gRPC, but not to /api/v2.0, where roles decide."""
    delete_blobs_in_use: bool = False
    """Whether clients may delete a blob under /v2 that a manifest of the repository names; otherwise they get 405. If
    they may, pulls of that manifest fail until the blob is pushed again."""
    adopt_blob_store: bool = False
    """For one start, after the blob folder was replaced on purpose: whether the blob store that blobsvc has now takes
    the place of the one that this database remembers. `roadstead up --start-anyway blobsvc` sets it."""
    review_delay_seconds: Annotated[int, Field(ge=0)] = _DAY_SECONDS
    """How long possible garbage is kept before garbage collection may look at it."""
    push_grace_seconds: Annotated[int, Field(ge=60)] = 2 * 60 * 60
    """How long a blob or manifest stays for a push that was told that it exists. review_delay_seconds does not shorten
    this."""
    pull_flush_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How often the times and counts of pulls are written. A crash loses those that are not written yet."""
    changes: ChangeLogSettings = ChangeLogSettings()
    """How long the change log is kept. A compaction, which jobsvc runs, deletes what is older."""

"""Settings of blobsvc: section `[blobsvc]`, variables `ROADSTEAD_BLOBSVC_…`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from svckit.process.settings import RpcProcessSettings
from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES

SECTION = "blobsvc"

_DAY_SECONDS = 24 * 60 * 60


class BlobSettings(RpcProcessSettings):
    """What blobsvc needs."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    """Where it listens, and how much it takes on."""
    key_file: Path = Path("/var/lib/roadstead/keys/blobsvc.pem")
    """Its key pair, which signs tickets and receipts. Made when it is absent. Replicas share one."""
    data_dir: Path = Path("/var/lib/roadstead/blobsvc")
    """The folder of the blobs. Replicas share it, on a file system that has flock and an atomic rename."""
    reserved_bytes: int = Field(default=512 * 1024 * 1024, ge=0)
    """While the disk has less room than this, uploads are refused with 507; pulls and deletes go on."""
    upload_expiry_seconds: int = Field(default=7 * _DAY_SECONDS, ge=60)
    """How long an upload may take in all."""
    upload_idle_seconds: int = Field(default=_DAY_SECONDS, ge=60)
    """How long an upload may rest between two writes."""
    upload_sweep_seconds: float = Field(default=600.0, gt=0)
    """How often uploads that have lived too long are looked for."""
    reading_threads: int = Field(default=8, ge=1, le=64)
    """How many threads read blobs."""
    writing_threads: int = Field(default=8, ge=1, le=64)
    """How many threads write, hash and sync uploads."""

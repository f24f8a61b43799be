"""Settings of blobsvc: section `[blobsvc]`, variables `ROADSTEAD_BLOBSVC_…`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from svckit.process.settings import RpcProcessSettings
from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES
from svckit.tokens.documents import LONGEST_UPLOAD_SECONDS

SECTION = "blobsvc"

_GIB = 1024**3


class BlobSettings(RpcProcessSettings):
    """The settings of blobsvc."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    """Where it listens, and its limits."""
    key_file: Path = Path("/var/lib/roadstead/keys/blobsvc.pem")
    """The key pair that signs tickets and receipts. Made when it is absent. Replicas share one."""
    data_dir: Path = Path("/var/lib/roadstead/blobsvc")
    """The folder of the blobs. Replicas share it, on a file system that has flock and an atomic rename."""
    store_id: str = ""
    """Refuse to start with a folder that does not hold the store of this id (the file `store-id` in it), instead of
    making an empty store. Set it after the first start: a lost or a wrong folder is then noticed. `roadstead up` does
    so."""
    reserved_bytes: int = Field(default=512 * 1024 * 1024, ge=0)
    """Uploads are refused with 507 while the disk has less free space than this. Pulls and deletes still work."""
    upload_expiry_seconds: int = Field(default=LONGEST_UPLOAD_SECONDS, ge=60, le=LONGEST_UPLOAD_SECONDS)
    """How long an upload may take from its start to its finish, a day at most. Its ticket is valid as long."""
    upload_idle_seconds: int = Field(default=LONGEST_UPLOAD_SECONDS, ge=60)
    """How long an upload may go without a write."""
    reading_threads: int = Field(default=8, ge=1, le=64)
    """How many threads read blobs."""
    writing_threads: int = Field(default=8, ge=1, le=64)
    """How many threads write, hash and sync uploads."""
    unlinked_bytes_per_project: int = Field(default=256 * _GIB, ge=1)
    """The most bytes of unfinished and unlinked uploads into one project. They are in no quota yet."""
    unlinked_bytes_per_subject: int = Field(default=128 * _GIB, ge=1)
    """The most bytes of unfinished and unlinked uploads of one user or robot."""
    open_uploads_per_subject: int = Field(default=10_000, ge=1)
    """How many uploads of one user or robot may be open. An upload takes files even before it has bytes."""
    unlinked_recount_seconds: float = Field(default=60.0, gt=0)
    """How often these bytes are counted again on the disk, which shows what other replicas have received."""

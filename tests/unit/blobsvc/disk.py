"""What tests of the file-system store look at besides its ports."""

from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from blobsvc.domain.model import BlobKey, UploadId
from blobsvc.store.filesystem import FileStore


@dataclass
class Disk:
    """A store and the folder that it is in."""

    root: Path
    store: FileStore
    registry: CollectorRegistry
    others: list[FileStore] = field(default_factory=list)

    async def another(self) -> FileStore:
        """Another store on the same folder: a replica, or the next process after a restart. It remembers nothing."""
        other = await FileStore.open(self.root, CollectorRegistry())
        self.others.append(other)
        return other

    def close(self) -> None:
        for store in (self.store, *self.others):
            store.close()

    def session(self, upload_id: UploadId) -> Path:
        return self.root / "uploads" / str(upload_id)

    def data(self, upload_id: UploadId) -> Path:
        return self.session(upload_id) / "data"

    def blob(self, key: BlobKey) -> Path:
        digest = key.digest
        return self.root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex / str(key.generation)

    def files(self) -> list[str]:
        """Every file and link, by its path in the store."""
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_symlink() or path.is_file()
        )

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

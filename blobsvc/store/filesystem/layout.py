"""Where things lie on disk. Every path is built here, from types that cannot hold a slash or a dot.

    store-id                                        names this store
    blobs/<alg>/<2 hex>/<hex>/<generation>          finished bytes
    uploads/<id>/upload.json                        an upload as it began
    uploads/<id>/data                               its bytes, as long as the session lives

The rename from `data` to its place under `blobs` is the one step that finishes an upload: before it the session lives,
after it the blob is there. `upload.json` knows the generation from the start, so a finish that is repeated after a
crash finds the blob under the digest that it names, and needs no other record.
"""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from blobsvc.domain.model import BlobKey, UploadId
from svckit.durable import create_file, sync_folder
from svckit.oci.digest import ALGORITHMS

_FOLDER_MODE = 0o700
_STORE_ID = "store-id"


class Layout:
    """The paths of one store.

    Attributes:
        root: the folder that holds everything.
        blobs: finished bytes.
        uploads: sessions, one folder each.
    """

    def __init__(self, root: Path) -> None:
        """Names the folder; `prepare` makes it."""
        self.root = root
        self.blobs = root / "blobs"
        self.uploads = root / "uploads"

    def prepare(self) -> str:
        """Make the folders that are missing, and give the store's id. What is there is left alone. It blocks.

        Raises:
            OSError: a folder cannot be made or written.
        """
        self.root.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        algorithms = [self.blobs / algorithm for algorithm in ALGORITHMS]
        for folder in (self.blobs, self.uploads, *algorithms):
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        for folder in (self.blobs, self.root):
            sync_folder(folder)
        path = self.root / _STORE_ID
        if not path.exists():
            # A replica on the same disk may be quicker.
            with suppress(FileExistsError):
                create_file(path, f"{uuid.uuid4()}\n".encode(), mode=0o600)
        return self.read_store_id()

    def read_store_id(self) -> str:
        """The store's id. It blocks.

        Raises:
            OSError: the store is not there, or must not be read.
        """
        return (self.root / _STORE_ID).read_text(encoding="ascii").strip()

    def upload(self, upload_id: UploadId) -> Path:
        """The folder of a session."""
        return self.uploads / str(upload_id)

    def blob_folder(self, key: BlobKey) -> Path:
        """The folder of all generations of a digest."""
        return self.blobs / key.digest.algorithm / key.digest.hex[:2] / key.digest.hex

    def blob(self, key: BlobKey) -> Path:
        """The file of a finished blob."""
        return self.blob_folder(key) / str(key.generation)

    def folders_above(self, folder: Path) -> Iterator[Path]:
        """The folders that hold the name of a blob's folder, inside out, up to that of the algorithm."""
        for parent in folder.parents:
            if parent == self.blobs:
                return
            yield parent

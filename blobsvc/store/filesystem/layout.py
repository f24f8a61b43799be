"""The paths on disk. Every path is built here, from types that cannot contain a slash or a dot.

    store-id                                        the id of this store
    blobs/<alg>/<2 hex>/<hex>/<generation>          a finished blob
    uploads/<id>/upload.json                        the record of an upload, written at its start
    uploads/<id>/data                               its bytes, until the session ends
    unlinked/<generation>.<alg>.<hex>               the record of a finish, until metasvc has settled it
    uploads/<id>/finished.json                      the same record, afterwards

One rename finishes an upload: from `data` to the path under `blobs`. Before it the session exists, after it the blob
exists. `upload.json` holds the generation from the start. So a finish that is repeated after a crash finds its record
by the digest and this generation. The record is written before the rename, so that no blob lacks one. It says nothing
while `data` exists.

Records are symbolic links whose targets are their text (`links.py`). A long one is a file, and so are those that older
versions have written.
"""

import errno
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from blobsvc.domain.model import BlobKey, UploadId
from svckit.durable import create_file, sync_folder
from svckit.errors.start import StartError
from svckit.oci.digest import ALGORITHMS
from svckit.store_id import STORE_ID_FILE, read_store_id


class WrongStoreError(StartError):
    """The folder does not hold the store that the settings name."""


_FOLDER_MODE = 0o700


class Layout:
    """The paths of one store.

    Attributes:
        root: the folder of the store.
        blobs: the folder of finished blobs.
        uploads: the folder of sessions; each has a folder of its own.
        unlinked: the folder of the records of finished uploads that are not settled.
        store_id: the id of the store, once `prepare` has returned.
        named_prefixes: the folders `<alg>/<2 hex>` whose names this process has made durable, with their devices and
            inodes. Nothing removes such a folder. Threads may set the same entry twice, which does no harm.
    """

    def __init__(self, root: Path, expected_id: str = "") -> None:
        """Takes the folder of the store, and the id that it must have. Without an id, `prepare` creates it."""
        self.root = root
        self.blobs = root / "blobs"
        self.uploads = root / "uploads"
        self.unlinked = root / "unlinked"
        self.store_id = ""
        self.named_prefixes: dict[Path, tuple[int, int]] = {}
        self._expected_id = expected_id

    def prepare(self) -> None:
        """Create missing folders, and read the store's id. Existing files are not changed. It blocks.

        Raises:
            WrongStoreError: an id is expected, and the folder has another one, or none. Then nothing is created.
            OSError: a folder cannot be created or written.
        """
        if self._expected_id:
            self._require_expected()
        self.root.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        algorithms = [self.blobs / algorithm for algorithm in ALGORITHMS]
        for folder in (self.blobs, self.uploads, self.unlinked, *algorithms):
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        for folder in (self.blobs, self.root):
            sync_folder(folder)
        path = self.root / STORE_ID_FILE
        if not path.exists():
            # A replica on the same disk may create it first.
            with suppress(FileExistsError):
                create_file(path, f"{uuid.uuid4()}\n".encode(), mode=0o600)
        self.store_id = read_store_id(self.root)

    def require_store(self) -> None:
        """Check that the folder still holds this store. It blocks.

        That a file is missing means something only after this check. Without it, every blob would be reported as
        missing after the disk was unmounted, or after another disk was mounted in its place.

        Raises:
            OSError: the folder does not exist or cannot be read, or it holds another store.
        """
        if read_store_id(self.root) != self.store_id:
            raise OSError(errno.ESTALE, "the folder holds another store")

    def _require_expected(self) -> None:
        try:
            found = f"holds the store {read_store_id(self.root)}"
        except FileNotFoundError:
            found = "holds no store"
        if found != f"holds the store {self._expected_id}":
            raise WrongStoreError(
                f"the blob folder {self.root} {found}, but this installation uses {self._expected_id} (store_id). "
                "Mount or restore the right folder. To go on with this one, start once with "
                "`roadstead up --start-anyway blobsvc`, or without the setting: pulls of blobs that it lacks fail"
            )

    def upload(self, upload_id: UploadId) -> Path:
        """The folder of a session."""
        return self.uploads / str(upload_id)

    def blob_folder(self, key: BlobKey) -> Path:
        """The folder of all generations of a digest."""
        return self.blobs / key.digest.algorithm / key.digest.hex[:2] / key.digest.hex

    def blob(self, key: BlobKey) -> Path:
        """The file of a finished blob."""
        return self.blob_folder(key) / str(key.generation)

    def relative(self, path: Path) -> str:
        """A path in the store as placements name it: relative to the folder of the store, with slashes."""
        return path.relative_to(self.root).as_posix()

    def folders_above(self, folder: Path) -> Iterator[Path]:
        """The parents of a blob's folder, the nearest first, up to the folder of the algorithm."""
        for parent in folder.parents:
            if parent == self.blobs:
                return
            yield parent

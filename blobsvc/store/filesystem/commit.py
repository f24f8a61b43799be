"""The step that finishes an upload, and how it is found again. It blocks."""

import errno
from pathlib import Path

from blobsvc.domain.model import BlobKey, StoredBlob, UploadId
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.session import HeldSession, data_path, modified_time, read_record
from svckit.durable import sync_folder
from svckit.errors import NotFound
from svckit.oci.digest import Digest

# Each time a delete may take away the folder that was just made.
_RENAME_ATTEMPTS = 16


def store_as_blob(layout: Layout, session: HeldSession, key: BlobKey) -> StoredBlob:
    """Turn the verified bytes of a session into a blob. Durable when it returns.

    Raises:
        SyncFailedError: the disk did not take the bytes.
        OSError: something else went wrong; the session lives, or the blob is there.
    """
    with session.turn:
        create_time = session.stamp()
        _rename(layout, session.folder, key)
        _make_name_durable(layout, key)
        # That the session is gone from its old place is as much a part of it.
        sync_folder(session.folder)
        return StoredBlob(key=key, size_bytes=session.size_bytes, create_time=create_time)


def finished_blob(layout: Layout, upload_id: UploadId, digest: Digest) -> StoredBlob | None:
    """The blob that an upload was finished as under this digest, if it was.

    Raises:
        OSError: it cannot be found out.
    """
    folder = layout.upload(upload_id)
    try:
        key = BlobKey(digest, read_record(folder).generation)
    except NotFound:
        return None
    blob = stat_blob_file(layout.blob(key), key)
    if blob is not None:
        # Whoever renamed it may have died before this.
        _make_name_durable(layout, key)
    return blob


def stat_blob_file(path: Path, key: BlobKey) -> StoredBlob | None:
    """What is known of a blob's file; None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return StoredBlob(key=key, size_bytes=status.st_size, create_time=modified_time(status))


def _rename(layout: Layout, session_folder: Path, key: BlobKey) -> None:
    target = layout.blob(key)
    for attempts_left in reversed(range(_RENAME_ATTEMPTS)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                # Two replicas drew the same generation for the same bytes. Taking its place would leave one blob with
                # two receipts, and the collector would take the surplus one.
                raise FileExistsError(errno.EEXIST, "a generation was given twice")
            data_path(session_folder).rename(target)
        except FileNotFoundError:
            if not attempts_left:
                raise
        else:
            return


def _make_name_durable(layout: Layout, key: BlobKey) -> None:
    folder = layout.blob_folder(key)
    # All of them, and not only those made just now: another process may have made them and died before its sync.
    for parent in (folder, *layout.folders_above(folder)):
        sync_folder(parent)

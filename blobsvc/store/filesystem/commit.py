"""Finishes an upload, and finds a finished upload again. These functions block."""

import errno
import os
import stat
from pathlib import Path

from blobsvc.domain.model import BlobKey, StoredBlob, UploadId
from blobsvc.store.filesystem.finished import find_record, write_record
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.session import HeldSession, data_path, modified_time, read_record
from svckit.durable import sync_folder
from svckit.errors import NotFound
from svckit.oci.digest import Digest

# How often to try the rename. Each time, a delete may remove the target folder that was just made.
_RENAME_ATTEMPTS = 16


def store_as_blob(layout: Layout, session: HeldSession, key: BlobKey) -> StoredBlob:
    """Turn the verified bytes of a session into a blob. Durable when it returns.

    Raises:
        SyncFailedError: the disk did not take the bytes.
        OSError: another failure. Either the session still exists, or the blob does.
    """
    with session.thread_lock:
        blob = StoredBlob(key=key, size_bytes=session.size_bytes, create_time=session.stamp())
        write_record(layout, session.progress.upload, blob)
        _rename(layout, session.folder, key)
        _make_name_durable(layout, key)
        # Also makes it durable that the data file has left the session's folder.
        sync_folder(session.folder)
        return blob


def finished_blob(layout: Layout, upload_id: UploadId, digest: Digest) -> StoredBlob | None:
    """The blob that an upload became when it was finished with this digest; None if it was not.

    It is read from the record of the finish, so the bytes may have been deleted since.

    Raises:
        OSError: the disk cannot be read.
    """
    folder = layout.upload(upload_id)
    try:
        key = BlobKey(digest, read_record(folder).generation)
    except NotFound:
        return None
    blob = find_record(layout, upload_id, key)
    if blob is not None and layout.blob(key).exists():
        # The process that renamed the file may have died before it did this.
        _make_name_durable(layout, key)
    return blob


def stat_blob_file(path: Path, key: BlobKey) -> StoredBlob | None:
    """Size and time of a blob's file; None if it does not exist, or if something else than a file has its name."""
    status = blob_file_status(path)
    if status is None:
        return None
    return StoredBlob(key=key, size_bytes=status.st_size, create_time=modified_time(status))


def blob_file_status(path: Path) -> os.stat_result | None:
    """The status of a blob's file; None as for `stat_blob_file`."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _rename(layout: Layout, session_folder: Path, key: BlobKey) -> None:
    target = layout.blob(key)
    for attempts_left in reversed(range(_RENAME_ATTEMPTS)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                # Two replicas have chosen the same generation for the same digest. A rename would leave two receipts
                # for one file, and garbage collection of one of them would delete the bytes of both.
                raise FileExistsError(errno.EEXIST, "a generation was used twice")
            data_path(session_folder).rename(target)
        except FileNotFoundError:
            if not attempts_left:
                raise
        else:
            return


def _make_name_durable(layout: Layout, key: BlobKey) -> None:
    folder = layout.blob_folder(key)
    prefix = folder.parent
    # Not only if this process has made the folder: another one may have made it, and died before it synced the parent.
    sync_folder(folder)
    sync_folder(prefix)
    status = prefix.stat()
    found = (status.st_dev, status.st_ino)
    if layout.named_prefixes.get(prefix) != found:
        sync_folder(prefix.parent)
        layout.named_prefixes[prefix] = found

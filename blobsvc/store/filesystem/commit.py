"""Finishes an upload, and finds a finished upload again. These functions block."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blobsvc.domain.model import BlobKey, StoredBlob, UploadId
from blobsvc.store.filesystem.data_file import SyncFailedError, data_path, modified_time
from blobsvc.store.filesystem.finished import find_record, is_renamed, write_record
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.session import HeldSession, read_record, remove_session
from svckit.durable import sync_folder
from svckit.errors import Conflict, Invalid, NotFound
from svckit.oci.digest import Digest

# How often to try the rename. Each time, a delete may remove the target folder that was just made.
_RENAME_ATTEMPTS = 16
# Bytes that are hashed in one call of a thread. Without this limit, a large upload that is hashed again would keep a
# thread for seconds.
_HASH_STEP_BYTES = 16 * 1024 * 1024


def take_and_finish(
    layout: Layout, take: Callable[[], HeldSession], digest: Digest, expected_size_bytes: int | None
) -> HeldSession | StoredBlob:
    """Lock a session and finish it, in one call of a thread.

    Return the blob, or the locked session if there is more to hash than one call may: then `finish_held` goes on.

    Raises:
        as `take`, and as `finish_held`; then the session is released.
    """
    session = take()
    try:
        blob = finish_held(layout, session, digest, expected_size_bytes)
    except BaseException:
        session.release()
        raise
    if blob is None:
        return session
    session.release()
    return blob


def release_taken(taken: HeldSession | StoredBlob) -> None:
    """Release what `take_and_finish` has returned, if nobody waits for it any more."""
    if isinstance(taken, HeldSession):
        taken.release()


def finish_held(
    layout: Layout, session: HeldSession, digest: Digest, expected_size_bytes: int | None
) -> StoredBlob | None:
    """Verify the bytes of a session, and turn them into a blob. Return None if there is more to hash: call it again.

    The lock is held from the hash to the rename, so that no writer outlives the verification.

    Raises:
        DomainError: SIZE_INVALID, and the session continues; DIGEST_INVALID, and the session has ended;
            UPLOAD_CONFLICT, the session was released.
        SyncFailedError: the disk did not take the bytes, and the session has ended.
        OSError: another failure. Either the session still exists, or the blob does.
    """
    # Until the rename: a caller who is cancelled releases the session while this still runs.
    with session.thread_lock:
        if session.is_released:
            raise Conflict("UPLOAD_CONFLICT")
        if expected_size_bytes is not None and expected_size_bytes != session.size_bytes:
            raise Invalid(
                "SIZE_INVALID",
                f"the upload has {session.size_bytes} bytes, not {expected_size_bytes}",
                metadata={"committed_size": str(session.size_bytes)},
            )
        found = session.hash_more(digest.algorithm, _HASH_STEP_BYTES)
        if found is None:
            return None
        if found != digest:
            # The bytes stay wrong whatever is appended, so they are deleted.
            remove_session(session.folder)
            raise Invalid("DIGEST_INVALID", metadata={"digest": str(digest), "computed": str(found)})
        try:
            blob = store_as_blob(layout, session, BlobKey(digest, session.progress.upload.generation))
        except SyncFailedError:
            remove_session(session.folder)
            raise
        session.count_finish()
        return blob


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
        # Renames are atomic, also where the folders differ: once the new name is durable, the old one is gone.
        _make_name_durable(layout, key)
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
    if blob is None or not is_renamed(layout, upload_id, key):
        return None
    if layout.blob(key).exists():
        # The process that renamed the file may have died before it did this.
        _make_name_durable(layout, key)
        # A file system without a journal may keep the old name, too, after a loss of power.
        data_path(folder).unlink(missing_ok=True)
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
    source, target = data_path(session_folder), layout.blob(key)
    for attempts_left in reversed(range(_RENAME_ATTEMPTS)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _opened(target.parent) as home:
                _make_home_durable(layout, key)
                if target.exists():
                    # Two replicas have chosen the same generation for the same digest. A rename would leave two
                    # receipts for one file, and garbage collection of one of them would delete the bytes of both.
                    raise FileExistsError(errno.EEXIST, "a generation was used twice")
                # Into the folder that is durable. By its path, it could be one that was made after a delete of this.
                os.rename(source, target.name, dst_dir_fd=home)
        except FileNotFoundError:
            if not attempts_left:
                raise
        else:
            return


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_home_durable(layout: Layout, key: BlobKey) -> None:
    """Make the folder of a digest durable, so that no file is moved to a folder that a loss of power takes away.

    Not only if this process has made the folder: another one may have made it, and died before it synced the parent.
    """
    prefix = layout.blob_folder(key).parent
    sync_folder(prefix)
    status = prefix.stat()
    found = (status.st_dev, status.st_ino)
    if layout.named_prefixes.get(prefix) != found:
        sync_folder(prefix.parent)
        layout.named_prefixes[prefix] = found


def _make_name_durable(layout: Layout, key: BlobKey) -> None:
    sync_folder(layout.blob_folder(key))

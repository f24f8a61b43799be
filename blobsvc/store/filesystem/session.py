"""An upload on disk: its record, and its data file while it is locked. All functions block, so they run in threads.

A data file only grows, and only the holder of its lock writes it. So a running hash of the first bytes stays correct
when another process appends, and a committed size never shrinks.
"""

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import Upload, UploadId, UploadOwner
from blobsvc.store.filesystem.data_file import (
    data_path,
    modified_time,
    open_data,
    remove_name,
    size_if_named,
    sync_file,
)
from blobsvc.store.filesystem.links import kept_text, link_text, open_if_file
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.progress import Progress
from blobsvc.store.filesystem.writeback import begin_writeback
from svckit.disk import WRITE_BYTES
from svckit.durable import sync_folder
from svckit.errors import Conflict, Invalid, NotFound
from svckit.oci.digest import Digest

_RECORD = "upload.json"
_FINISHED = "finished.json"
_FILE_MODE = 0o600
_WRITEBACK_STEP_BYTES = 4 * 1024 * 1024
_TIME_MAY_BE_LOST = timedelta(minutes=1)


def record_path(folder: Path) -> Path:
    """The record of the session in this folder."""
    return folder / _RECORD


def finished_path(folder: Path) -> Path:
    """The record of the finish of the session in this folder, once it is settled."""
    return folder / _FINISHED


def create_session(folder: Path, upload: Upload) -> int:
    """Write a new session to disk. It survives a kill at once, and a loss of power after its first commit.

    Return the inode of its data file.

    Raises:
        OSError: the session cannot be written.
    """
    folder.mkdir(mode=0o700)
    record = {
        "repository": upload.owner.repository,
        "project_id": upload.owner.project_id,
        "subject": upload.owner.subject,
        "algorithm": upload.algorithm,
        "generation": upload.generation.number,
        "start_time": upload.start_time.isoformat(),
    }
    text = json.dumps(record)
    # The data file comes last. So if it exists, the record is complete.
    if not link_text(record_path(folder), text):
        _create(record_path(folder), text.encode())
    return _create(data_path(folder), b"")


def read_record(folder: Path) -> Upload:
    """Read the record of a session. The record of a finished one exists as long as its finish can be repeated.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN, there is no record, or it is invalid.
    """
    try:
        record = json.loads(kept_text(record_path(folder)))
        return Upload(
            id=UploadId(folder.name),
            owner=UploadOwner(record["repository"], record["project_id"], record["subject"]),
            algorithm=record["algorithm"],
            generation=Generation(record["generation"]),
            start_time=datetime.fromisoformat(record["start_time"]),
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        # A crash during the start can leave a partial record. Nobody has a ticket for such a session.
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None


def remove_session(folder: Path) -> None:
    """Remove a session. The data file is removed first, because a session exists as long as it does."""
    data_path(folder).unlink(missing_ok=True)
    record_path(folder).unlink(missing_ok=True)
    finished_path(folder).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        # Another process may have removed the folder in the meantime, or may have just settled its upload. Then the
        # next sweep removes the folder.
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise


def remove_unusable(folder: Path) -> bool:
    """Remove what a loss of power has left of an expired session that nobody can continue. Return whether it has.

    Either its record is invalid, or its data file has a second name. Then the record stays, because it may be the
    finish that has left both names, and it can be repeated for a while.
    """
    try:
        read_record(folder)
    except NotFound:
        remove_session(folder)
        return True
    return remove_name(folder)


class HeldSession:
    """A session whose file lock this process holds.

    Its methods run in threads, and `thread_lock` lets only one run at a time. A cancelled caller releases the session
    while a thread may still use it. If the file were closed then, the thread could write to another file that got the
    same descriptor number.

    Attributes:
        folder: the folder of the session.
        progress: the state of the session in memory.
        size_bytes: the size of the data file.
        thread_lock: held by the thread that uses the file.
        is_released: whether it is over. It changes only under `thread_lock`.
    """

    def __init__(
        self, folder: Path, progress: Progress, metrics: StoreMetrics, size_bytes: int, descriptor: int
    ) -> None:
        """Use `take` instead."""
        self.folder = folder
        self.progress = progress
        self.size_bytes = size_bytes
        self.thread_lock = threading.RLock()
        self._metrics = metrics
        self._descriptor = descriptor
        self.is_released = False
        self._written_back = size_bytes
        self._taken_at = time.perf_counter()
        metrics.uploads_held.inc()

    @property
    def inode(self) -> int:
        """The inode of the data file."""
        return os.fstat(self._descriptor).st_ino

    @classmethod
    def take(cls, folder: Path, progress: Progress | None, metrics: StoreMetrics) -> Self:
        """Open and lock the data file.

        Args:
            folder: the folder of the session.
            progress: its state in memory; None if there is none.
            metrics: the metrics of the store.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN, the session does not exist or has ended, or its data file has a second
                name; UPLOAD_CONFLICT, somebody else has the lock.
        """
        descriptor = open_data(folder, os.O_RDWR | os.O_APPEND)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("UPLOAD_CONFLICT") from None
            size_bytes = size_if_named(descriptor, folder)
            return cls(folder, progress or Progress.of(read_record(folder)), metrics, size_bytes, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def release(self) -> None:
        """Release the lock, once no thread uses the file."""
        with self.thread_lock:
            self.is_released = True
            os.close(self._descriptor)
            self._metrics.uploads_held.dec()

    def count_finish(self) -> None:
        """Count the time from the lock to the durable blob."""
        self._metrics.finish_seconds.observe(time.perf_counter() - self._taken_at)

    def write(self, batch: Iterable[bytes]) -> None:
        """Append bytes. They are hashed at once if the running hash covers all bytes before them.

        Raises:
            OSError: such as ENOSPC. `size_bytes` includes the bytes that were written before the error.
        """
        with self.thread_lock:
            if self.is_released:
                return
            for data in batch:
                view = memoryview(data)
                while view:
                    written = os.write(self._descriptor, view[:WRITE_BYTES])
                    # Only bytes that were written are hashed, so that hash and file agree after a failure.
                    self.progress.hash_next(view[:written], self.size_bytes)
                    self.size_bytes += written
                    self._metrics.uploaded_bytes.inc(written)
                    view = view[written:]
            if self.size_bytes - self._written_back >= _WRITEBACK_STEP_BYTES:
                begin_writeback(self._descriptor, self._written_back, self.size_bytes - self._written_back)
                self._written_back = self.size_bytes

    def require_offset(self, offset: int | None) -> None:
        """Check that the upload has this size; None for any.

        Raises:
            DomainError: RANGE_INVALID with `committed_size`.
            SyncFailedError: an fsync failed.
        """
        if offset is not None and offset != self.size_bytes:
            committed = self.sync()
            raise Invalid(
                "RANGE_INVALID",
                f"the upload ends at {committed}, not at {offset}",
                metadata={"committed_size": str(committed)},
            )

    def sync(self) -> int:
        """Make the data file and the session's folder entries durable. Return the size of the data file.

        Raises:
            SyncFailedError: an fsync failed.
        """
        with self.thread_lock:
            if self.progress.synced_bytes != self.size_bytes:
                self._fsync()
            sync_names(self.folder, self.progress)
            return self.size_bytes

    def hash_more(self, algorithm: str, limit_bytes: int) -> Digest | None:
        """Hash bytes that are not hashed yet, up to a limit. Return the digest once all bytes are hashed.

        Raises:
            OSError: the file cannot be read.
        """
        with self.thread_lock:
            self._metrics.rehashed_bytes.inc(
                self.progress.hash_more(self._descriptor, algorithm, self.size_bytes, limit_bytes)
            )
            return self.progress.digest_of(self.size_bytes)

    def stamp(self) -> datetime:
        """Set the file's time to now, which becomes the blob's create time, and make everything else durable.

        A loss of power may set the time back to that of the last write. So the time is synced, too, if it would be set
        back by more than a minute.

        Raises:
            SyncFailedError: an fsync failed.
        """
        with self.thread_lock:
            last_write = self.last_write()
            os.utime(self._descriptor)
            finish_time = self.last_write()
            if finish_time - last_write > _TIME_MAY_BE_LOST:
                self.progress.synced_bytes = -1
            self.sync()
            return finish_time

    def last_write(self) -> datetime:
        """When the last byte was written, or the session was started."""
        with self.thread_lock:
            return modified_time(os.fstat(self._descriptor))

    def _fsync(self) -> None:
        with self._metrics.fsync_seconds.time():
            sync_file(self._descriptor)
        self.progress.synced_bytes = self.size_bytes


def append_at_once(
    folder: Path, progress: Progress | None, metrics: StoreMetrics, offset: int | None, data: bytes
) -> tuple[Progress, int]:
    """Append bytes and make them durable. Return the state of the session in memory, and the size of the data file.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; UPLOAD_CONFLICT; RANGE_INVALID with `committed_size`.
        OSError: such as ENOSPC. Some of the bytes may be there.
        SyncFailedError: an fsync failed.
    """
    session = HeldSession.take(folder, progress, metrics)
    try:
        session.require_offset(offset)
        session.write([data])
        return session.progress, session.sync()
    finally:
        session.release()


def _create(path: Path, content: bytes) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        return os.fstat(descriptor).st_ino


def sync_names(folder: Path, progress: Progress) -> None:
    """Make a session's record and folder entries durable.

    This is done at the first commit and not at the start, because no durable byte was promised before. So the start of
    an upload does not wait for the disk.

    Raises:
        SyncFailedError: an fsync failed.
    """
    if progress.named:
        return
    descriptor = open_if_file(record_path(folder))
    if descriptor is not None:
        try:
            sync_file(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(folder)
    sync_folder(folder.parent)
    progress.named = True

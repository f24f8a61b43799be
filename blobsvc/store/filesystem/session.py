"""An upload on disk: its record, and its data file while somebody holds it. Everything here blocks: it runs in threads.

A data file only ever grows, and is written by whoever holds the lock on it. So a running hash of the first bytes stays
right whatever other processes append after them, and a committed size never shrinks.
"""

import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import Upload, UploadId, UploadOwner
from blobsvc.store.filesystem.metrics import StoreMetrics
from svckit.durable import sync_folder
from svckit.errors import Conflict, NotFound
from svckit.oci.digest import Digest, Hasher

_RECORD = "upload.json"
_DATA = "data"
_FILE_MODE = 0o600
_HASH_BLOCK_BYTES = 1024 * 1024


class SyncFailedError(Exception):
    """The disk did not take what was written.

    After that the kernel may count the pages as clean, so a second fsync that succeeds proves nothing
    (https://lwn.net/Articles/752063/): the session must end.
    """


def record_path(folder: Path) -> Path:
    """The record of the session in this folder."""
    return folder / _RECORD


def data_path(folder: Path) -> Path:
    """The data file of the session in this folder."""
    return folder / _DATA


def create_session(folder: Path, upload: Upload) -> None:
    """Put a session on disk. It survives a kill, and the loss of power from its first committed byte on.

    Raises:
        OSError: it cannot be made.
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
    # The data file comes last: where it is, all is there.
    for path, content in (
        (record_path(folder), json.dumps(record, indent=2).encode() + b"\n"),
        (data_path(folder), b""),
    ):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def read_record(folder: Path) -> Upload:
    """Read how a session began; also of one that is finished, for as long as its finish can be repeated.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN, there is none, or it is unreadable.
    """
    try:
        record = json.loads(record_path(folder).read_bytes())
        return Upload(
            id=UploadId(folder.name),
            owner=UploadOwner(record["repository"], record["project_id"], record["subject"]),
            algorithm=record["algorithm"],
            generation=Generation(record["generation"]),
            start_time=datetime.fromisoformat(record["start_time"]),
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        # Half written by a crash during the start: nobody has a ticket for it.
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None


def remove_session(folder: Path) -> None:
    """Forget a session; the data file goes first, because where it is, the session lives."""
    data_path(folder).unlink(missing_ok=True)
    record_path(folder).unlink(missing_ok=True)
    # A sweep of another process may be quicker.
    with suppress(FileNotFoundError):
        folder.rmdir()


def remove_unreadable(folder: Path) -> bool:
    """Forget a session whose record a loss of power has torn; tell whether it was one. Nobody can go on with it."""
    try:
        read_record(folder)
    except NotFound:
        remove_session(folder)
        return True
    return False


@dataclass
class Progress:
    """What is worth remembering of a session between two calls; all of it can be found out again from the disk.

    Attributes:
        upload: as it began.
        hasher: has seen the first `hashed_bytes`.
        hashed_bytes: of the data file.
        synced_bytes: known to be on the disk; -1 where nothing is known.
        named: whether the names of the session's files are on the disk.
    """

    upload: Upload
    hasher: Hasher
    hashed_bytes: int = 0
    synced_bytes: int = -1
    named: bool = False

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """Of a session of which nothing else is known."""
        return cls(upload=upload, hasher=Hasher(upload.algorithm))


class HeldSession:
    """A session whose lock we have.

    Its methods run in threads, one at a time: a caller that was cancelled gives the lock back while a thread may still
    be busy, and the file must not be closed under it (its number could be another file's a moment later).

    Attributes:
        folder: of the session.
        progress: of the session.
        size_bytes: of the data file.
        turn: held by the thread that is busy.
    """

    def __init__(
        self, folder: Path, progress: Progress, metrics: StoreMetrics, size_bytes: int, descriptor: int
    ) -> None:
        """`take` builds it."""
        self.folder = folder
        self.progress = progress
        self.size_bytes = size_bytes
        self.turn = threading.RLock()
        self._metrics = metrics
        self._descriptor = descriptor
        self._released = False

    @classmethod
    def take(cls, folder: Path, progress: Progress | None, metrics: StoreMetrics) -> Self:
        """Open and lock the data file.

        Args:
            folder: of the session.
            progress: what is remembered of it; None where nothing is.
            metrics: what is counted.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN, there is no such session, or not any more; UPLOAD_CONFLICT, somebody else
                has the lock.
        """
        descriptor = _open_data(folder, os.O_RDWR | os.O_APPEND)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("UPLOAD_CONFLICT") from None
            size_bytes = _size_of_named(descriptor, data_path(folder))
            return cls(folder, progress or Progress.of(read_record(folder)), metrics, size_bytes, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def release(self) -> None:
        """Give the lock back, once no thread is busy."""
        with self.turn:
            self._released = True
            os.close(self._descriptor)

    def write(self, batch: Iterable[bytes]) -> None:
        """Append, and hash where the running hash has seen everything before.

        Raises:
            OSError: such as ENOSPC; `size_bytes` counts what could be written before.
        """
        with self.turn:
            if self._released:
                return
            progress = self.progress
            for data in batch:
                view = memoryview(data)
                while view:
                    written = os.write(self._descriptor, view)
                    # Only what the file has taken is hashed, so that the two agree after any failure.
                    if progress.hashed_bytes == self.size_bytes:
                        progress.hasher.update(view[:written])
                        progress.hashed_bytes += written
                    self.size_bytes += written
                    self._metrics.uploaded_bytes.inc(written)
                    view = view[written:]

    def sync(self) -> int:
        """Make durable what the data file holds, and that it is there; give its size.

        Raises:
            SyncFailedError: the disk did not take it.
        """
        with self.turn:
            if self.progress.synced_bytes != self.size_bytes:
                self._fsync()
            if not self.progress.named:
                # Nobody was promised anything before this, so the start of an upload need not wait for the disk.
                _sync_file(record_path(self.folder))
                sync_folder(self.folder)
                sync_folder(self.folder.parent)
                self.progress.named = True
            return self.size_bytes

    def hash_more(self, algorithm: str, limit_bytes: int) -> Digest | None:
        """Read and hash what was not hashed yet, up to a limit; give the digest once that is everything.

        A restart, another replica's bytes, or an algorithm that was not announced leave something to read.

        Raises:
            OSError: it cannot be read.
        """
        with self.turn:
            progress = self.progress
            if progress.hasher.algorithm != algorithm:
                progress.hasher, progress.hashed_bytes = Hasher(algorithm), 0
            end = min(self.size_bytes, progress.hashed_bytes + limit_bytes)
            buffer = memoryview(bytearray(min(_HASH_BLOCK_BYTES, max(end - progress.hashed_bytes, 0))))
            while progress.hashed_bytes < end:
                count = os.preadv(self._descriptor, [buffer[: end - progress.hashed_bytes]], progress.hashed_bytes)
                if count == 0:
                    raise OSError(errno.EIO, "the data file of an upload has shrunk")
                progress.hasher.update(buffer[:count])
                progress.hashed_bytes += count
                self._metrics.rehashed_bytes.inc(count)
            return progress.hasher.digest() if progress.hashed_bytes == self.size_bytes else None

    def stamp(self) -> datetime:
        """Give the file the time of now, as that of the finished blob, and make everything durable.

        Raises:
            SyncFailedError: the disk did not take it.
        """
        with self.turn:
            os.utime(self._descriptor)
            self.progress.synced_bytes = -1
            self.sync()
            return modified_time(os.fstat(self._descriptor))

    def last_write(self) -> datetime:
        """When the last byte came, or the session began."""
        with self.turn:
            return modified_time(os.fstat(self._descriptor))

    def _fsync(self) -> None:
        with self._metrics.fsync_seconds.time():
            _sync(self._descriptor)
        self.progress.synced_bytes = self.size_bytes


def durable_size(folder: Path) -> int:
    """Give the size of a session's data file, once that much is on the disk. It needs no lock.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN.
        SyncFailedError: the disk did not take it.
    """
    descriptor = _open_data(folder, os.O_RDONLY)
    try:
        size_bytes = os.fstat(descriptor).st_size
        _sync(descriptor)
        return size_bytes
    finally:
        os.close(descriptor)


def modified_time(status: os.stat_result) -> datetime:
    """The time that a file was last written, in UTC."""
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _size_of_named(descriptor: int, path: Path) -> int:
    """The size of an open file, if it is still what its path names.

    Between the opening and the lock somebody may have finished or cancelled the upload; then this file is a blob now,
    or nothing, and must not be written.
    """
    status = os.fstat(descriptor)
    try:
        named = path.lstat()
    except FileNotFoundError:
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None
    if (named.st_dev, named.st_ino) != (status.st_dev, status.st_ino):
        raise NotFound("BLOB_UPLOAD_UNKNOWN")
    return status.st_size


def _open_data(folder: Path, flags: int) -> int:
    try:
        return os.open(data_path(folder), flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncFailedError(error.strerror) from error

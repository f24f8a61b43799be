"""The staging file of an upload, written by this process."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from gateway.clients.store_folder import open_placed
from roadstead.blob.v1 import placement_pb2
from svckit.disk import WRITE_BYTES
from svckit.errors import Conflict, NotFound

_SPLICE_BYTES = 256 * 1024
"""The most bytes to take from a pipe at once: see `WRITE_BYTES`. With four uploads at once, a MiB took 1.1 to 1.5 ms of
CPU time in steps of 1 MiB, and 0.4 to 0.5 ms in steps of 64 or 256 KiB."""


class StagingFile:
    """An open staging file that this process has locked, so that nobody else writes, finishes or cancels the upload.

    The methods block. `write` and `release` may be called by different threads.

    Attributes:
        size_bytes: the bytes that the file has.
    """

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        """Use `take` instead."""
        self.size_bytes = size_bytes
        self._descriptor = descriptor
        self._released = False
        self._thread_lock = threading.Lock()

    @classmethod
    def take(cls, folder: Path, place: placement_pb2.WritePlacement.File) -> Self:
        """Opens and locks the file of a placement.

        Raises:
            OtherStoreError: the folder is not that of the store.
            DomainError: UPLOAD_CONFLICT, somebody else has the lock, or has written meanwhile; BLOB_UPLOAD_UNKNOWN, the
                upload was finished or cancelled meanwhile.
            OSError: the file cannot be opened.
        """
        try:
            descriptor = open_placed(folder, place.store_id, place.path, os.O_WRONLY)
        except FileNotFoundError:
            raise NotFound("BLOB_UPLOAD_UNKNOWN") from None
        try:
            _lock(descriptor)
            status = os.fstat(descriptor)
            # After the lock. Before, the file may have become a blob, which must never be written. After a loss of
            # power, it may have both names.
            if status.st_ino != place.inode or status.st_nlink > 1 or not _is_named(folder / place.path, status):
                raise NotFound("BLOB_UPLOAD_UNKNOWN")
            if status.st_size != place.committed_size_bytes:
                raise Conflict("UPLOAD_CONFLICT")
            return cls(descriptor, status.st_size)
        except BaseException:
            os.close(descriptor)
            raise

    def write(self, pieces: Sequence[bytes]) -> None:
        """Appends bytes. Does nothing after `release`.

        Raises:
            OSError: such as ENOSPC. `size_bytes` counts what was written before.
        """
        with self._thread_lock:
            if self._released:
                return
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    written = os.pwrite(self._descriptor, view[:WRITE_BYTES], self.size_bytes)
                    self.size_bytes += written
                    view = view[written:]

    def drain(self, pipe: int, size_bytes: int) -> None:
        """Appends so many bytes from a pipe that has them.

        Raises:
            OSError: as `write`; EBADF after `release`.
        """
        with self._thread_lock:
            if self._released:
                raise OSError(errno.EBADF, "the file is closed")
            while size_bytes:
                try:
                    step = min(size_bytes, _SPLICE_BYTES)
                    written = os.splice(pipe, self._descriptor, step, offset_dst=self.size_bytes)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    # The file system cannot take them from a pipe.
                    written = os.pwrite(self._descriptor, os.read(pipe, min(size_bytes, WRITE_BYTES)), self.size_bytes)
                self.size_bytes += written
                size_bytes -= written

    def release(self) -> None:
        """Closes the file, which releases the lock."""
        with self._thread_lock:
            if not self._released:
                self._released = True
                os.close(self._descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict("UPLOAD_CONFLICT") from None


def _is_named(path: Path, status: os.stat_result) -> bool:
    """Whether a path still names an open file."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)

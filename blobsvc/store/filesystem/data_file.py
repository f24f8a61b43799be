"""The data file of an upload on disk. These functions block.

It must have one name. A finish moves it to its place among the blobs by a rename. A file system without a journal may
keep both names after a loss of power: then it is a finished blob, which must never be written. Programs that save space
make such names as well. So a session whose data file has a second name takes no bytes and cannot be finished.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from svckit.errors import NotFound

_DATA = "data"


class SyncFailedError(Exception):
    """An fsync failed, so written bytes may be lost.

    The session must end. After a failed fsync the kernel may mark the pages as clean, so a second fsync can succeed
    although the bytes are lost (https://lwn.net/Articles/752063/).
    """


def data_path(folder: Path) -> Path:
    """The data file of the session in this folder."""
    return folder / _DATA


def open_data(folder: Path, flags: int) -> int:
    """Open the data file of a session, and return its descriptor.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN.
    """
    try:
        return os.open(data_path(folder), flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None


def size_if_named(descriptor: int, folder: Path) -> int:
    """The size of an open data file, if that is its name, and its only one.

    Another process may have finished or cancelled the upload between the open and the lock. Then the file is a blob
    now, or was deleted, and must not be written.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN.
    """
    status = os.fstat(descriptor)
    try:
        named = data_path(folder).lstat()
    except FileNotFoundError:
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None
    if not os.path.samestat(named, status) or has_more_names(status):
        raise NotFound("BLOB_UPLOAD_UNKNOWN")
    return status.st_size


def has_more_names(status: os.stat_result) -> bool:
    """Whether a data file has another name."""
    return status.st_nlink > 1


def durable_size(folder: Path) -> int:
    """Make a session's data file durable and return its size. It needs no lock.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN.
        SyncFailedError: an fsync failed.
    """
    descriptor = open_data(folder, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        if has_more_names(status):
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        sync_file(descriptor)
        return status.st_size
    finally:
        os.close(descriptor)


def remove_name(folder: Path) -> bool:
    """Remove the name of a data file that has another one. Return whether it had."""
    path = data_path(folder)
    try:
        if not has_more_names(path.lstat()):
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def modified_time(status: os.stat_result) -> datetime:
    """The time that a file was last written, in UTC."""
    return datetime.fromtimestamp(status.st_mtime, UTC)


def sync_file(descriptor: int) -> None:
    """Make an open file durable.

    Raises:
        SyncFailedError: the fsync failed.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncFailedError(error.strerror) from error

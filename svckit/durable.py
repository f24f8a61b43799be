"""Writes small files so that they are complete or do not exist, even after a crash; others without more disk space.

For the first kind, the data goes into a temporary file, which is synced and renamed; then the folder is synced.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create_file(path: Path, data: bytes, *, mode: int, group: int = -1) -> None:
    """Creates a new file. An existing file is not changed.

    Args:
        path: of the file.
        data: its content.
        mode: of the file.
        group: the id of its group; -1 for the one that the system gives it.

    Raises:
        FileExistsError: the file exists.
        OSError: the file cannot be written.
    """
    with _temporary_file(path, data, mode, group) as temporary:
        # link is used instead of rename, which would replace a file that another process has just created.
        os.link(temporary, path)
        sync_folder(path.parent)


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Creates the file or replaces it. A reader sees either the old or the new file.

    Raises:
        OSError: the file cannot be written.
    """
    with _temporary_file(path, data, mode) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Renames a file in its folder. It replaces the target: a reader sees either the old or the new file.

    Raises:
        OSError: the file cannot be renamed.
    """
    source.replace(target)
    sync_folder(target.parent)


def overwrite_file(path: Path, data: bytes, *, mode: int) -> None:
    """Writes a file in its place, for content that is written again at each start.

    On most file systems this needs no free space if the file had this size before. A crash in the middle leaves part of
    the new content.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        _write_in_place(descriptor, data)
    finally:
        os.close(descriptor)


def write_process_id(descriptor: int) -> None:
    """Writes the id of this process into a lock file. On a full disk the file stays empty: only the lock matters."""
    try:
        _write_in_place(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Rather no number than that of another process.
        os.ftruncate(descriptor, 0)


def temporary_name(path: Path, unique: str) -> str:
    """The name of the temporary file for a file: the one that a kill in the middle leaves. `*` for all of them."""
    return f".{path.name}.{unique}"


def sync_folder(folder: Path) -> None:
    """Syncs a folder, so that the names in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_in_place(descriptor: int, data: bytes) -> None:
    # Not truncated first: on a full disk, another program could take the space meanwhile.
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)
    os.ftruncate(descriptor, len(data))


@contextmanager
def _temporary_file(path: Path, data: bytes, mode: int, group: int = -1) -> Iterator[Path]:
    # mkstemp creates the file with mode 0600, so a secret is never readable by others.
    descriptor, name = tempfile.mkstemp(prefix=temporary_name(path, ""), dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)

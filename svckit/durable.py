"""Writes small files so that they are complete or do not exist, even after a crash.

The data goes into a temporary file, which is synced and renamed; then the folder is synced.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create_file(path: Path, data: bytes, *, mode: int) -> None:
    """Creates a new file. An existing file is not changed.

    Raises:
        FileExistsError: the file exists.
        OSError: the file cannot be written.
    """
    with _temporary_file(path, data, mode) as temporary:
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


def sync_folder(folder: Path) -> None:
    """Syncs a folder, so that the names in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary_file(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    # mkstemp creates the file with mode 0600, so a secret is never readable by others.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)

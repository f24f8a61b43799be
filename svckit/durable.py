"""Small files that are whole or not there, whatever is killed when: written aside, synced, renamed, folder synced."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create_file(path: Path, data: bytes, *, mode: int) -> None:
    """Makes a new file, and refuses to touch one that is there.

    Raises:
        FileExistsError: if there is one.
        OSError: if it cannot be written.
    """
    with _written_aside(path, data, mode) as temporary:
        # link and not rename: rename would take the place of what another process has just made.
        os.link(temporary, path)
        sync_folder(path.parent)


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Makes the file, or takes the place of the one that is there. A reader sees the old one or the new one.

    Raises:
        OSError: if it cannot be written.
    """
    with _written_aside(path, data, mode) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written_aside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    # mkstemp gives mode 0600 from the first moment, so a secret is never readable by others, not even for an instant.
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

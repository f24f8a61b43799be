"""A disk of its own for a test, so small that the test can fill it. It needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.programs import lacks

_PIECE = bytes(64 * 1024)


class SmallDisk:
    """A file system in memory.

    Attributes:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Takes all the space that is left."""
        file = self.folder / "filled"
        with file.open("ab", buffering=0) as output:
            for piece in (_PIECE, _PIECE[:512]):
                while self._takes(output.fileno(), piece):
                    pass
        assert self.free_bytes() == 0

    def empty(self) -> None:
        """Gives the space back that `fill` took."""
        (self.folder / "filled").unlink()

    def free_bytes(self) -> int:
        """The space that is left."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    @staticmethod
    def _takes(descriptor: int, piece: bytes) -> bool:
        try:
            return os.write(descriptor, piece) > 0
        except OSError:
            return False


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mounts a disk of this size inside the block; skips the test without the right to."""
    if os.geteuid() != 0:
        pytest.skip("a small disk has to be mounted, which needs root: run `make test` as root")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        lacks(f"a small disk cannot be mounted on this machine: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

"""A loss of power: what was synced is left, and nothing else."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class _Synced:
    """What a folder, a file or a link had when it was synced last.

    Attributes:
        turn: which sync it was.
        names: of a folder, with the inode of each.
        content: of a file, or the target of a link.
    """

    turn: int
    kind: int
    names: dict[str, int] = field(default_factory=dict)
    content: bytes = b""


class Power:
    """Notes each sync below a folder. The file system is the worst that is allowed: it keeps only what was synced.

    Links have no sync of their own: they come with the folder that they are in. A rename is atomic, so a file has one
    name: that of the folder that was synced last.

    Attributes:
        before_sync: called before each sync.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Everything that is there already counts as synced."""
        self.root = root
        self.before_sync: Callable[[], None] = lambda: None
        self.turns = 0
        self._synced: dict[int, _Synced] = {}
        self._pinned: list[int] = []
        for path in [root, *root.rglob("*")]:
            self._note(path)
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def close(self) -> None:
        for descriptor in self._pinned:
            os.close(descriptor)

    def leave(self, target: Path, *ahead: Path) -> Path:
        """Write what a loss of power would leave now to a new folder.

        Args:
            target: the new folder.
            ahead: folders of which the file system has written everything, although nobody has asked it to.
        """
        asked = dict(self._synced)
        for folder in ahead:
            for path in [folder, *folder.rglob("*")]:
                self._note(path)
        try:
            self._leave(target)
        finally:
            self._synced = asked
        return target

    def _leave(self, target: Path) -> None:
        inode = self.root.stat().st_ino
        homes: dict[int, tuple[int, int]] = {}
        for folder, synced in self._synced.items():
            for child in synced.names.values():
                homes[child] = max(homes.get(child, (0, 0)), (synced.turn, folder))
        self._build(inode, target, homes)

    def _build(self, inode: int, path: Path, homes: dict[int, tuple[int, int]]) -> None:
        synced = self._synced[inode]
        if stat.S_ISLNK(synced.kind):
            path.symlink_to(synced.content.decode())
        elif stat.S_ISREG(synced.kind):
            path.write_bytes(synced.content)
        else:
            path.mkdir()
            for name, child in synced.names.items():
                if homes[child][1] == inode:
                    self._build(child, path / name, homes)

    def _sync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == self.root or self.root in path.parents:
            self.before_sync()
            self._note(path)
        self._fsync(descriptor)

    def _note(self, path: Path) -> None:
        self.turns += 1
        status = path.lstat()
        synced = _Synced(self.turns, status.st_mode)
        self._synced[status.st_ino] = synced
        self._pin(path)
        if not stat.S_ISDIR(status.st_mode):
            synced.content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()  # noqa: PTH115
            return
        for child in path.iterdir():
            # One that is renamed meanwhile has no name any more.
            with suppress(FileNotFoundError):
                self._name(synced, child)

    def _name(self, synced: _Synced, child: Path) -> None:
        status = os.fstat(self._pin(child))
        synced.names[child.name] = status.st_ino
        is_link = stat.S_ISLNK(status.st_mode)
        if status.st_ino not in self._synced or is_link:
            content = os.readlink(child).encode() if is_link else b""  # noqa: PTH115
            self._synced[status.st_ino] = _Synced(self.turns, status.st_mode, content=content)

    def _pin(self, path: Path) -> int:
        # While it is open, no other file gets its inode.
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        self._pinned.append(descriptor)
        return descriptor

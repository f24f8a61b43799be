"""Files in the folder of blobsvc's store, as its placements name them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from svckit.store_id import read_store_id


class PlacedFile(NamedTuple):
    """A finished blob in the folder of a store, as blobsvc has named it.

    Attributes:
        store_id: the id of the store.
        path: relative to the folder.
        inode: of the file.
        size_bytes: of the file.
    """

    store_id: str
    path: str
    inode: int
    size_bytes: int

    def is_that_of(self, status: os.stat_result) -> bool:
        """Whether this is the status of the file that blobsvc named."""
        return (status.st_ino, status.st_size) == (self.inode, self.size_bytes) and stat.S_ISREG(status.st_mode)


class OtherStoreError(Exception):
    """The folder is not that of blobsvc's store. The text says why."""


def open_placed(folder: Path, store_id: str, path: str, flags: int) -> int:
    """Opens the file of a placement, and returns its descriptor. It blocks.

    Args:
        folder: the folder of the store.
        store_id: the id that the store must have.
        path: relative to the folder.
        flags: as for `os.open`.

    Raises:
        OtherStoreError: the folder does not hold that store, or the path leads out of it.
        OSError: the file cannot be opened.
    """
    _require_store(store_id, _id_of(folder))
    return os.open(_joined(folder, path), flags | os.O_CLOEXEC | os.O_NOFOLLOW)


def look_at(folder: Path, places: Sequence[PlacedFile]) -> list[bool | OtherStoreError]:
    """Whether each file is still the one that blobsvc named; or why the folder is not that of its store. It blocks.

    The same file is looked at once. Each look gives the interpreter's lock away, and has to wait to get it back.
    """
    try:
        found = _id_of(folder)
    except OtherStoreError as error:
        return [error] * len(places)
    outcomes = {place: _look_at(folder, found, place) for place in dict.fromkeys(places)}
    return [outcomes[place] for place in places]


def _look_at(folder: Path, found: str, place: PlacedFile) -> bool | OtherStoreError:
    try:
        _require_store(place.store_id, found)
        # A symlink is no regular file, wherever it leads.
        return place.is_that_of(os.lstat(_joined(folder, place.path)))
    except OtherStoreError as error:
        return error
    except OSError:
        return False


def _id_of(folder: Path) -> str:
    try:
        return read_store_id(folder)
    except OSError as error:
        raise OtherStoreError(f"its store-id cannot be read: {error.strerror}") from error


def _require_store(wanted: str, found: str) -> None:
    if found != wanted:
        raise OtherStoreError(f"blobsvc has the store {wanted}, and the folder {found}")


def _joined(folder: Path, path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise OtherStoreError("blobsvc named a path that is not in it")
    return f"{folder}/{path}"

"""Files in the folder of blobsvc's store, as its placements name them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from svckit.store_id import read_store_id


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
    try:
        found = read_store_id(folder)
    except OSError as error:
        raise OtherStoreError(f"its store-id cannot be read: {error.strerror}") from error
    if found != store_id:
        raise OtherStoreError(f"blobsvc has the store {store_id}, and the folder {found}")
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise OtherStoreError("blobsvc named a path that is not in it")
    return os.open(folder.joinpath(*parts), flags | os.O_CLOEXEC | os.O_NOFOLLOW)

"""The folder of blobsvc's store, as far as this process can use it itself."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from gateway.wire.file_body import FileBody, FileReads, OpenFile
from gateway.wire.measure import HttpMetrics
from roadstead.blob.v1 import placement_pb2
from svckit.errors import error_for
from svckit.logging import get_logger
from svckit.store_id import read_store_id
from svckit.threads import BlockingPool

_log = get_logger(__name__)

# A disk that hangs must not keep all requests waiting for ever.
_OPEN_SECONDS = 30.0


class OtherStoreError(Exception):
    """The folder is not that of blobsvc's store. The text says why."""


class BlobFolder:
    """Opens the files that blobsvc's placements name.

    A placement is used only if the folder has the store that it names, and the file is the one that it names. So a
    wrong folder costs a look, and the bytes then come over gRPC.
    """

    def __init__(self, folder: Path, metrics: HttpMetrics, *, threads: int = 8) -> None:
        """Takes the folder, which need not exist yet.

        Args:
            folder: the folder.
            metrics: counts bytes.
            threads: how many threads open files, and read what is not in memory.
        """
        self._folder = folder
        self._sent_bytes = metrics.blob_sent_bytes.labels("file")
        self._reads = FileReads(BlockingPool("blob-files", threads))
        self._problem = ""

    async def body(
        self,
        place: placement_pb2.ReadPlacement.File,
        parts: Sequence[bytes | range],
        on_short: Callable[[], Awaitable[None]],
    ) -> FileBody | None:
        """Opens a finished blob, as the body of an answer; None if it must be read in another way.

        Args:
            place: where it is.
            parts: see `FileBody`.
            on_short: see `FileBody`.

        Raises:
            DomainError: UNAVAILABLE, the disk does not answer.
        """
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                file = await self._reads.pool.acquire(partial(_open, self._folder, place), _close)
        except TimeoutError:
            raise error_for("UNAVAILABLE", "the blob folder does not answer") from None
        except OtherStoreError as error:
            self._note(str(error))
            return None
        self._note("")
        if file is None:
            return None
        return FileBody(self._reads, file, parts, on_short=on_short, on_sent=self._sent_bytes.inc)

    def _note(self, problem: str) -> None:
        # Logged when it changes only, because it is found out for each request.
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            _log.warning("blob folder not used", folder=str(self._folder), why=problem)
        else:
            _log.info("blob folder used", folder=str(self._folder))


def _open(folder: Path, place: placement_pb2.ReadPlacement.File) -> OpenFile | None:
    try:
        descriptor = open_placed(folder, place.store_id, place.path, os.O_RDONLY)
    except OSError:
        # Such as a file that was deleted in this moment. The other way says what is wrong.
        return None
    status = os.fstat(descriptor)
    if (status.st_ino, status.st_size) != (place.inode, place.size_bytes) or not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    return OpenFile(descriptor)


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


def _close(file: OpenFile | None) -> None:
    if file is not None:
        file.close()

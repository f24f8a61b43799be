"""The folder of blobsvc's store, as far as this process can use it itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from gateway.clients.file_looks import FileLooks
from gateway.clients.staging_file import StagingFile
from gateway.clients.store_folder import OtherStoreError, PlacedFile, open_placed
from gateway.wire.file_body import FileBody, FileReads, OpenFile
from gateway.wire.measure import HttpMetrics
from roadstead.blob.v1 import placement_pb2
from svckit.errors import error_for
from svckit.logging import get_logger
from svckit.threads import BlockingPool

_log = get_logger(__name__)

# A disk that hangs must not keep all requests waiting for ever.
_OPEN_SECONDS = 30.0
_LOOKING_THREADS = 2


class BlobFolder:
    """Opens the files that blobsvc's placements name.

    A placement is used only if the folder has the store that it names, and the file is the one that it names. So a
    wrong folder costs a look, and the bytes then go over gRPC.

    Attributes:
        writing: the threads that write staging files.
    """

    def __init__(self, folder: Path, metrics: HttpMetrics, *, held_pieces: int = 1, threads: int = 8) -> None:
        """Takes the folder, which need not exist yet.

        Args:
            folder: the folder.
            metrics: counts bytes.
            held_pieces: how many pieces of a body the HTTP server holds while its client does not read.
            threads: how many threads open files and read what is not in memory, and how many write.
        """
        self._folder = folder
        self._sent_bytes = metrics.blob_sent_bytes.labels("file")
        self._reads = FileReads(BlockingPool("blob-files", threads), held_pieces)
        # Threads of their own, so that no look waits for bytes that come from the disk.
        self._looks = FileLooks(folder, BlockingPool("blob-looks", _LOOKING_THREADS), _OPEN_SECONDS)
        self.writing = BlockingPool("staging-files", threads)
        self._problem = ""

    async def body(
        self,
        place: PlacedFile,
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

    async def has(self, place: PlacedFile) -> bool:
        """Whether a finished blob is still the file that blobsvc named.

        Raises:
            DomainError: UNAVAILABLE, the disk does not answer.
        """
        try:
            found = await self._looks.is_there(place)
        except OtherStoreError as error:
            self._note(str(error))
            return False
        self._note("")
        return found

    async def take(self, place: placement_pb2.WritePlacement.File) -> StagingFile | None:
        """Opens and locks the staging file of an upload; None if it must be written in another way.

        Raises:
            DomainError: UPLOAD_CONFLICT, BLOB_UPLOAD_UNKNOWN as `StagingFile.take`; UNAVAILABLE, the disk does not
                answer.
        """
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                file = await self.writing.acquire(partial(StagingFile.take, self._folder, place), StagingFile.release)
        except TimeoutError:
            raise error_for("UNAVAILABLE", "the blob folder does not answer") from None
        except OtherStoreError as error:
            self._note(str(error))
            return None
        except OSError as error:
            # Such as a folder that this process can only read.
            self._note(f"a staging file cannot be opened: {error.strerror}")
            return None
        self._note("")
        return file

    def _note(self, problem: str) -> None:
        # Logged when it changes only, because it is found out for each request.
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            _log.warning("blob folder not used", folder=str(self._folder), why=problem)
        else:
            _log.info("blob folder used", folder=str(self._folder))


def _open(folder: Path, place: PlacedFile) -> OpenFile | None:
    try:
        descriptor = open_placed(folder, place.store_id, place.path, os.O_RDONLY)
    except OSError:
        # Such as a file that was deleted in this moment. The other way says what is wrong.
        return None
    if not place.is_that_of(os.fstat(descriptor)):
        os.close(descriptor)
        return None
    return OpenFile(descriptor)


def _close(file: OpenFile | None) -> None:
    if file is not None:
        file.close()

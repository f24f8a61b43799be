"""Uploads in a file system (`domain.ports.UploadWriter`)."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from blobsvc.domain.generation import GenerationClock
from blobsvc.domain.model import StoredBlob, Upload, UploadId, UploadOwner
from blobsvc.domain.placement import STREAM_ONLY, WriteFilePlacement, WritePlacement
from blobsvc.store.filesystem.appender import FileAppender
from blobsvc.store.filesystem.commit import finish_held, finished_blob, release_taken, take_and_finish
from blobsvc.store.filesystem.data_file import SyncFailedError, data_path, durable_size
from blobsvc.store.filesystem.follower import FileFollower, FollowedFile
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.progress import Progress
from blobsvc.store.filesystem.session import (
    HeldSession,
    append_at_once,
    create_session,
    remove_session,
    remove_unusable,
)
from svckit.disk import disk_failures
from svckit.errors import Conflict, Invalid, NotFound, Unavailable
from svckit.logging import get_logger
from svckit.oci.digest import Digest
from svckit.threads import BlockingPool

Taken = TypeVar("Taken")

_log = get_logger(__name__)

# How long finish and cancel wait for the lock. A writer whose stream has just broken releases it soon, and so does the
# first of two finishes. Another process may hold the lock, so there is no event to wait for.
_LOCK_WAIT_SECONDS = 10.0
_RETRY_SECONDS = 0.02


class FileUploads:
    """The uploads of one store."""

    def __init__(
        self, layout: Layout, pool: BlockingPool, metrics: StoreMetrics, *, remembered_uploads: int = 1024
    ) -> None:
        """Takes the parts of the store.

        Args:
            layout: the paths of the store.
            pool: the threads for blocking work.
            metrics: the metrics of the store.
            remembered_uploads: for how many sessions the running hash is kept in memory between two calls. The bytes of
                other sessions are read and hashed again when the upload is finished.
        """
        self._layout = layout
        self._pool = pool
        self._metrics = metrics
        self._generations = GenerationClock()
        self._remembered_uploads = remembered_uploads
        self._endings: set[asyncio.Task[None]] = set()
        self._progress: OrderedDict[UploadId, Progress] = OrderedDict()

    async def start(self, owner: UploadOwner, algorithm: str) -> Upload:
        """As the port says. The session is durable after its first commit."""
        upload = Upload(
            id=UploadId.new(),
            owner=owner,
            algorithm=algorithm,
            generation=self._generations.next(),
            start_time=datetime.now(UTC),
        )
        with disk_failures():
            inode = await self._pool.run(create_session, self._layout.upload(upload.id), upload)
        progress = Progress.of(upload)
        progress.inode = inode
        self._remember(upload.id, progress)
        return upload

    @asynccontextmanager
    async def open(self, upload_id: UploadId, offset: int | None = None) -> AsyncIterator[FileAppender]:
        """As the port says."""
        async with self._held(upload_id, wait_seconds=0) as session:
            await self._require_offset(session, offset)
            appender = FileAppender(session, self._pool)
            try:
                yield appender
            finally:
                await asyncio.shield(asyncio.ensure_future(appender.settle()))

    async def append(self, upload_id: UploadId, data: bytes, offset: int | None = None) -> int:
        """As the port says. In one call of a thread: `open` needs four, and each costs more than the write."""
        folder, known = self._layout.upload(upload_id), self._progress.get(upload_id)
        try:
            with disk_failures():
                progress, size_bytes = await self._pool.run(append_at_once, folder, known, self._metrics, offset, data)
        except NotFound:
            await self._require_store()
            raise
        except SyncFailedError:
            async with self._held(upload_id, wait_seconds=_LOCK_WAIT_SECONDS):
                raise
        self._remember(upload_id, progress)
        return size_bytes

    @asynccontextmanager
    async def follow(self, upload_id: UploadId, offset: int | None = None) -> AsyncIterator[FileFollower]:
        """As the port says. The lock is released again before the block begins, because the writer takes it."""
        async with self._held(upload_id, wait_seconds=0) as session:
            await self._require_offset(session, offset)
            progress = session.progress
            placement = self._placement(upload_id, session.inode, session.size_bytes)
            opening = partial(FollowedFile, session.folder, progress, self._metrics)
            with disk_failures():
                file = await self._pool.acquire(opening, FollowedFile.close)
        follower = FileFollower(file, placement, self._pool, self._metrics)
        try:
            with self._metrics.uploads_held.track_inprogress():
                yield follower
        except SyncFailedError as error:
            self._end_when_free(upload_id)
            raise _lost(upload_id, error) from error
        finally:
            await asyncio.shield(asyncio.ensure_future(self._close(follower, file)))

    async def placements(self, upload: Upload) -> tuple[WritePlacement, ...]:
        """As the port says."""
        known = self._progress.get(upload.id)
        if known is not None and known.inode is not None:
            return (self._placement(upload.id, known.inode, 0), *STREAM_ONLY)
        return STREAM_ONLY

    async def status(self, upload_id: UploadId) -> int:
        """As the port says. While somebody writes, it is the size written so far."""
        try:
            with disk_failures():
                return await self._pool.run(durable_size, self._layout.upload(upload_id))
        except SyncFailedError:
            async with self._held(upload_id, wait_seconds=_LOCK_WAIT_SECONDS):
                raise
        except NotFound:
            await self._require_store()
            raise

    async def finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None = None) -> StoredBlob:
        """As the port says. If the call is cancelled, either the session or the finished blob exists."""
        try:
            return await self._finish(upload_id, digest, expected_size_bytes)
        except NotFound:
            await self._require_store()
            # It may have been finished before, perhaps by a process that died before it answered.
            with disk_failures():
                blob = await self._pool.run(finished_blob, self._layout, upload_id, digest)
            if blob is None:
                raise
            return blob

    async def cancel(self, upload_id: UploadId) -> None:
        """As the port says."""
        async with self._held(upload_id, wait_seconds=_LOCK_WAIT_SECONDS) as session:
            await self._end(session, "cancelled")

    async def expire(self, upload_id: UploadId, *, started_before: datetime, idle_since: datetime) -> bool:
        """End a session if it has expired and nobody holds its lock. Return whether it was ended."""
        try:
            async with self._held(upload_id, wait_seconds=0) as session:
                upload = session.progress.upload
                with disk_failures():
                    last_write = await self._pool.run(session.last_write)
                if upload.start_time >= started_before and last_write >= idle_since:
                    return False
                await self._end(session, "expired")
                return True
        except Conflict:
            return False
        except NotFound:
            with disk_failures():
                return await self._pool.run(remove_unusable, self._layout.upload(upload_id))

    async def _finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None) -> StoredBlob:
        take = partial(take_and_finish, self._layout, self._taking(upload_id), digest, expected_size_bytes)
        try:
            taken = await self._acquire(take, release_taken, _LOCK_WAIT_SECONDS)
            if isinstance(taken, HeldSession):
                blob = await self._finish_large(upload_id, taken, digest, expected_size_bytes)
            else:
                blob = taken
        except Invalid as error:
            if error.reason == "DIGEST_INVALID":
                self._note_end(upload_id, "mismatched")
            raise
        except SyncFailedError as error:
            self._note_end(upload_id, "failed")
            raise _lost(upload_id, error) from error
        self._note_end(upload_id, "finished")
        return blob

    async def _finish_large(
        self, upload_id: UploadId, session: HeldSession, digest: Digest, expected_size_bytes: int | None
    ) -> StoredBlob:
        # A caller whose time is up repeats the finish, which then goes on where this one has stopped.
        self._remember(upload_id, session.progress)
        finish = partial(finish_held, self._layout, session, digest, expected_size_bytes)
        try:
            with disk_failures():
                while (blob := await self._pool.run(finish)) is None:
                    pass
        finally:
            await asyncio.shield(self._pool.run(session.release))
        return blob

    async def _require_offset(self, session: HeldSession, offset: int | None) -> None:
        if offset is not None and offset != session.size_bytes:
            with disk_failures():
                await self._pool.run(session.require_offset, offset)

    def _placement(self, upload_id: UploadId, inode: int, size_bytes: int) -> WriteFilePlacement:
        path = self._layout.relative(data_path(self._layout.upload(upload_id)))
        return WriteFilePlacement(path, self._layout.store_id, inode, size_bytes)

    async def _close(self, follower: FileFollower, file: FollowedFile) -> None:
        await follower.settle()
        await self._pool.run(file.close)

    def _end_when_free(self, upload_id: UploadId) -> None:
        """End a session in the background, once its writer has released the lock."""

        async def end() -> None:
            async with self._held(upload_id, wait_seconds=_LOCK_WAIT_SECONDS) as session:
                await self._end(session, "failed")

        task = asyncio.ensure_future(end())
        self._endings.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._endings.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("upload_not_ended", error=str(error))

    async def _end(self, session: HeldSession, how: str) -> None:
        with disk_failures():
            await self._pool.run(remove_session, session.folder)
        self._note_end(session.progress.upload.id, how)

    def _note_end(self, upload_id: UploadId, how: str) -> None:
        self._progress.pop(upload_id, None)
        self._metrics.uploads_ended.labels(how).inc()

    @asynccontextmanager
    async def _held(self, upload_id: UploadId, *, wait_seconds: float) -> AsyncIterator[HeldSession]:
        try:
            session = await self._acquire(self._taking(upload_id), HeldSession.release, wait_seconds)
        except NotFound:
            await self._require_store()
            raise
        self._remember(upload_id, session.progress)
        try:
            yield session
        except SyncFailedError as error:
            await self._end(session, "failed")
            raise _lost(upload_id, error) from error
        finally:
            await asyncio.shield(self._pool.run(session.release))

    def _taking(self, upload_id: UploadId) -> Callable[[], HeldSession]:
        return partial(HeldSession.take, self._layout.upload(upload_id), self._progress.get(upload_id), self._metrics)

    async def _acquire(self, take: Callable[[], Taken], release: Callable[[Taken], None], wait_seconds: float) -> Taken:
        """Run a function that takes the lock of a session, again and again until the lock is free."""
        give_up = time.monotonic() + wait_seconds
        while True:
            try:
                with disk_failures():
                    return await self._pool.acquire(take, release)
            except Conflict:
                if time.monotonic() >= give_up:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def _require_store(self) -> None:
        # A client that hears that its upload is unknown starts again. It must not hear that because a disk is away.
        with disk_failures():
            await self._pool.run(self._layout.require_store)

    def _remember(self, upload_id: UploadId, progress: Progress) -> None:
        self._progress[upload_id] = progress
        self._progress.move_to_end(upload_id)
        while len(self._progress) > self._remembered_uploads:
            self._progress.popitem(last=False)


def _lost(upload_id: UploadId, error: SyncFailedError) -> Unavailable:
    _log.error("upload_lost", upload_id=str(upload_id), error=str(error))
    return Unavailable(message="the blob store has lost the upload; start it again")

"""Lists and deletes blobs and expires uploads in a file system (`domain.ports.BlobAdmin`)."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import (
    BlobKey,
    BlobPage,
    ExpiredPage,
    ExpiredUpload,
    StoredBlob,
    UnfinishedUpload,
    UnlinkedBlob,
    UploadId,
    UploadOwner,
)
from blobsvc.domain.ports import Capacity
from blobsvc.store.filesystem.commit import stat_blob_file
from blobsvc.store.filesystem.data_file import data_path, has_more_names, modified_time
from blobsvc.store.filesystem.finished import settle_records, unlinked_page
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.session import read_record, record_path, remove_session
from blobsvc.store.filesystem.uploads import FileUploads
from svckit.disk import disk_failures
from svckit.durable import sync_folder
from svckit.errors import NotFound
from svckit.oci.digest import ALGORITHMS, Digest
from svckit.oci.errors import DigestInvalidError
from svckit.threads import BlockingPool

# The most files that one page looks at. Without it, a call whose filter leaves out nearly all blobs would take minutes.
_EXAMINED_PER_PAGE = 10_000


class FileBlobAdmin:
    """The administration of one store."""

    def __init__(self, layout: Layout, pool: BlockingPool, uploads: FileUploads) -> None:
        """Takes the parts of the store.

        Args:
            layout: the paths of the store.
            pool: the threads for blocking work.
            uploads: the uploads of the same store.
        """
        self._layout = layout
        self._pool = pool
        self._uploads = uploads
        self._owners: dict[UploadId, UploadOwner] = {}

    async def capacity(self) -> Capacity:
        """As the port says."""
        with disk_failures():
            status = await self._pool.run(os.statvfs, self._layout.root)
        return Capacity(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize)

    async def list(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[StoredBlob]:
        """As the port says."""
        with disk_failures():
            return await self._pool.run(_page, self._layout, after, limit, finished_before)

    async def delete(self, key: BlobKey) -> None:
        """As the port says."""
        with disk_failures():
            await self._pool.run(_delete, self._layout, key)

    async def list_unfinished(self) -> Sequence[UnfinishedUpload]:
        """As the port says."""
        with disk_failures():
            found = await self._pool.run(_unfinished, self._layout, self._owners)
        # A record never changes, so it is read once and not at each call.
        self._owners = {upload.id: upload.owner for upload in found}
        return found

    async def list_unlinked(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[UnlinkedBlob]:
        """As the port says."""
        with disk_failures():
            return await self._pool.run(unlinked_page, self._layout, after, limit, finished_before)

    async def settle(self, keys: Iterable[BlobKey]) -> None:
        """As the port says."""
        with disk_failures():
            await self._pool.run(settle_records, self._layout, tuple(keys))

    async def expire_uploads(
        self,
        *,
        started_before: datetime,
        idle_since: datetime,
        finished_before: datetime,
        after: UploadId | None = None,
        limit: int = 1000,
        dry_run: bool = False,
    ) -> ExpiredPage:
        """As the port says."""
        look = partial(
            _due,
            self._layout,
            started_before=started_before,
            idle_since=idle_since,
            finished_before=None if dry_run else finished_before,
            after=after,
            limit=limit,
        )
        with disk_failures():
            due = await self._pool.run(look)
        if dry_run:
            return due
        ended = [
            upload
            for upload in due.uploads
            if await self._uploads.expire(upload.id, started_before=started_before, idle_since=idle_since)
        ]
        return ExpiredPage(tuple(ended), due.next_after)


def _page(layout: Layout, after: BlobKey | None, limit: int, finished_before: datetime | None) -> BlobPage[StoredBlob]:
    layout.require_store()
    blobs: list[StoredBlob] = []
    last = after
    for examined, key in enumerate(_keys(layout, after)):
        if len(blobs) == limit or examined == _EXAMINED_PER_PAGE:
            return BlobPage(tuple(blobs), last)
        last = key
        blob = stat_blob_file(layout.blob(key), key)
        if blob is not None and (finished_before is None or blob.create_time < finished_before):
            blobs.append(blob)
    return BlobPage(tuple(blobs), None)


def _keys(layout: Layout, after: BlobKey | None) -> Iterator[BlobKey]:
    """All keys after `after`, in order. Other files and folders, such as `lost+found`, are skipped."""
    for algorithm in sorted(ALGORITHMS):
        if after is not None and algorithm < after.digest.algorithm:
            continue
        from_hex = after.digest.hex if after is not None and algorithm == after.digest.algorithm else ""
        root = layout.blobs / algorithm
        for prefix in _names(root):
            if prefix < from_hex[:2]:
                continue
            for digits in _names(root / prefix):
                if digits < from_hex or not digits.startswith(prefix):
                    continue
                yield from (
                    key for key in _generations(root / prefix / digits, algorithm) if after is None or key > after
                )


def _generations(folder: Path, algorithm: str) -> Iterator[BlobKey]:
    try:
        digest = Digest(algorithm, folder.name)
    except DigestInvalidError:
        return
    for name in _names(folder):
        try:
            yield BlobKey(digest, Generation.parse(name))
        except ValueError:
            continue


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        # A delete has removed the folder in the meantime.
        return []


def _unfinished(layout: Layout, owners: Mapping[UploadId, UploadOwner]) -> list[UnfinishedUpload]:
    layout.require_store()
    found = []
    for name in _names(layout.uploads):
        # Left out: folders of another kind, finished sessions, and those that end meanwhile or take no more bytes.
        with suppress(ValueError, FileNotFoundError, NotADirectoryError, NotFound):
            upload_id = UploadId(name)
            folder = layout.upload(upload_id)
            status = data_path(folder).lstat()
            owner = owners.get(upload_id) or read_record(folder).owner
            if not has_more_names(status):
                found.append(UnfinishedUpload(upload_id, owner, status.st_size))
    return found


def _delete(layout: Layout, key: BlobKey) -> None:
    path = layout.blob(key)
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        layout.require_store()
    with suppress(OSError):
        # This fails if the folder holds another generation. A commit makes the folder again if it is gone.
        path.parent.rmdir()
    # Also if the file was gone already: the process that deleted it may have died before it synced the folder.
    for folder in (path.parent, *layout.folders_above(path.parent)):
        with suppress(FileNotFoundError, NotADirectoryError):
            sync_folder(folder)
            return


def _due(
    layout: Layout,
    *,
    started_before: datetime,
    idle_since: datetime,
    finished_before: datetime | None,
    after: UploadId | None,
    limit: int,
) -> ExpiredPage:
    """The sessions that may have expired. Old records of finished uploads and of interrupted starts are removed.

    This reads only the times of files. `FileUploads.expire` checks each session again under its lock. Without
    `finished_before`, nothing is removed.
    """
    layout.require_store()
    due: list[ExpiredUpload] = []
    for name in _names(layout.uploads):
        try:
            upload_id = UploadId(name)
        except ValueError:
            continue
        if after is not None and upload_id <= after:
            continue
        if len(due) == limit:
            return ExpiredPage(tuple(due), due[-1].id)
        folder = layout.upload(upload_id)
        status = _status_of(data_path(folder))
        if status is None:
            ended = _status_of(folder)
            if finished_before is not None and ended is not None and modified_time(ended) < finished_before:
                remove_session(folder)
            continue
        record = _status_of(record_path(folder))
        start = None if record is None else modified_time(record)
        if modified_time(status) < idle_since or start is None or start < started_before:
            due.append(_expired(folder, upload_id, status))
    return ExpiredPage(tuple(due), None)


def _expired(folder: Path, upload_id: UploadId, status: os.stat_result) -> ExpiredUpload:
    upload = None
    with suppress(NotFound):
        upload = read_record(folder)
    return ExpiredUpload(
        id=upload_id,
        owner=None if upload is None else upload.owner,
        size_bytes=status.st_size,
        start_time=None if upload is None else upload.start_time,
        write_time=modified_time(status),
    )


def _status_of(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None

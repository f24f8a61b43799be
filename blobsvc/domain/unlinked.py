"""Bounds what uploads hold while no repository serves them: unfinished ones, and finished ones until they are settled.

The quota of a project is charged when a blob is linked. Without this bound, uploads that are never finished or linked
could fill the disk.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from blobsvc.domain.model import BlobKey, UploadId, UploadOwner
from blobsvc.domain.ports import BlobAdmin
from svckit.errors import error_for

PROJECT = "project"
SUBJECT = "subject"
OPEN = "open"
BOUNDS = (PROJECT, SUBJECT, OPEN)
"""The bounds, as metrics and errors name them."""

_Key = UploadId | BlobKey


@dataclass(frozen=True, slots=True)
class UnlinkedLimits:
    """The bounds.

    Attributes:
        project_bytes: for the uploads into one project.
        subject_bytes: for the uploads of one user or robot, into all projects.
        subject_open: how many uploads of one user or robot may be open. An open upload takes files even without bytes.
    """

    project_bytes: int
    subject_bytes: int
    subject_open: int


class RefusalRecorder(Protocol):
    """Records that an upload was refused."""

    def refused(self, owner: UploadOwner, bound: str) -> None:
        """One of `BOUNDS` would be exceeded."""


class UnlinkedBytes:
    """Counts the bytes of uploads in memory, by project and by subject.

    What this process does is counted at once. What other replicas do on the same store is seen at the next recount, and
    so are sessions that expired, and those from before a restart.

    Attributes:
        total_bytes: the bytes of all uploads that are counted.
    """

    def __init__(self, limits: UnlinkedLimits, recorder: RefusalRecorder) -> None:
        """Starts with no uploads; `recount` finds those that are stored."""
        self._limits = limits
        self._recorder = recorder
        self._entries: dict[_Key, tuple[UploadOwner, int]] = {}
        # By the id of a project, and by a subject.
        self._used: Counter[int | str] = Counter()
        self._open: Counter[str] = Counter()
        self.total_bytes = 0
        # The entries that have changed since a recount began. What it read of them may be older.
        self._changed: set[_Key] | None = None

    def require_room(self, owner: UploadOwner, size_bytes: int) -> None:
        """Check that the owner's uploads may have this many bytes more.

        Raises:
            DomainError: UPLOADS_EXCEEDED.
        """
        for bound, used, limit in (
            (PROJECT, self._used[owner.project_id], self._limits.project_bytes),
            (SUBJECT, self._used[owner.subject], self._limits.subject_bytes),
        ):
            if used + size_bytes > limit:
                self._recorder.refused(owner, bound)
                raise error_for(
                    "UPLOADS_EXCEEDED",
                    f"the unfinished uploads of this {bound} hold {used} bytes, and may hold {limit}: "
                    f"{size_bytes} more are too many",
                    metadata={"bound": bound, "used_bytes": str(used), "limit_bytes": str(limit)},
                )

    def require_start(self, owner: UploadOwner, size_bytes: int) -> None:
        """Check that the owner may start an upload of this size; 0 if it is unknown.

        Raises:
            DomainError: UPLOADS_EXCEEDED.
        """
        if self._open[owner.subject] >= self._limits.subject_open:
            self._recorder.refused(owner, OPEN)
            raise error_for(
                "UPLOADS_EXCEEDED",
                f"{self._limits.subject_open} uploads are open, and no more are allowed: finish or cancel some",
                metadata={"bound": OPEN, "limit": str(self._limits.subject_open)},
            )
        # One byte at least: without room for it, nothing could be written.
        self.require_room(owner, max(size_bytes, 1))

    @contextmanager
    def reserved(self, owner: UploadOwner, size_bytes: int) -> Iterator[None]:
        """Count bytes inside the block, so that others cannot take the room for them. Raises as `require_room`."""
        self.require_room(owner, size_bytes)
        self._add(owner, size_bytes)
        try:
            yield
        finally:
            self._add(owner, -size_bytes)

    def grow(self, upload_id: UploadId, owner: UploadOwner, size_bytes: int) -> None:
        """Count bytes that are about to be appended. Raises as `require_room`."""
        self.require_room(owner, size_bytes)
        _, before = self._entries.get(upload_id, (owner, 0))
        self.put(upload_id, owner, before + size_bytes)

    def grow_ahead(self, upload_id: UploadId, owner: UploadOwner, needed_bytes: int, wanted_bytes: int) -> int:
        """Count bytes that may be appended soon: all that are wanted if there is room, else those that are needed.

        Return how many were counted. Raises as `require_room`, if there is no room for those that are needed.
        """
        size_bytes = wanted_bytes if wanted_bytes <= self._room(owner) else needed_bytes
        if size_bytes:
            self.grow(upload_id, owner, size_bytes)
        return size_bytes

    def _room(self, owner: UploadOwner) -> int:
        return min(
            self._limits.project_bytes - self._used[owner.project_id],
            self._limits.subject_bytes - self._used[owner.subject],
        )

    def put(self, key: _Key, owner: UploadOwner, size_bytes: int) -> None:
        """Set the size of an upload."""
        self.remove(key)
        self._entries[key] = owner, size_bytes
        self._add(owner, size_bytes)
        if isinstance(key, UploadId):
            self._open[owner.subject] += 1

    def finish(self, upload_id: UploadId, key: BlobKey) -> None:
        """Note that an upload was finished. It counts until it is settled. A repeat changes nothing."""
        entry = self._entries.get(upload_id)
        if entry is not None:
            self.remove(upload_id)
            self.put(key, *entry)

    def remove(self, key: _Key) -> None:
        """Count an upload no more, because it has ended or is settled. Unknown ones are ignored."""
        if self._changed is not None:
            self._changed.add(key)
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        owner, size_bytes = entry
        self._add(owner, -size_bytes)
        if isinstance(key, UploadId):
            self._open[owner.subject] -= 1
            if not self._open[owner.subject]:
                del self._open[owner.subject]

    def _add(self, owner: UploadOwner, size_bytes: int) -> None:
        self.total_bytes += size_bytes
        for counted in (owner.project_id, owner.subject):
            self._used[counted] += size_bytes
            # Zeros are removed. Otherwise, every project and subject that ever pushed would stay in memory.
            if not self._used[counted]:
                del self._used[counted]

    async def recount(self, admin: BlobAdmin) -> None:
        """Count what the store holds.

        Raises:
            DomainError: UNAVAILABLE. Then the last count stays.
        """
        self._changed = set()
        try:
            found = await _stored(admin)
            changed = self._changed
        finally:
            self._changed = None
        for key in [key for key in self._entries if key not in found and key not in changed]:
            self.remove(key)
        for key, (owner, size_bytes) in found.items():
            if key not in changed:
                self.put(key, owner, size_bytes)


async def settle(admin: BlobAdmin, unlinked: UnlinkedBytes, keys: Iterable[BlobKey]) -> None:
    """Settle finished uploads: their bytes no longer count.

    Raises:
        DomainError: UNAVAILABLE.
    """
    settled = tuple(keys)
    await admin.settle(settled)
    for key in settled:
        unlinked.remove(key)


async def _stored(admin: BlobAdmin) -> dict[_Key, tuple[UploadOwner, int]]:
    found: dict[_Key, tuple[UploadOwner, int]] = {
        upload.id: (upload.owner, upload.size_bytes) for upload in await admin.list_unfinished()
    }
    after: BlobKey | None = None
    while True:
        page = await admin.list_unlinked(after=after)
        found |= {each.blob.key: (each.owner, each.blob.size_bytes) for each in page.blobs}
        after = page.next_after
        if after is None:
            return found

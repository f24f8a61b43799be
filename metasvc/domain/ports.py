"""The ports of the domain: a store, authsvc, blobsvc, a clock, and a few settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from svckit.configuration.values import Configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from metasvc.domain.lists import VisibleProjects
    from metasvc.domain.model import BlobKey, ServedBlob
    from metasvc.domain.review import ReviewPolicy
    from metasvc.domain.settled import SettledGenerations
    from metasvc.domain.store_memory import StoreMemory
    from metasvc.domain.unit import Store
    from svckit.tokens import Damage


class Clock(Protocol):
    """Gives the time."""

    def __call__(self) -> datetime:
        """Now, in UTC."""


class ProjectDirectory(Protocol):
    """The projects of authsvc, and who may push into them."""

    async def look_up(self, project_id: int) -> tuple[str, int]:
        """The project's name and its initial quota in bytes (`NO_LIMIT` for none).

        Raises:
            DomainError: PROJECT_UNKNOWN.
        """

    def ids(self) -> AsyncIterator[int]:
        """The ids of all projects."""

    async def delete(self, project_id: int) -> None:
        """Deletes a project. It is not an error if the project is already gone."""

    async def may_push(self, subject: str, project_id: int) -> bool:
        """Whether a user or robot may push into a project at this moment.

        Args:
            subject: of a token: "user:7", "robot:12".
            project_id: the project. Nobody may push into one that does not exist.

        Raises:
            DomainError: UNAVAILABLE; authsvc cannot be reached.
        """


class DamagedConfigError(Exception):
    """blobsvc has found the bytes of a config damaged.

    Attributes:
        damage: what is wrong.
        store_id: the id of the store that was examined.
    """

    def __init__(self, damage: Damage, store_id: str) -> None:
        """Takes what is wrong, and in which store."""
        super().__init__(damage)
        self.damage: Damage = damage
        self.store_id = store_id


class ConfigReader(Protocol):
    """Reads configs from blobsvc."""

    async def read(self, blob: ServedBlob, *, project_id: int, repository: str) -> bytes:
        """Reads a small blob as a whole. Must not be called within a unit of work.

        Args:
            blob: the digest and generation to read.
            project_id: the project of the repository that serves it.
            repository: the full name of that repository.

        Raises:
            DamagedConfigError: the bytes are missing, or are not those that were uploaded.
            DomainError: UNAVAILABLE; blobsvc cannot be reached, or is too slow.
        """


class LayerReader(Protocol):
    """Reads layers from blobsvc, piece by piece."""

    def open(
        self, blob: ServedBlob, *, project_id: int, repository: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Opens a blob, to read it from its beginning to its end or to where the caller stops.

        Only a few are open at the same time; others wait. One caller may have fewer, so that nobody waits for one
        caller only. Must not be called within a unit of work. The arguments are those of `ConfigReader.read`, and so
        are the errors, which the pieces raise as well.

        Raises:
            DomainError: also OVERLOADED, too many wait; TOOMANYREQUESTS, the caller of the current call has its share.
        """


@dataclass(frozen=True, slots=True)
class UnlinkedPage:
    """A part of the list of finished uploads that are not settled.

    Attributes:
        keys: the generations.
        next_page_token: the token of the next page; empty on the last one.
    """

    keys: Sequence[BlobKey]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class StatedSizes:
    """What blobsvc has stated about some generations.

    Attributes:
        store_id: the id of the store that it has looked at.
        sizes: the sizes of the files, in the order of the generations; None if there is no file.
    """

    store_id: str
    sizes: Sequence[int | None]


class Capacity(NamedTuple):
    """The space for blobs.

    Attributes:
        total_bytes: the size of the disk.
        free_bytes: what blobs may still take of it.
    """

    total_bytes: int
    free_bytes: int


class BlobBytes(Protocol):
    """The bytes in blobsvc. No method may be called within a unit of work.

    Every method raises UNAVAILABLE if blobsvc cannot be reached, or cannot do it now.
    """

    async def sizes(self, keys: Sequence[BlobKey]) -> StatedSizes:
        """The sizes of the files of these generations."""

    async def delete(self, key: BlobKey) -> None:
        """Deletes a generation that has a tombstone. It is no error if it is already gone."""

    async def capacity(self) -> Capacity:
        """The size of the disk of blobsvc, and what is free on it."""

    async def settle(self, keys: Sequence[BlobKey]) -> None:
        """Tells blobsvc that these generations are linked or will be deleted."""

    async def unlinked(self, finished_before: datetime, page_token: str) -> UnlinkedPage:
        """Lists generations that were finished before a time and are not settled."""


class BlobLog(Protocol):
    """Logs and counts what happens to stored bytes."""

    def damaged(self, key: BlobKey, damage: Damage, found_by: str) -> None:
        """A live generation was found damaged, and is no longer served."""

    def other_store(self, known: str, found: str) -> None:
        """Blobsvc has another store than the known one."""

    def forgotten_store(self, known: str) -> None:
        """The known store was forgotten, because an operator has replaced it."""

    def deleted(self, generations: int) -> None:
        """The bytes of so many generations were deleted."""


class PullRights(Protocol):
    """What the caller may pull."""

    async def sources(self, repository: str | None) -> Sequence[tuple[int, str]]:
        """The repositories that the caller may mount from, as project id and full name.

        Args:
            repository: the full name of the only one to check; None for all that the caller's own token names.
        """


class LabelAccess(Protocol):
    """The rights of the caller on labels. Each method raises if the caller lacks the right."""

    async def check_identity(self) -> None:
        """The caller must be logged in.

        Raises:
            DomainError: UNAUTHORIZED, INSUFFICIENT_SCOPE, UNAVAILABLE.
        """

    async def check_project(self, project_id: int, action: str) -> None:
        """The caller must hold `action` on the labels of a project.

        Raises:
            DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED, INSUFFICIENT_SCOPE, UNAVAILABLE.
        """

    async def check_system(self, action: str) -> None:
        """The caller must hold `action` on labels on the system level. Raises as `check_project`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports and settings that every use case takes, so that a new port changes no signature.

    Attributes:
        store: gives units of work.
        directory: the projects of authsvc, and who may push into them.
        configs: reads configs from blobsvc.
        layers: reads layers from blobsvc.
        bytes: looks at the bytes in blobsvc, and deletes them.
        store_memory: remembers the id of the right blob store.
        settled: tells blobsvc about generations that are decided.
        blob_log: logs and counts damaged and deleted generations.
        visible: the projects whose repositories a caller may list.
        review_policy: when garbage collection looks at possible garbage.
        clock: gives the time.
        manifest_max_bytes: the size of the largest manifest that may be pushed.
        delete_enabled: whether clients may delete under /v2 (distribution's `storage.delete.enabled`).
        delete_blobs_in_use: whether they may delete a blob that a manifest names.
        configuration: gives the runtime configuration.
    """

    store: Store
    directory: ProjectDirectory
    configs: ConfigReader
    layers: LayerReader
    bytes: BlobBytes
    store_memory: StoreMemory
    settled: SettledGenerations
    blob_log: BlobLog
    visible: VisibleProjects
    review_policy: ReviewPolicy
    clock: Clock
    manifest_max_bytes: int
    delete_enabled: bool
    delete_blobs_in_use: bool
    configuration: Callable[[], Configuration] = Configuration

"""Units of work, and the store that gives them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from metasvc.domain.lists import Lists
    from metasvc.domain.model import ChangeKind, TagMove
    from metasvc.domain.rows import ArtifactRows, BlobRows, ProjectRows, RepositoryRows, ReviewRows, TagRows
    from svckit.change import Change
    from svckit.idempotency import IdempotencyRows

T = TypeVar("T")


class Unit(Protocol):
    """A unit that reads."""

    @property
    def projects(self) -> ProjectRows:
        """Projects."""

    @property
    def repositories(self) -> RepositoryRows:
        """Repositories."""

    @property
    def artifacts(self) -> ArtifactRows:
        """Artifacts."""

    @property
    def tags(self) -> TagRows:
        """Tags."""

    @property
    def blobs(self) -> BlobRows:
        """Blobs and links."""

    @property
    def reviews(self) -> ReviewRows:
        """The collector's queue."""


class UnitOfWork(Unit, Protocol):
    """A unit that writes. Leaving it without a commit rolls back."""

    @property
    def idempotency(self) -> IdempotencyRows:
        """What first calls with an idempotency key have made."""

    def record(self, change: Change[ChangeKind], move: TagMove | None = None) -> None:
        """Adds to what the commit writes into the change log, and into the history of tags."""

    async def commit(self) -> int | None:
        """Numbers what was recorded, writes it, and commits: the order of revisions is the order of commits.

        Returns the last revision; None where nothing was recorded.
        """


class Store(Protocol):
    """Gives out units."""

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[Unit]:
        """A unit that reads; with `snapshot` all of it sees one moment."""

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit that writes. No other unit may be begun in it."""

    def lists(self) -> AbstractAsyncContextManager[Lists]:
        """What people are shown, as it was at one moment: a page fits its total, and tags fit their artifacts."""

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does a whole unit of work, from its beginning, and does it again where another one was in its way."""

"""Units of work, and the store that gives them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from metasvc.domain.copy_rows import CopyRows
    from metasvc.domain.immutable_rule_rows import ImmutableRuleRows
    from metasvc.domain.lists import Lists
    from metasvc.domain.model import Blob, ChangeKind, ServedBlob, StoredManifest, TagMove, WantedBlob, WantedManifest
    from metasvc.domain.quota_recount_rows import QuotaRecountRows
    from metasvc.domain.rows import (
        ArtifactRows,
        BlobRows,
        LabelRows,
        ProjectRows,
        RepositoryRows,
        ReviewRows,
        TombstoneRows,
    )
    from metasvc.domain.tag_rows import TagRows
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
    def labels(self) -> LabelRows:
        """Labels."""

    @property
    def immutable_rules(self) -> ImmutableRuleRows:
        """The rules that make tags immutable."""

    @property
    def blobs(self) -> BlobRows:
        """Blobs and links."""

    @property
    def copies(self) -> CopyRows:
        """Copies of artifacts."""

    @property
    def tombstones(self) -> TombstoneRows:
        """Tombstones of generations."""

    @property
    def reviews(self) -> ReviewRows:
        """The queue of garbage collection."""

    @property
    def recounts(self) -> QuotaRecountRows:
        """Recounts of usages."""


class UnitOfWork(Unit, Protocol):
    """A unit that writes. Leaving it without a commit rolls back."""

    @property
    def idempotency(self) -> IdempotencyRows:
        """The results of first calls with an idempotency key."""

    def record(self, change: Change[ChangeKind], move: TagMove | None = None) -> None:
        """Adds an entry for the change log, and a move for the history of tags. `commit` writes them."""

    async def commit(self) -> int | None:
        """Numbers and writes the recorded entries, and commits. Revisions have the same order as commits.

        Returns the last revision; None if nothing was recorded.
        """


class Store(Protocol):
    """Gives out units."""

    def read(self, *, snapshot: bool = False, short: bool = False) -> AbstractAsyncContextManager[Unit]:
        """A unit that reads.

        Args:
            snapshot: all its queries see the same state.
            short: it reads few rows by indexes, and few bytes.
        """

    async def find_manifests(
        self, wanted: Sequence[WantedManifest], *, content_bytes: int
    ) -> list[StoredManifest | None]:
        """As `ArtifactRows.find_manifests`, without a unit: the fastest way for one short query."""

    async def find_served(self, wanted: Sequence[WantedBlob]) -> list[ServedBlob | None]:
        """As `BlobRows.find_served`, without a unit."""

    async def find_blob(self, digest: str) -> Blob | None:
        """Reads a blob in any state, without a unit."""

    async def find_linked(self, project_id: int, repository: str, digests: Iterable[str]) -> list[Blob]:
        """Reads those of the digests that a repository links and that are live, without a unit."""

    def write(self, *, short: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit that writes. No other unit may be begun in it.

        Args:
            short: it reads and writes few rows by indexes, waits for nothing else, and ends with its commit. SQLite
                then commits units that come at the same time together.
        """

    def lists(self) -> AbstractAsyncContextManager[Lists]:
        """Lists that all see the same state, so that a page fits its total, and tags fit their artifacts."""

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a whole unit of work, and runs it again if it conflicted with another one."""

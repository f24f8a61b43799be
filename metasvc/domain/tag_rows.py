"""The rows of tags that a unit of work reads and writes. See `domain.rows`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from metasvc.domain.model import Tag, TagSubject


@dataclass(frozen=True, slots=True)
class TagPut:
    """A tag that moves or is new.

    Attributes:
        name: its name.
        artifact_id: the artifact that it will point at.
        held: the tag as `TagRows.lock` found it; None if it did not find it.
        subject: makes the artifact an accessory of it; None for an ordinary tag.
    """

    name: str
    artifact_id: int
    held: Tag | None
    subject: TagSubject | None


class TagRows(Protocol):
    """The rows of tags."""

    async def names(self, project_id: int, repository: str, start_after: str, limit: int) -> list[str]:
        """The first names that sort after `start_after`, sorted by their bytes."""

    async def lock(self, repository_id: int, names: Iterable[str]) -> dict[str, Tag]:
        """Reads tags and keeps others from moving them until this unit ends."""

    async def get(self, repository_id: int, tag_id: int) -> Tag | None:
        """Reads a tag of a repository by its id."""

    async def on_artifacts(self, artifact_ids: Sequence[int]) -> list[Tag]:
        """The tags of artifacts, by name, locked as `lock` does."""

    async def put(self, repository_id: int, puts: Sequence[TagPut], now: datetime) -> None:
        """Moves tags that `lock` found, and creates those that it did not find. Each name is there once.

        The artifact that a tag leaves stays an accessory. A thousand tags take as many statements as one.

        Raises:
            DomainError: UNAVAILABLE, somebody else made one of the tags at this moment. `Store.repeat` tries again.
        """

    async def remove(self, tag_ids: Iterable[int]) -> None:
        """Deletes tags."""

    async def touch_pulled(self, repository_id: int, pulls: Mapping[str, datetime]) -> None:
        """Sets the times of the last pulls of tags, by name."""

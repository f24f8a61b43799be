"""Tags: their names, and how they move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasvc.domain.accessory import tag_subject
from metasvc.domain.immutability import refuse_deletions, refuse_moves
from metasvc.domain.model import ChangeKind, TagMove
from metasvc.domain.review import ReviewReason, review_manifests
from metasvc.domain.tag_rows import TagPut
from svckit.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from metasvc.domain.model import KeptArtifact, Tag
    from metasvc.domain.ports import Ports
    from metasvc.domain.repository_write import RepositoryWrite


MAX_NAMES = 10_000
"""The most names in one answer. A tag has at most 128 characters, so they fit into a message."""


async def list_names(
    ports: Ports, *, project_id: int, repository: str, start_after: str, limit: int | None
) -> tuple[list[str], bool]:
    """Lists the names of a repository's tags, sorted by their bytes.

    Args:
        ports: the store.
        project_id: the project of the repository.
        repository: the full name of the repository.
        start_after: lists only names that sort after this one.
        limit: how many, at most `MAX_NAMES`; None for as many.

    Returns:
        The names, and whether more follow.

    Raises:
        DomainError: NAME_UNKNOWN.
    """
    most = MAX_NAMES if limit is None else min(limit, MAX_NAMES)
    async with ports.store.read() as unit:
        names = await unit.tags.names(project_id, repository, start_after, most + 1)
        # Without names, the repository may be missing.
        if not names and await unit.repositories.get(project_id, repository) is None:
            raise NotFound("NAME_UNKNOWN", metadata={"name": repository})
    # For n=0 the list is empty and has no next page (distribution-spec, "Listing Tags").
    return names[:most], most > 0 and len(names) > most


@dataclass(frozen=True, slots=True)
class TagTarget:
    """Where a tag is to point.

    Attributes:
        name: the name of the tag.
        held: the tag as it was found under its lock; None if it does not exist.
        artifact: the artifact that it will point at.
    """

    name: str
    held: Tag | None
    artifact: KeptArtifact


async def point_tags(write: RepositoryWrite, targets: Iterable[TagTarget]) -> list[TagTarget]:
    """Moves and creates tags, with their history. All tags are moved and created here.

    If a name names a subject, the artifact becomes an accessory of it.

    Args:
        write: its unit has locked the tags, and has locked the artifacts and those subjects against deletion.
        targets: each tag once.

    Returns:
        Those that moved or are new. For those that already point there, nothing is written.

    Raises:
        DomainError: TAG_IMMUTABLE, one of those that exist must not move; then none does.
    """
    moved = [each for each in targets if each.held is None or each.held.artifact_id != each.artifact.id]
    if not moved:
        return moved
    await refuse_moves(write, [each.name for each in moved if each.held is not None])
    puts = [
        TagPut(
            each.name,
            each.artifact.id,
            each.held,
            tag_subject(each.name, each.artifact.digest, each.artifact.media_type),
        )
        for each in moved
    ]
    await write.unit.tags.put(write.repository.id, puts, write.now)
    for each in moved:
        name, digest = each.name, each.artifact.digest
        move = TagMove(write.repository.id, name, digest, "" if each.held is None else each.held.digest)
        write.record(ChangeKind.TAG_PUT, reference=name, digest=digest, move=move)
    return moved


async def remove_tags(write: RepositoryWrite, tags: Sequence[Tag]) -> None:
    """Deletes tags that the unit has locked, and records it in their history.

    All tags are deleted here, except when a whole repository is deleted (`domain.repository.delete_repository`).

    Raises:
        DomainError: TAG_IMMUTABLE; then none is deleted.
    """
    await refuse_deletions(write, [tag.name for tag in tags])
    await write.unit.tags.remove([tag.id for tag in tags])
    for tag in tags:
        move = TagMove(write.repository.id, tag.name, "", tag.digest)
        write.record(ChangeKind.TAG_DELETE, reference=tag.name, digest=tag.digest, move=move)


async def untag(write: RepositoryWrite, tag: Tag) -> None:
    """Deletes one tag as `remove_tags` does. Its artifact stays, and is queued for review. Raises as `remove_tags`."""
    await remove_tags(write, [tag])
    await review_manifests(
        write.unit, write.repository.id, [tag.digest], write.review_policy, write.now, ReviewReason.UNTAGGED
    )

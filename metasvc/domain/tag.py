"""Tags: their names, and how they move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.model import Change, TagMove
from metasvc.domain.review import ReviewReason, review_manifests
from svckit.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from metasvc.domain.model import Repository, Tag
    from metasvc.domain.ports import Store, UnitOfWork
    from metasvc.domain.review import ReviewPolicy


async def list_names(
    store: Store, *, project_id: int, repository: str, start_after: str, limit: int | None
) -> tuple[list[str], bool]:
    """Lists the names of a repository's tags, sorted by their bytes.

    Args:
        store: where the tags are.
        project_id: of the repository.
        repository: its full name.
        start_after: only names that sort after this one.
        limit: how many; None for all.

    Returns:
        The names, and whether more follow.

    Raises:
        DomainError: NAME_UNKNOWN.
    """
    async with store.read() as unit:
        names = await unit.tags.names(project_id, repository, start_after, None if limit is None else limit + 1)
        # Only an empty answer leaves open whether there is such a repository.
        if not names and await unit.repositories.get(project_id, repository) is None:
            raise NotFound("NAME_UNKNOWN", metadata={"name": repository})
    if limit is None:
        return names, False
    # n=0 asks for nothing, and is told that this was all (distribution-spec, "Listing Tags").
    return names[:limit], limit > 0 and len(names) > limit


async def point_tag(
    unit: UnitOfWork,
    repository: Repository,
    name: str,
    *,
    held: Tag | None,
    artifact_id: int,
    digest: str,
    actor: str,
    now: datetime,
) -> bool:
    """Moves or makes a tag, with its history. False where it points there already, and nothing is written.

    Args:
        unit: has locked the tag, and keeps the artifact.
        repository: of both.
        name: of the tag.
        held: the tag as it was found under the lock; None where it was not.
        artifact_id: where it is to point.
        digest: of that artifact.
        actor: who moves it.
        now: when.
    """
    if held is not None and held.artifact_id == artifact_id:
        return False
    await unit.tags.put(repository.id, name, artifact_id, now, held=held)
    unit.record(
        Change("tag_put", repository.project_id, repository.name, name, digest, actor, now),
        TagMove(repository.id, name, digest, "" if held is None else held.digest),
    )
    return True


async def remove_tag(
    unit: UnitOfWork, policy: ReviewPolicy, repository: Repository, tag: Tag, actor: str, now: datetime
) -> None:
    """Deletes a tag that the unit has locked, with its history, and queues for review what it named."""
    await unit.tags.remove([tag.id])
    record_tag_delete(unit, repository, tag, actor, now)
    await review_manifests(unit, repository.id, [tag.digest], policy, now, ReviewReason.UNTAGGED)


def record_tag_delete(unit: UnitOfWork, repository: Repository, tag: Tag, actor: str, now: datetime) -> None:
    """Writes the end of a tag into its history and the change log."""
    unit.record(
        Change("tag_delete", repository.project_id, repository.name, tag.name, tag.digest, actor, now),
        TagMove(repository.id, tag.name, "", tag.digest),
    )

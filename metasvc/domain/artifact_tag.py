"""The tags of an artifact, and the history of a tag."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from metasvc.domain.accessory import named_subjects
from metasvc.domain.artifact import find_digest, unknown_artifact
from metasvc.domain.immutability import with_immutability
from metasvc.domain.lists import NEVER_PULLED
from metasvc.domain.project import in_project
from metasvc.domain.repository import unknown_repository
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.tag import TagTarget, point_tags, untag
from svckit.errors import Conflict, DomainError, NotFound
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, SortKey
from svckit.query import Key, Order

if TYPE_CHECKING:
    from metasvc.domain.lists import PastMove
    from metasvc.domain.model import Tag
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.idempotency import IdempotencyKey
    from svckit.listing import ListRequest, Page
    from svckit.oci.reference import Reference

TAGS: Listing[Tag] = Listing(
    "tags",
    MappingProxyType(
        {
            "id": SortKey(int, lambda row: row.id),
            "name": SortKey(str, lambda row: row.name),
            "push_time": SortKey(datetime, lambda row: row.push_time),
            "pull_time": SortKey(datetime, lambda row: row.pull_time or NEVER_PULLED),
        }
    ),
    (Order("push_time", descending=True),),
    MappingProxyType(
        {
            "id": Key("id", int),
            "name": Key("name"),
            "push_time": Key("push_time", datetime),
            "pull_time": Key("pull_time", datetime),
        }
    ),
)
MOVES: Listing[PastMove] = Listing(
    "tag moves",
    MappingProxyType({"revision": SortKey(int, lambda row: row.revision)}),
    (Order("revision", descending=True),),
    unique_key="revision",
)


async def list_tags(
    ports: Ports,
    *,
    project_id: int,
    repository: str,
    reference: Reference,
    request: ListRequest,
    with_immutable_status: bool = False,
) -> Page[Tag]:
    """Lists the tags on one artifact, by default those that moved last first.

    Args:
        ports: the ports of metasvc.
        project_id: the project of the repository.
        repository: the full name of the repository.
        reference: a tag or digest of the artifact.
        request: the page.
        with_immutable_status: whether to say which tags are immutable.

    Raises:
        DomainError: NOT_FOUND, BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.lists() as lists:
        found = await lists.artifacts.get(project_id, repository, reference)
        if found is None:
            raise unknown_artifact(repository, reference)
        page = await TAGS.page(
            request,
            lambda selection: lists.tags.page(found.id, selection),
            lambda clauses: lists.tags.count(found.id, clauses),
            scope=(found.id,),
        )
        if not with_immutable_status:
            return page
        marked = await with_immutability(lists, [found], {found.id: page.items})
        return replace(page, items=tuple(marked[found.id]))


async def list_moves(
    ports: Ports, *, project_id: int, repository: str, name: str, request: ListRequest
) -> Page[PastMove]:
    """Lists the moves of one tag, the newest first. The tag may have been deleted.

    Raises:
        DomainError: NOT_FOUND, there is no such repository; BAD_REQUEST; INVALID_PAGE_TOKEN.
    """
    async with ports.store.lists() as lists:
        held = await lists.repositories.get(project_id, repository)
        if held is None:
            raise unknown_repository(repository)
        return await MOVES.page(
            request,
            lambda selection: lists.tags.moves(held.id, name, selection),
            lambda clauses: lists.tags.move_count(held.id, name, clauses),
            scope=(held.id, name),
        )


async def create_tag(
    ports: Ports,
    *,
    project_id: int,
    repository: str,
    reference: Reference,
    name: str,
    origin: ChangeOrigin,
    key: IdempotencyKey | None = None,
) -> Tag:
    """Puts a new tag on an artifact.

    A repeat with the same idempotency key answers with the present state of the tag that the first call made.

    Raises:
        DomainError: NOT_FOUND; CONFLICT, the repository already has a tag of that name, or the key was used for another
            request, or the tag that the first call made is gone.
    """

    async def work(unit: UnitOfWork, now: datetime) -> Tag:
        first = await unit.idempotency.claim(key, now)
        held = await unit.repositories.lock_open(project_id, repository)
        if first is not None:
            made_before = None if held is None else await unit.tags.get(held.id, first.made_id)
            if made_before is None:
                raise made_is_gone()
            return made_before
        digest = None if held is None else await find_digest(unit, held, reference)
        if held is None or digest is None:
            raise unknown_artifact(repository, reference)
        kept = await unit.artifacts.lock_kept(held.id, [digest, *named_subjects([name])])
        if digest not in kept:
            raise unknown_artifact(repository, reference)
        if await unit.tags.lock(held.id, [name]):
            # Harbor's text.
            text = f"tag {name} already exists under the repository {held.id}"
            raise Conflict("CONFLICT", text, metadata={"tag": name})
        write = RepositoryWrite(unit, held, origin, now, ports.review_policy)
        await point_tags(write, [TagTarget(name, None, kept[digest])])
        made = (await unit.tags.lock(held.id, [name])).get(name)
        if made is None:
            raise DomainError("INTERNAL", f"tag {name} was just written but cannot be read")
        await unit.idempotency.remember(key, made.id)
        await unit.repositories.touch(held.id, now)
        await unit.commit()
        return made

    return await in_project(ports, project_id, work)


async def delete_tag(
    ports: Ports, *, project_id: int, repository: str, reference: Reference, name: str, origin: ChangeOrigin
) -> None:
    """Deletes a tag from an artifact; the artifact stays.

    Raises:
        DomainError: NOT_FOUND, the artifact does not exist, or the tag is not on it; TAG_IMMUTABLE.
    """

    async def attempt() -> None:
        async with ports.store.write() as unit:
            held = await unit.repositories.lock_open(project_id, repository)
            if held is None:
                raise unknown_artifact(repository, reference)
            # If the artifact is named by a tag, that tag must not move meanwhile. So both tags are locked together.
            by_tag = [] if reference.tag is None else [reference.tag.name]
            tags = await unit.tags.lock(held.id, [name, *by_tag])
            artifact = tags.get(by_tag[0]) if by_tag else None
            digest = str(reference.digest) if reference.tag is None else None if artifact is None else artifact.digest
            tag = tags.get(name)
            if tag is None or tag.digest != digest:
                raise NotFound("NOT_FOUND", f"tag {name} is not on artifact {reference} of {repository}")
            write = RepositoryWrite(unit, held, origin, ports.clock(), ports.review_policy)
            await untag(write, tag)
            await unit.repositories.touch(held.id, write.now)
            await unit.commit()

    await ports.store.repeat(attempt)

"""Repositories. The first push creates a repository."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from metasvc.domain.immutability import refuse_deletion_of_all
from metasvc.domain.lists import ListedRepository
from metasvc.domain.model import ChangeKind
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.review import ReviewReason
from svckit.change import Change
from svckit.errors import NotFound
from svckit.etag import check_etag
from svckit.listing import Listing, Page, SortKey
from svckit.query import Key, Order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from metasvc.domain.lists import Lists
    from metasvc.domain.model import Repository
    from metasvc.domain.ports import Ports
    from svckit.access.actor import ChangeOrigin
    from svckit.listing import ListRequest

CATALOG_PAGE_SIZE = 100
MAX_CATALOG_PAGE_SIZE = 1000

_SORT_KEYS: Mapping[str, SortKey[Repository]] = MappingProxyType(
    {
        "id": SortKey(int, lambda row: row.id),
        "name": SortKey(str, lambda row: row.name),
        "creation_time": SortKey(datetime, lambda row: row.create_time),
        "update_time": SortKey(datetime, lambda row: row.update_time),
        "pull_count": SortKey(int, lambda row: row.pull_count),
    }
)
_NEWEST_FIRST = (Order("creation_time", descending=True),)
_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "id": Key("id", int),
        # Harbor's name of the column.
        "repository_id": Key("id", int),
        "name": Key("name"),
        "description": Key("description"),
        "pull_count": Key("pull_count", int),
        "creation_time": Key("creation_time", datetime),
        "update_time": Key("update_time", datetime),
    }
)
OF_PROJECT: Listing[Repository] = Listing("repositories", _SORT_KEYS, _NEWEST_FIRST, _KEYS)
"""Names are full names. There is an index for each order. A page also counts the artifacts of its repositories."""
OF_ALL: Listing[Repository] = Listing(
    "all repositories",
    _SORT_KEYS,
    _NEWEST_FIRST,
    MappingProxyType({**_KEYS, "project_id": Key("project_id", int)}),
)


async def get_repository(ports: Ports, *, project_id: int, name: str) -> ListedRepository:
    """Reads a repository by its full name.

    Raises:
        DomainError: NOT_FOUND.
    """
    async with ports.store.lists() as lists:
        found = await lists.repositories.get(project_id, name)
        if found is None:
            raise unknown_repository(name)
        [listed] = await _with_counts(lists, (found,))
        return listed


async def list_repositories(ports: Ports, *, project_id: int, request: ListRequest) -> Page[ListedRepository]:
    """Lists the repositories of one project, by default the newest first.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    return await _page(ports, OF_PROJECT, frozenset({project_id}), request, scope=project_id)


async def list_all_repositories(ports: Ports, *, request: ListRequest) -> Page[ListedRepository]:
    """Lists the repositories of all projects whose repositories the caller may list, by default the newest first.

    Raises:
        DomainError: BAD_REQUEST; INVALID_PAGE_TOKEN; UNAVAILABLE, authsvc cannot be asked.
    """
    projects = await ports.visible.listable()
    # The projects are read again for each page, so they are not part of the page token.
    return await _page(ports, OF_ALL, None if projects.all else projects.project_ids, request, scope=None)


async def _page(
    ports: Ports,
    listing: Listing[Repository],
    projects: AbstractSet[int] | None,
    request: ListRequest,
    *,
    scope: int | None,
) -> Page[ListedRepository]:
    async with ports.store.lists() as lists:
        page = await listing.page(
            request,
            lambda selection: lists.repositories.page(projects, selection),
            lambda clauses: lists.repositories.count(projects, clauses),
            scope=(scope,),
        )
        return Page(await _with_counts(lists, page.items), page.next_page_token, page.total_size)


async def _with_counts(lists: Lists, found: tuple[Repository, ...]) -> tuple[ListedRepository, ...]:
    counts = await lists.repositories.artifact_counts([each.id for each in found])
    return tuple(ListedRepository(each, counts.get(each.id, 0)) for each in found)


async def update_repository(
    ports: Ports, *, project_id: int, name: str, description: str | None, etag: str, origin: ChangeOrigin
) -> ListedRepository:
    """Changes the description of a repository. A repeat changes nothing.

    Args:
        ports: the ports of metasvc.
        project_id: the project of the repository.
        name: the full name of the repository.
        description: the new description; None keeps the old one.
        etag: the etag of the repository that was read, as `check_etag` takes it.
        origin: who changes it.

    Raises:
        DomainError: NOT_FOUND; PRECONDITION, another change came first.
    """

    async def attempt() -> None:
        async with ports.store.write() as unit:
            held = await unit.repositories.lock_open(project_id, name)
            if held is None:
                raise unknown_repository(name)
            if description == held.description:
                # Before the etag is checked: a caller that repeats a finished update still sends the old etag (RFC
                # 9110, "If-Match").
                return
            check_etag(etag, held)
            if description is None:
                return
            now = ports.clock()
            await unit.repositories.describe(held, description, now)
            unit.record(
                Change(
                    kind=ChangeKind.REPOSITORY_UPDATE,
                    origin=origin,
                    time=now,
                    project_id=project_id,
                    resource_id=held.id,
                    resource_name=name,
                    old={"description": held.description},
                    new={"description": description},
                )
            )
            await unit.commit()

    await ports.store.repeat(attempt)
    return await get_repository(ports, project_id=project_id, name=name)


async def delete_repository(ports: Ports, *, project_id: int, name: str, origin: ChangeOrigin) -> None:
    """Deletes a repository with its artifacts, tags, history and links, and reduces the usage of its project.

    It is one transaction. The number of its statements is fixed, but for reading tags that a rule may cover. Tags and
    artifacts are not deleted one by one by `domain.tag.remove_tags` and `domain.artifact.delete_artifact`. The change
    log gets one entry, for the repository, which means that everything in it is gone. A concurrent push ends before the
    deletion, or creates the repository again.

    Raises:
        DomainError: NOT_FOUND; TAG_IMMUTABLE.
    """

    async def attempt() -> None:
        async with ports.store.write() as unit:
            held = await unit.repositories.lock_for_delete(project_id, name)
            if held is None:
                raise unknown_repository(name)
            write = RepositoryWrite(unit, held, origin, ports.clock(), ports.review_policy)
            await refuse_deletion_of_all(write)
            due_time = write.review_policy.due_time(write.now)
            await unit.reviews.queue_blobs_of(held.id, due_time, ReviewReason.REPOSITORY_DELETED.value)
            await unit.projects.discharge_repository(project_id, held.id, write.now)
            await unit.repositories.remove(held.id)
            write.record(ChangeKind.REPOSITORY_DELETE)
            await unit.commit()

    await ports.store.repeat(attempt)


def unknown_repository(name: str) -> NotFound:
    """The error for a repository that does not exist."""
    return NotFound("NOT_FOUND", f"repository {name} not found", metadata={"name": name})


async def list_catalog(ports: Ports, *, start_after: str, page_size: int) -> tuple[list[str], bool]:
    """Lists the full names of all repositories, sorted by their bytes: Docker's `_catalog`.

    Args:
        ports: the ports of metasvc.
        start_after: lists only names that sort after this one.
        page_size: how many names; 0 means `CATALOG_PAGE_SIZE`, and the maximum is `MAX_CATALOG_PAGE_SIZE`.

    Returns:
        The names, and whether more follow.
    """
    limit = min(page_size or CATALOG_PAGE_SIZE, MAX_CATALOG_PAGE_SIZE)
    async with ports.store.read() as unit:
        names = await unit.repositories.catalog(start_after, limit + 1)
    return names[:limit], len(names) > limit

"""Artifacts: how people read, list and delete them. `domain.manifest` has what clients do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from metasvc.domain.artifact_graph import plan_deletion
from metasvc.domain.artifact_page import fit
from metasvc.domain.immutability import with_immutability
from metasvc.domain.lists import NEVER_PULLED, Accessory, ArtifactView
from metasvc.domain.model import ChangeKind, WantedManifest
from metasvc.domain.repository import unknown_repository
from metasvc.domain.repository_write import RepositoryWrite
from metasvc.domain.review import ReviewReason, review_blobs, review_manifests
from metasvc.domain.tag import remove_tags
from svckit.errors import Invalid, NotFound, Precondition
from svckit.listing import Listing, Page, SortKey
from svckit.query import Form, Key, Order, parse_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metasvc.domain.lists import ArtifactParts, Lists
    from metasvc.domain.model import Artifact, Repository
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import Unit
    from svckit.access.actor import ChangeOrigin
    from svckit.listing import ListRequest
    from svckit.oci.reference import Reference

_SEVERAL = frozenset({Form.EXACT, Form.ANY_OF, Form.ALL_OF})
_SORT_KEYS: Mapping[str, SortKey[Artifact]] = MappingProxyType(
    {
        "id": SortKey(int, lambda row: row.id),
        "digest": SortKey(str, lambda row: row.digest),
        "push_time": SortKey(datetime, lambda row: row.push_time),
        "pull_time": SortKey(datetime, lambda row: row.pull_time or NEVER_PULLED),
        "size": SortKey(int, lambda row: row.size),
        "type": SortKey(str, lambda row: row.type),
        "media_type": SortKey(str, lambda row: row.media_type),
        "manifest_media_type": SortKey(str, lambda row: row.manifest_media_type),
        "artifact_type": SortKey(str, lambda row: row.artifact_type),
    }
)
_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "id": Key("id", int),
        "digest": Key("digest"),
        "type": Key("type"),
        "media_type": Key("media_type"),
        "manifest_media_type": Key("manifest_media_type"),
        "artifact_type": Key("artifact_type"),
        "size": Key("size", int),
        "push_time": Key("push_time", datetime),
        "pull_time": Key("pull_time", datetime),
        "tags": Key("tags", forms=_SEVERAL | {Form.FUZZY}, nullable=True),
        "labels": Key("labels", int, _SEVERAL),
    }
)
_NEWEST_FIRST = (Order("push_time", descending=True),)
ARTIFACTS: Listing[Artifact] = Listing("artifacts", _SORT_KEYS, _NEWEST_FIRST, _KEYS)
"""A page sorted by push_time, size or digest is read from an index. Other orders read the whole repository."""
OF_PROJECT: Listing[Artifact] = Listing(
    "artifacts of a project",
    MappingProxyType({**_SORT_KEYS, "repository_name": SortKey(str, lambda row: row.repository_name)}),
    _NEWEST_FIRST,
    MappingProxyType({**_KEYS, "repository_id": Key("repository_id", int), "repository_name": Key("repository_name")}),
)
"""A page sorted by push_time or size is read from an index. Other orders read all artifacts of the project."""
_TYPES = frozenset({"media_type", "artifact_type"})

ACCESSORIES: Listing[Accessory] = Listing(
    "accessories",
    MappingProxyType(
        {
            "artifact_id": SortKey(int, lambda row: row.artifact_id),
            "type": SortKey(str, lambda row: row.type),
            "size": SortKey(int, lambda row: row.size),
            "digest": SortKey(str, lambda row: row.digest),
            "creation_time": SortKey(datetime, lambda row: row.create_time),
        }
    ),
    (Order("artifact_id"),),
    MappingProxyType(
        {
            "artifact_id": Key("artifact_id", int),
            "type": Key("type"),
            "size": Key("size", int),
            "digest": Key("digest"),
            "creation_time": Key("creation_time", datetime),
        }
    ),
    unique_key="artifact_id",
)


async def get_artifact(
    ports: Ports, *, project_id: int, repository: str, reference: Reference, parts: ArtifactParts
) -> ArtifactView:
    """Reads the artifact that a tag or digest names, with all its annotations and attributes.

    Raises:
        DomainError: NOT_FOUND.
    """
    async with ports.store.lists() as lists:
        found = await lists.artifacts.get(project_id, repository, reference)
        if found is None:
            raise unknown_artifact(repository, reference)
        [view] = await _views(lists, (found,), parts, whole=True)
        return view


async def list_artifacts(
    ports: Ports, *, project_id: int, repository: str, request: ListRequest, parts: ArtifactParts
) -> Page[ArtifactView]:
    """Lists a repository's artifacts, by default the newest first. It takes a few queries for any number of them.

    As in Harbor, two kinds are left out, because they are shown with another artifact: accessories whose subject is in
    the repository, and children of an index without a tag.

    Raises:
        DomainError: NOT_FOUND, BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.lists() as lists:
        held = await lists.repositories.get(project_id, repository)
        if held is None:
            raise unknown_repository(repository)
        page = await ARTIFACTS.page(
            request,
            lambda selection: lists.artifacts.page(held.id, selection),
            lambda clauses: lists.artifacts.count(held.id, clauses),
            scope=(held.id,),
        )
        views = await _views(lists, page.items, parts, whole=False)
        return Page(fit(views), page.next_page_token, page.total_size)


async def list_project_artifacts(
    ports: Ports, *, project_id: int, request: ListRequest, parts: ArtifactParts, latest: bool
) -> Page[ArtifactView]:
    """Lists the artifacts of all repositories of a project, by default the newest first.

    The same are left out as in `list_artifacts`.

    Args:
        ports: the store.
        project_id: the project.
        request: the page.
        parts: what to read beside the artifacts.
        latest: of those that match `q`, only the one of each repository that was pushed last. As in Harbor, `q` must
            then say exactly one of media_type and artifact_type.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    if latest:
        _check_latest(request.q)
    async with ports.store.lists() as lists:
        page = await OF_PROJECT.page(
            request,
            lambda selection: lists.artifacts.project_page(project_id, selection, latest=latest),
            lambda clauses: lists.artifacts.project_count(project_id, clauses, latest=latest),
            scope=(project_id, latest),
        )
        views = await _views(lists, page.items, parts, whole=False)
        return Page(fit(views), page.next_page_token, page.total_size)


def _check_latest(q: str) -> None:
    named = {clause.key for clause in parse_query(q, OF_PROJECT.keys).clauses} & _TYPES
    if len(named) != 1:
        raise Invalid.of_field("q", "must say either media_type or artifact_type with latest_in_repository")


async def _views(
    lists: Lists, found: tuple[Artifact, ...], parts: ArtifactParts, *, whole: bool
) -> tuple[ArtifactView, ...]:
    ids = [artifact.id for artifact in found]
    children = await lists.artifacts.children(ids, whole=whole)
    tags = await lists.tags.on_artifacts(ids if parts.tags else ())
    if parts.immutability:
        tags = replace(tags, rows=await with_immutability(lists, found, tags.rows))
    accessories = await lists.artifacts.accessories(found if parts.accessories else ())
    inherited = await lists.artifacts.inherited_accessories(ids if parts.inherited_accessories else ())
    labels = await lists.labels.on_artifacts(ids if parts.labels else (), whole=whole)

    def view(artifact: Artifact) -> ArtifactView:
        subject = (artifact.repository_id, artifact.digest)
        is_incomplete = {
            "references": artifact.id in children.incomplete,
            "tags": artifact.id in tags.incomplete,
            "accessories": subject in accessories.incomplete,
            "inherited_accessories": artifact.id in inherited.incomplete,
            "labels": artifact.id in labels.incomplete,
        }
        return ArtifactView(
            artifact,
            references=tuple(children.rows.get(artifact.id, ())),
            tags=tuple(tags.rows.get(artifact.id, ())),
            accessories=tuple(accessories.rows.get(subject, ())),
            inherited_accessories=tuple(inherited.rows.get(artifact.id, ())),
            labels=tuple(labels.rows.get(artifact.id, ())),
            incomplete=tuple(part for part, is_cut in is_incomplete.items() if is_cut),
        )

    return tuple(map(view, found))


async def list_accessories(
    ports: Ports, *, project_id: int, repository: str, reference: Reference, request: ListRequest
) -> Page[Accessory]:
    """Lists the artifacts that name an artifact as their subject, the oldest first.

    The subject may be missing, because it may be deleted before its accessories or pushed after them.

    Raises:
        DomainError: NOT_FOUND, the repository holds neither the subject nor an accessory of it; BAD_REQUEST;
            INVALID_PAGE_TOKEN.
    """
    async with ports.store.lists() as lists:
        held = await lists.repositories.get(project_id, repository)
        if held is None:
            raise unknown_repository(repository)
        found = await lists.artifacts.get(project_id, repository, reference)
        digest = str(reference.digest) if found is None else found.digest
        if found is None and (reference.tag is not None or not await lists.artifacts.has_accessory(held.id, digest)):
            raise unknown_artifact(repository, reference)
        return await ACCESSORIES.page(
            request,
            lambda selection: lists.artifacts.accessory_page(held.id, digest, selection),
            lambda clauses: lists.artifacts.accessory_count(held.id, digest, clauses),
            scope=(held.id, digest),
        )


async def delete_named_artifact(
    ports: Ports, *, project_id: int, repository: str, reference: Reference, origin: ChangeOrigin
) -> None:
    """Deletes the artifact that a tag or digest names, with all its tags and what nobody else names.

    Raises:
        DomainError: NOT_FOUND; PRECONDITION, an index names it; TAG_IMMUTABLE.
    """

    async def attempt() -> None:
        async with ports.store.write() as unit:
            held = await unit.repositories.lock_open(project_id, repository)
            digest = None if held is None else await find_digest(unit, held, reference)
            if held is None or digest is None:
                raise unknown_artifact(repository, reference)
            write = RepositoryWrite(unit, held, origin, ports.clock(), ports.review_policy)
            if not await delete_artifact(write, digest):
                raise unknown_artifact(repository, reference)
            await unit.commit()

    await ports.store.repeat(attempt)


async def delete_artifact(write: RepositoryWrite, digest: str) -> bool:
    """Deletes an artifact with its tags, and what nobody else names (`domain.artifact_graph`). Does not commit.

    All artifacts are deleted here, except when a whole repository is deleted (`domain.repository.delete_repository`).
    The number of statements does not depend on how many there are. Blobs that no manifest of the repository names any
    more are not charged to the project any more. Their links stay until garbage collection looks at them, because a
    running push may rely on them. It charges them again.

    Returns:
        False if there is no such artifact.

    Raises:
        DomainError: PRECONDITION, an index names it; TAG_IMMUTABLE, it or what would go with it has such a tag.
    """
    unit, repository, now, policy = write.unit, write.repository, write.now, write.review_policy
    graph = await unit.artifacts.lock_graph(repository.id, digest)
    if graph is None:
        return False
    deletion = plan_deletion(graph, policy.asked_since(now))
    if deletion.has_parent:
        raise Precondition("PRECONDITION", f"an index names {digest}; delete the index first")
    ids = [artifact.id for artifact in deletion.going]
    digests = [artifact.digest for artifact in deletion.going]
    await remove_tags(write, await unit.tags.on_artifacts(ids))
    blobs = await unit.artifacts.blob_digests(ids)
    await unit.artifacts.remove(ids)
    for gone in digests:
        write.record(ChangeKind.MANIFEST_DELETE, reference=gone, digest=gone)
    discharged = await unit.blobs.discharge_unnamed(repository.id, blobs)
    await review_blobs(unit, blobs, policy, now, ReviewReason.MANIFEST_DELETED)
    for left, reason in (
        (deletion.left_children, ReviewReason.PARENT_DELETED),
        (deletion.left_accessories, ReviewReason.SUBJECT_DELETED),
    ):
        await review_manifests(unit, repository.id, (artifact.digest for artifact in left), policy, now, reason)
    await unit.reviews.remove_manifests(repository.id, digests)
    await unit.repositories.touch(repository.id, now)
    await unit.projects.discharge(repository.project_id, [*digests, *discharged], now)
    return True


async def find_digest(unit: Unit, repository: Repository, reference: Reference) -> str | None:
    """The digest that a reference names now; None for a tag that does not exist. A digest need not exist."""
    if reference.tag is None:
        return str(reference.digest)
    wanted = WantedManifest(repository.project_id, repository.name, reference, content=False)
    (found,) = await unit.artifacts.find_manifests([wanted])
    return None if found is None else found.digest


def unknown_artifact(repository: str, reference: Reference) -> NotFound:
    """The error for a tag or digest that does not exist."""
    separator = "@" if reference.tag is None else ":"
    return NotFound("NOT_FOUND", f"artifact {repository}{separator}{reference} not found")

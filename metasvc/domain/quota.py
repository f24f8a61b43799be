"""Storage quotas: one for each project, under the project's id."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from metasvc.domain.model import NO_LIMIT, ChangeKind, ProjectState
from metasvc.domain.project import in_project, make_row
from svckit.change import Change
from svckit.errors import DomainError, FieldViolation, Invalid, NotFound
from svckit.etag import check_etag
from svckit.listing import Listing, SortKey
from svckit.query import Order

if TYPE_CHECKING:
    from metasvc.domain.model import Project
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.listing import ListRequest, Page

_ANY_SIZE_BYTES = 2**63 - 1

QUOTAS: Listing[Project] = Listing(
    "quotas",
    MappingProxyType(
        {
            "id": SortKey(int, lambda row: row.id),
            "used.storage": SortKey(int, lambda row: row.used_bytes),
            "hard.storage": SortKey(int, lambda row: row.quota_bytes),
            "creation_time": SortKey(datetime, lambda row: row.create_time),
            "update_time": SortKey(datetime, lambda row: row.update_time),
        }
    ),
    (Order("creation_time", descending=True),),
)
"""These lists use no index: usages change with every push, and there are far fewer projects than artifacts."""


def parse_limit(storage_bytes: int, *, names_count: bool) -> int:
    """Reads a limit. The contract bounds it already.

    Args:
        storage_bytes: -1 for no limit.
        names_count: whether the request also limits a number of artifacts.

    Raises:
        DomainError: BAD_REQUEST, with Harbor's texts.
    """
    if names_count:
        _refuse("hard.count", "resource count not support")
    if storage_bytes == 0:
        _refuse("hard.storage", "invalid value for resource storage")
    return storage_bytes


async def get_quota(ports: Ports, *, project_id: int) -> Project:
    """Reads a project's quota. If the project was never used, its row is made.

    Raises:
        DomainError: PROJECT_UNKNOWN, it does not exist or was deleted.
    """
    async with ports.store.read(short=True) as unit:
        found = await unit.projects.get(project_id)
    if found is None:
        return await make_row(ports, project_id)
    if found.state is ProjectState.DELETED:
        raise NotFound("PROJECT_UNKNOWN")
    return found


async def check_upload_size(ports: Ports, *, project_id: int, size_bytes: int) -> int:
    """Refuses an upload that is larger than the project's whole limit. Its usage is not looked at.

    Returns:
        The size of the largest upload that is allowed now.

    Raises:
        DomainError: QUOTA_EXCEEDED with `limit_bytes` and `needed_bytes`; PROJECT_UNKNOWN.
    """
    if not ports.configuration().quota_per_project_enable:
        return _ANY_SIZE_BYTES
    limit_bytes = (await get_quota(ports, project_id=project_id)).quota_bytes
    if limit_bytes == NO_LIMIT:
        return _ANY_SIZE_BYTES
    if size_bytes > limit_bytes:
        raise DomainError(
            "QUOTA_EXCEEDED",
            f"the upload has {size_bytes} bytes, and the whole storage quota of the project is {limit_bytes} bytes",
            metadata={"limit_bytes": str(limit_bytes), "needed_bytes": str(size_bytes)},
        )
    return limit_bytes


async def list_quotas(ports: Ports, *, project_id: int | None, request: ListRequest) -> Page[Project]:
    """Lists quotas, by default the newest rows first.

    A project has no row, and is left out, until it is used or its quota is read or set. It uses no bytes, and authsvc
    knows its initial limit.

    Args:
        ports: the ports of metasvc.
        project_id: lists only this project; None for all.
        request: page and order.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.lists() as lists:
        return await QUOTAS.page(
            request,
            lambda selection: lists.quotas.page(project_id, selection),
            lambda clauses: lists.quotas.count(project_id, clauses),
            scope=(project_id,),
        )


async def set_quota(ports: Ports, *, project_id: int, limit_bytes: int, etag: str, origin: ChangeOrigin) -> Project:
    """Changes a project's limit. If it is below the usage, nothing more can be pushed.

    Args:
        ports: the ports of metasvc.
        project_id: the project.
        limit_bytes: -1 for no limit, or 0 and more.
        etag: the etag of the quota that was read, as `check_etag` takes it.
        origin: who changes it.

    Raises:
        DomainError: PROJECT_UNKNOWN; PRECONDITION, another change came first.
    """

    async def work(unit: UnitOfWork, now: datetime) -> Project:
        held = await _existing(unit, project_id)
        if held.quota_bytes == limit_bytes:
            # Before the etag is checked: a caller that repeats a finished update still sends the old etag (RFC 9110,
            # "If-Match").
            return held
        check_etag(etag, held)
        await unit.projects.set_quota(held, limit_bytes, now)
        unit.record(
            Change(
                kind=ChangeKind.QUOTA_UPDATE,
                origin=origin,
                time=now,
                project_id=project_id,
                resource_id=project_id,
                resource_name=held.name,
                old={"limit_bytes": held.quota_bytes},
                new={"limit_bytes": limit_bytes},
            )
        )
        row = await _existing(unit, project_id)
        await unit.commit()
        return row

    return await in_project(ports, project_id, work)


def _refuse(field: str, message: str) -> NoReturn:
    raise Invalid(message=message, violations=[FieldViolation(field, message)])


async def _existing(unit: UnitOfWork, project_id: int) -> Project:
    row = await unit.projects.get(project_id)
    if row is None:
        raise NotFound("PROJECT_UNKNOWN")
    return row

"""Labels: names in a colour that people put on artifacts. `domain.artifact_label` puts them there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from metasvc.domain.label_model import NO_PROJECT, Label, LabelScope, NewLabel
from metasvc.domain.model import ChangeKind
from metasvc.domain.project import in_project
from metasvc.domain.resource_change import change_of
from svckit.errors import Conflict, Denied, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, SortKey
from svckit.query import Fuzzy, Key, Order

if TYPE_CHECKING:
    from metasvc.domain.ports import LabelAccess, Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.idempotency import IdempotencyKey
    from svckit.listing import ListRequest, Page


@dataclass(frozen=True, slots=True)
class LabelChange:
    """What to change of a label; None keeps the value.

    Attributes:
        etag: the etag of the label that was read; empty to change any state.
    """

    name: str | None = None
    description: str | None = None
    color: str | None = None
    etag: str = ""


LABELS: Listing[Label] = Listing(
    "labels",
    MappingProxyType(
        {
            "id": SortKey(int, lambda row: row.id),
            "name": SortKey(str, lambda row: row.name),
            "creation_time": SortKey(datetime, lambda row: row.create_time),
            "update_time": SortKey(datetime, lambda row: row.update_time),
        }
    ),
    (Order("creation_time", descending=True),),
    MappingProxyType(
        {
            "id": Key("id", int),
            "name": Key("name"),
            "description": Key("description"),
            "color": Key("color"),
            "creation_time": Key("creation_time", datetime),
            "update_time": Key("update_time", datetime),
        }
    ),
)


async def create_label(
    ports: Ports, access: LabelAccess, new: NewLabel, origin: ChangeOrigin, key: IdempotencyKey | None = None
) -> Label:
    """Creates a label.

    A repeat with the same idempotency key answers with the present state of the label that the first call made.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED; CONFLICT, the name is in use, or the key was used for
            another request, or the label that the first call made is gone.
    """
    await _check(access, new.project_id, "create")

    async def work(unit: UnitOfWork, now: datetime) -> Label:
        first = await unit.idempotency.claim(key, now)
        if first is not None:
            made_before = await unit.labels.get(first.made_id)
            if made_before is None:
                raise made_is_gone()
            return made_before
        made = await unit.labels.add(new, now)
        if made is None:
            raise _name_in_use(new.name)
        await unit.idempotency.remember(key, made.id)
        unit.record(change_of(ChangeKind.LABEL_CREATE, made, origin, now, name=made.name, new=_values(made)))
        await unit.commit()
        return made

    if new.project_id != NO_PROJECT:
        return await in_project(ports, new.project_id, work)

    async def attempt() -> Label:
        async with ports.store.write(short=True) as unit:
            return await work(unit, ports.clock())

    return await ports.store.repeat(attempt)


async def get_label(ports: Ports, access: LabelAccess, label_id: int) -> Label:
    """Reads a label.

    Raises:
        DomainError: LABEL_UNKNOWN, also for a project's label that the caller may not read; FORBIDDEN, for a global
            one; UNAUTHORIZED.
    """
    return await _permitted(ports, access, label_id, "read")


async def list_labels(
    ports: Ports, access: LabelAccess, *, scope: LabelScope, project_id: int, name: str, request: ListRequest
) -> Page[Label]:
    """Lists the global labels or those of one project, by default the newest first.

    As in Harbor, everybody who is logged in may list the global labels: any artifact may have them.

    Args:
        ports: the ports of metasvc.
        access: the rights of the caller.
        scope: which labels.
        project_id: the project of project labels; ignored for global ones.
        name: lists only labels whose names contain this text; empty for all.
        request: the page.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED; BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    owner = owner_of(scope, project_id)
    if scope is LabelScope.GLOBAL:
        await access.check_identity()
    else:
        await access.check_project(owner, "list")
    async with ports.store.lists() as lists:
        return await LABELS.page(
            request,
            partial(lists.labels.page, owner),
            partial(lists.labels.count, owner),
            fixed=(Fuzzy("name", name),) if name else (),
            scope=(owner, name),
        )


async def update_label(
    ports: Ports, access: LabelAccess, label_id: int, change: LabelChange, origin: ChangeOrigin
) -> Label:
    """Changes a label. A repeat changes nothing.

    Raises:
        DomainError: LABEL_UNKNOWN and UNAUTHORIZED, as `get_label`; FORBIDDEN; CONFLICT, the name is in use;
            PRECONDITION, another change came first.
    """
    await _permitted(ports, access, label_id, "update")

    async def attempt() -> Label:
        async with ports.store.write() as unit:
            held = await unit.labels.lock(label_id)
            if held is None:
                raise unknown_label(label_id)
            changed = NewLabel(
                project_id=held.project_id,
                name=held.name if change.name is None else change.name,
                description=held.description if change.description is None else change.description,
                color=held.color if change.color is None else change.color,
            )
            old, new = _values(held), _values(changed)
            if old == new:
                # Before the etag is checked, as in `domain.repository.update_repository`.
                return held
            check_etag(change.etag, held)
            now = ports.clock()
            updated = await unit.labels.update(held, changed, now)
            if updated is None:
                raise _name_in_use(changed.name)
            unit.record(change_of(ChangeKind.LABEL_UPDATE, updated, origin, now, name=updated.name, old=old, new=new))
            await unit.commit()
            return updated

    return await ports.store.repeat(attempt)


async def delete_label(ports: Ports, access: LabelAccess, label_id: int, origin: ChangeOrigin) -> None:
    """Deletes a label, and takes it from all artifacts.

    Raises:
        DomainError: LABEL_UNKNOWN and UNAUTHORIZED, as `get_label`; FORBIDDEN.
    """
    await _permitted(ports, access, label_id, "delete")

    async def attempt() -> None:
        async with ports.store.write() as unit:
            held = await unit.labels.lock(label_id)
            if held is None:
                raise unknown_label(label_id)
            await unit.labels.remove(held.id)
            unit.record(
                change_of(ChangeKind.LABEL_DELETE, held, origin, ports.clock(), name=held.name, old=_values(held))
            )
            await unit.commit()

    await ports.store.repeat(attempt)


def owner_of(scope: LabelScope, project_id: int) -> int:
    """The project id of labels of a scope.

    Raises:
        DomainError: BAD_REQUEST; a project's label without its project.
    """
    if scope is LabelScope.GLOBAL:
        return NO_PROJECT
    if project_id == NO_PROJECT:
        raise Invalid.of_field("project_id", "must be set for scope p")
    return project_id


def unknown_label(label_id: int) -> NotFound:
    """The error for a label that does not exist, or that the caller may not know."""
    return NotFound("LABEL_UNKNOWN", f"label {label_id} not found")


async def _permitted(ports: Ports, access: LabelAccess, label_id: int, action: str) -> Label:
    """The label, if the caller may do `action` to it."""
    async with ports.store.read(short=True) as unit:
        label = await unit.labels.get(label_id)
    if label is None:
        # Anonymous callers are told to log in, as for a label that they may not see.
        await access.check_identity()
        raise unknown_label(label_id)
    try:
        await _check(access, label.project_id, action)
    except (Denied, NotFound) as refusal:
        # Everybody who is logged in may list the global labels.
        if label.project_id == NO_PROJECT or (action != "read" and await _may_read(access, label)):
            raise refusal from None
        raise unknown_label(label_id) from None
    return label


async def _check(access: LabelAccess, project_id: int, action: str) -> None:
    if project_id == NO_PROJECT:
        await access.check_system(action)
    else:
        await access.check_project(project_id, action)


async def _may_read(access: LabelAccess, label: Label) -> bool:
    try:
        await access.check_project(label.project_id, "read")
    except (Denied, NotFound):
        return False
    return True


def _values(label: NewLabel) -> dict[str, object]:
    return {"name": label.name, "description": label.description, "color": label.color}


def _name_in_use(name: str) -> Conflict:
    return Conflict("CONFLICT", f"label {name} already exists", metadata={"label": name})

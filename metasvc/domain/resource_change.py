"""The entries in the change log of what a project has and no repository does: labels and immutable rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from svckit.change import Change

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from metasvc.domain.model import ChangeKind
    from svckit.access.actor import ChangeOrigin


class Resource(Protocol):
    """A label, or an immutable rule."""

    @property
    def id(self) -> int:
        """Its id."""

    @property
    def project_id(self) -> int:
        """The project that it belongs to; 0 for none."""


def change_of(
    kind: ChangeKind,
    resource: Resource,
    origin: ChangeOrigin,
    time: datetime,
    *,
    name: str = "",
    old: Mapping[str, object] | None = None,
    new: Mapping[str, object] | None = None,
) -> Change[ChangeKind]:
    """The entry of a change.

    Args:
        kind: what happened.
        resource: what was changed.
        origin: who caused it, and by which request.
        time: when.
        name: of the resource, if it has one.
        old: its values before; None for a create.
        new: its values after; None for a delete.
    """
    return Change(
        kind=kind,
        origin=origin,
        time=time,
        project_id=resource.project_id,
        resource_id=resource.id,
        resource_name=name,
        old=old,
        new=new,
    )

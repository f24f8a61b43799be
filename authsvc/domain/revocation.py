"""Who loses rights by a change, so that registry tokens that were given before it are refused.

Each use case that takes rights away says whose (`UnitOfWork.revoke`). It is written in the transaction of the change,
with the change's revision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from authsvc.domain.permission import REPOSITORY_PERMISSIONS, lacking
from svckit.log_position import LogPosition
from svckit.logging import get_logger
from svckit.tokens.revocation import ANYBODY, KEPT, Loss, Revocation, refresh_token_subject

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Entity, Identity, Project
    from authsvc.domain.permission import Permission
    from authsvc.domain.rows import Unit

_log = get_logger(__name__)

_REMOVED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class RevocationPage:
    """Revocations behind a position.

    Attributes:
        revocations: the oldest first.
        position: the position behind them.
        begins_anew: whether they replace all that the reader knows.
        has_more: whether there are more.
    """

    revocations: tuple[Revocation, ...]
    position: LogPosition
    begins_anew: bool
    has_more: bool


async def list_revocations(ports: Ports, after: LogPosition | None) -> RevocationPage:
    """Reads the revocations behind a position; all that are kept without one, or if the log is another one now."""
    async with ports.store.read() as unit:
        # First the position: what is committed between the two reads then comes once more with the next page.
        newest = await unit.revocations.position()
        goes_on = after is not None and after.epoch == newest.epoch and after.revision <= newest.revision
        found, has_more = await unit.revocations.behind(after.revision if after is not None and goes_on else 0)
    # A commit may have come between the two reads. Its revocations are passed over when they come a second time.
    position = LogPosition(epoch=newest.epoch, revision=found[-1].revision) if has_more else newest
    return RevocationPage(found, position, begins_anew=not goes_on, has_more=has_more)


async def remove_outdated(ports: Ports) -> None:
    """Deletes revocations of tokens that have all expired, some at a time, so that no unit takes long."""

    async def work() -> int:
        async with ports.store.write() as unit:
            count = await unit.revocations.remove_older(ports.clock() - KEPT, _REMOVED_AT_ONCE)
            await unit.commit()
        return count

    removed = _REMOVED_AT_ONCE
    while removed == _REMOVED_AT_ONCE:
        removed = await ports.store.repeat(work)
        if removed:
            _log.info("revocations_removed", count=removed)


def loss_of(identity: Identity) -> Loss:
    """A user or robot may do less than before, everywhere."""
    return Loss((f"{identity.kind}:{identity.id}",))


def loss_of_refresh_token(refresh_token_id: int) -> Loss:
    """A refresh token has ended, and with it what was made with it."""
    return Loss((refresh_token_subject(refresh_token_id),))


def loss_of_publicity(project: Project) -> Loss:
    """A project is no longer public, so those who are nothing else in it lose what they had."""
    return Loss((ANYBODY,), (project.id,))


async def loss_of_entity(unit: Unit, entity: Entity, project_id: int) -> Loss | None:
    """A user, or the users of a group, may do less than before in a project. None if nobody is in the group."""
    if entity.kind == "user":
        return Loss((f"user:{entity.id}",), (project_id,))
    return _of_users(await unit.user_groups.user_ids(entity.id), (project_id,))


async def loss_of_group(unit: Unit, group_id: int, user_ids: tuple[int, ...] | None = None) -> Loss | None:
    """These users, or all, leave a group. None if that takes nothing from anybody."""
    project_ids = await unit.user_groups.project_ids(group_id)
    if not project_ids:
        return None
    return _of_users(await unit.user_groups.user_ids(group_id) if user_ids is None else user_ids, project_ids)


def takes_away(before: frozenset[Permission], after: frozenset[Permission]) -> bool:
    """Whether one who held these permissions loses something that registry tokens allow."""
    return bool(lacking(after, REPOSITORY_PERMISSIONS) - lacking(before, REPOSITORY_PERMISSIONS))


def _of_users(user_ids: tuple[int, ...], project_ids: tuple[int, ...]) -> Loss | None:
    return Loss(tuple(f"user:{user_id}" for user_id in user_ids), project_ids) if user_ids else None

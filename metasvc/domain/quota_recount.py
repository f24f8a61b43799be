"""Counts anew what projects use.

A project is charged once for each digest that its charged links and its manifests name. Every unit of work that changes
these changes the count and the usage as well, so in any one state of the database they agree. What does not agree is
damage: from a restore, from a statement by hand, or from a fault of ours.

So differences are looked for by single statements, which see one state and lock nothing. Only what differs is then
locked, counted again, and corrected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metasvc.domain.model import ProjectState
from metasvc.domain.quota_recount_rows import CountedUsage
from svckit.errors import FieldViolation, Invalid, NotFound
from svckit.paging import PageToken, query_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metasvc.domain.model import Project
    from metasvc.domain.ports import Ports
    from metasvc.domain.quota_recount_rows import ChargeDifference

DIGESTS_PER_STEP = 10_000
DIFFERENCES_PER_STEP = 1_000

_NO_USAGE = CountedUsage(used_bytes=0, charged_bytes=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecountStep:
    """What one step has found.

    Attributes:
        project: the project; None if there was none to look at.
        digest_count: how many charged digests were looked at.
        differences: what was counted wrong, by digest.
        usage: the old usage and the new one.
        is_done: whether the project has no further digests.
        next_page_token: of the next step; empty after the last one.
        remaining_projects: how many projects there are to look at, this one included.
    """

    project: Project | None = None
    digest_count: int = 0
    differences: Sequence[ChargeDifference] = field(default_factory=tuple)
    usage: CountedUsage = _NO_USAGE
    is_done: bool = True
    next_page_token: str = ""
    remaining_projects: int = 0


async def recount_step(ports: Ports, *, project_id: int, dry_run: bool, page_token: str) -> RecountStep:
    """Looks at the next range of digests, and corrects what differs. A repeat finds it corrected.

    Args:
        ports: the ports of metasvc.
        project_id: the only project; 0 for all.
        dry_run: whether differences are only reported.
        page_token: of the last step; empty for the first one.

    Raises:
        DomainError: PROJECT_UNKNOWN, the only project is not there; INVALID_PAGE_TOKEN.
    """
    position, after = _position_of(page_token, project_id)
    async with ports.store.read() as unit:
        project = await unit.recounts.next_project(position - 1)
        if project is None or (project_id and project.id != project_id):
            if project_id and not page_token:
                raise NotFound("PROJECT_UNKNOWN")
            return RecountStep()
        # The project of the last step may have been deleted meanwhile, and then this is the next one.
        charges = await unit.recounts.range_after(project.id, after if project.id == position else "", DIGESTS_PER_STEP)
        found = await unit.recounts.differences(project.id, charges, DIFFERENCES_PER_STEP)
        usage = await unit.recounts.usage(project.id)
        remaining = 1 if project_id else await unit.recounts.remaining(project.id)
    is_cut = len(found) == DIFFERENCES_PER_STEP
    last = found[-1].digest if is_cut else charges.last
    if dry_run:
        growth = sum(each.new_size - each.old_size for each in found)
        usage = CountedUsage(used_bytes=usage.used_bytes, charged_bytes=usage.charged_bytes + growth)
    elif found or usage.used_bytes != usage.charged_bytes:
        found, usage = await _correct(ports, project.id, [each.digest for each in found])
    return RecountStep(
        project=project,
        digest_count=charges.digest_count,
        differences=found,
        usage=usage,
        is_done=last is None,
        next_page_token=_token_after(project, last, project_id, is_last=remaining == 1),
        remaining_projects=remaining,
    )


async def _correct(
    ports: Ports, project_id: int, digests: Sequence[str]
) -> tuple[list[ChargeDifference], CountedUsage]:
    async def attempt() -> tuple[list[ChargeDifference], CountedUsage]:
        async with ports.store.write() as unit:
            held = await unit.projects.lock_open(project_id)
            if held is None or held.state is not ProjectState.ACTIVE:
                # It is being deleted, and its charges go with it.
                return [], _NO_USAGE
            corrected = await unit.recounts.correct(project_id, digests)
            usage = await unit.recounts.correct_usage(project_id, ports.clock())
            await unit.commit()
            return corrected, usage

    return await ports.store.repeat(attempt)


def _position_of(page_token: str, project_id: int) -> tuple[int, str]:
    if not page_token:
        return project_id or 1, ""
    position, digest = PageToken.decode(page_token, _fingerprint(project_id), (int, str)).values
    if isinstance(position, int) and isinstance(digest, str):
        return position, digest
    raise Invalid("INVALID_PAGE_TOKEN", violations=[FieldViolation("page_token", "was not given for this query")])


def _token_after(project: Project, last: str | None, project_id: int, *, is_last: bool) -> str:
    if last is not None:
        return PageToken((project.id, last)).encode(_fingerprint(project_id))
    return "" if is_last else PageToken((project.id + 1, "")).encode(_fingerprint(project_id))


def _fingerprint(project_id: int) -> str:
    return query_fingerprint("recount", project_id)

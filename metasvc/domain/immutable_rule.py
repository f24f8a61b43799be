"""The rules that make tags of a project immutable. `domain.immutability` enforces them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from metasvc.domain.immutable_rule_model import ACTION, MOST_RULES, ImmutableRule, NewImmutableRule
from metasvc.domain.model import ChangeKind
from metasvc.domain.project import in_project
from metasvc.domain.resource_change import change_of
from svckit.errors import Conflict, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, SortKey
from svckit.query import Key, Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from metasvc.domain.immutable_rule_model import Selector
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin
    from svckit.idempotency import IdempotencyKey
    from svckit.listing import ListRequest, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class ImmutableRuleChange:
    """What to change of a rule; None keeps the value.

    Attributes:
        etag: the etag of the rule that was read; empty to change any state.
    """

    is_disabled: bool | None = None
    priority: int | None = None
    template: str | None = None
    repositories: tuple[Selector, ...] | None = None
    tags: tuple[Selector, ...] | None = None
    etag: str = ""


RULES: Listing[ImmutableRule] = Listing(
    "immutable rules",
    MappingProxyType({"id": SortKey(int, lambda row: row.id)}),
    (Order("id"),),
    MappingProxyType({"id": Key("id", int), "disabled": Key("disabled", bool)}),
)


async def create_rule(
    ports: Ports, new: NewImmutableRule, origin: ChangeOrigin, key: IdempotencyKey | None = None
) -> ImmutableRule:
    """Adds a rule to its project. Writes that commit after it are held to it.

    A repeat with the same idempotency key answers with the present state of the rule that the first call made.

    Raises:
        DomainError: PROJECT_UNKNOWN; BAD_REQUEST, the project has `MOST_RULES`; CONFLICT, it has the same rule, or the
            key was used for another request, or the rule that the first call made is gone.
    """

    async def work(unit: UnitOfWork, now: datetime) -> ImmutableRule:
        first = await unit.idempotency.claim(key, now)
        rules = await unit.immutable_rules.relied_on(new.project_id)
        if first is not None:
            made_before = _find(rules, first.made_id)
            if made_before is None:
                raise made_is_gone()
            return made_before
        _refuse_twin(rules, new)
        if len(rules) >= MOST_RULES:
            raise Invalid(message=f"only {MOST_RULES} immutable rules are allowed at most")
        made = await unit.immutable_rules.add(new, now)
        await unit.idempotency.remember(key, made.id)
        unit.record(change_of(ChangeKind.IMMUTABLE_RULE_CREATE, made, origin, now, new=_values(made)))
        await unit.commit()
        return made

    return await in_project(ports, new.project_id, work)


async def list_rules(ports: Ports, *, project_id: int, request: ListRequest) -> Page[ImmutableRule]:
    """Lists the rules of a project, by default in the order in which they were added.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.lists() as lists:
        return await RULES.page(
            request,
            partial(lists.immutable_rules.page, project_id),
            partial(lists.immutable_rules.count, project_id),
            scope=(project_id,),
        )


async def update_rule(
    ports: Ports, *, project_id: int, rule_id: int, change: ImmutableRuleChange, origin: ChangeOrigin
) -> ImmutableRule:
    """Changes a rule. A repeat changes nothing.

    Raises:
        DomainError: IMMUTABLE_RULE_UNKNOWN, also for a rule of another project; CONFLICT, the project has the same rule
            already; PRECONDITION, another change came first.
    """

    async def attempt() -> ImmutableRule:
        async with ports.store.write(short=True) as unit:
            rules, held = await _hold(unit, project_id, rule_id)
            changed = _changed(held, change)
            old, new = _values(held), _values(changed)
            if old == new:
                # Before the etag is checked, as in `domain.repository.update_repository`.
                return held
            check_etag(change.etag, held)
            _refuse_twin((rule for rule in rules if rule.id != held.id), changed)
            now = ports.clock()
            updated = await unit.immutable_rules.update(held, changed, now)
            unit.record(change_of(ChangeKind.IMMUTABLE_RULE_UPDATE, updated, origin, now, old=old, new=new))
            await unit.commit()
            return updated

    return await ports.store.repeat(attempt)


async def delete_rule(ports: Ports, *, project_id: int, rule_id: int, origin: ChangeOrigin) -> None:
    """Deletes a rule.

    Raises:
        DomainError: IMMUTABLE_RULE_UNKNOWN, also for a rule of another project.
    """

    async def attempt() -> None:
        async with ports.store.write(short=True) as unit:
            _, held = await _hold(unit, project_id, rule_id)
            await unit.immutable_rules.remove(held)
            unit.record(change_of(ChangeKind.IMMUTABLE_RULE_DELETE, held, origin, ports.clock(), old=_values(held)))
            await unit.commit()

    await ports.store.repeat(attempt)


async def _hold(unit: UnitOfWork, project_id: int, rule_id: int) -> tuple[Sequence[ImmutableRule], ImmutableRule]:
    """All rules of a project, and one of them. The project cannot be deleted until the unit ends."""
    await unit.projects.lock_open(project_id)
    rules = await unit.immutable_rules.relied_on(project_id)
    held = _find(rules, rule_id)
    if held is None:
        raise NotFound("IMMUTABLE_RULE_UNKNOWN", f"immutable rule {rule_id} not found")
    return rules, held


def _find(rules: Iterable[ImmutableRule], rule_id: int) -> ImmutableRule | None:
    return next((rule for rule in rules if rule.id == rule_id), None)


def _refuse_twin(rules: Iterable[ImmutableRule], new: NewImmutableRule) -> None:
    """Refuses a rule that says the same as another one, whether they are enabled or not."""
    said = _said(new)
    if any(_said(rule) == said for rule in rules):
        raise Conflict("CONFLICT", "immutable rule already exists")


def _changed(held: ImmutableRule, change: ImmutableRuleChange) -> NewImmutableRule:
    return NewImmutableRule(
        project_id=held.project_id,
        is_disabled=held.is_disabled if change.is_disabled is None else change.is_disabled,
        priority=held.priority if change.priority is None else change.priority,
        template=held.template if change.template is None else change.template,
        repositories=held.repositories if change.repositories is None else change.repositories,
        tags=held.tags if change.tags is None else change.tags,
    )


def _said(rule: NewImmutableRule) -> dict[str, object]:
    """What Harbor compares: everything but whether the rule is enabled."""
    return {
        "priority": rule.priority,
        "action": ACTION,
        "template": rule.template,
        "repositories": [each.to_json() for each in rule.repositories],
        "tags": [each.to_json() for each in rule.tags],
    }


def _values(rule: NewImmutableRule) -> dict[str, object]:
    return {"disabled": rule.is_disabled, **_said(rule)}

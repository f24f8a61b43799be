"""The rows of immutable rules that a unit of work reads and writes. See `domain.rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from metasvc.domain.immutable_rule_model import ImmutableRule, NewImmutableRule


class ImmutableRuleRows(Protocol):
    """The rows of immutable rules.

    A unit says by `relied_on` that its decisions depend on the rules of a project. If another unit has changed these
    rules before it commits, its commit fails, and `Store.repeat` tries it again. So no unit waits for another one, and
    an endless row of pushes cannot keep a rule from being made.
    """

    async def relied_on(self, project_id: int) -> Sequence[ImmutableRule]:
        """All rules of a project, by id. A unit relies on the rules of one project only.

        If the unit has read the row of the project, and the project has no rules, this sends no statement.
        """

    async def add(self, new: NewImmutableRule, now: datetime) -> ImmutableRule:
        """Makes a rule in the project on whose rules the unit relies.

        Raises:
            DomainError: UNAVAILABLE, another unit has changed these rules. `Store.repeat` tries again.
        """

    async def update(self, held: ImmutableRule, changed: NewImmutableRule, now: datetime) -> ImmutableRule:
        """Changes one of the rules on which the unit relies. Raises as `add`."""

    async def remove(self, held: ImmutableRule) -> None:
        """Deletes one of the rules on which the unit relies. Raises as `add`."""

    async def remove_of(self, project_id: int) -> None:
        """Deletes all rules of a project that is being deleted."""

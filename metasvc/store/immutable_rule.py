"""Rules that make tags immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select, update

from metasvc.domain.immutable_rule_model import ImmutableRule, Selector
from metasvc.store.tables import CHANGES, immutable_rule, project
from svckit.doublestar import Doublestar
from svckit.sql.change_log import Unchanged
from svckit.sql.database import run_short, run_short_one
from svckit.sql.errors import WriteConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.immutable_rule_model import NewImmutableRule
    from svckit.sql.change_log import Watch

# One statement reads the rules and their version, so they fit each other. A project without rules has one row.
_RELIED_ON = (
    select(project.c.immutability_version, immutable_rule)
    .select_from(project.outerjoin(immutable_rule, immutable_rule.c.project_id == project.c.id))
    .where(project.c.id == bindparam("project_id"))
    .order_by(immutable_rule.c.id)
)
_VERSION: Watch = CHANGES.watch(
    select(project.c.immutability_version).where(project.c.id == bindparam("watched_project")).scalar_subquery()
)
_CLAIM = (
    update(project)
    .where(project.c.id == bindparam("of_project"), project.c.immutability_version == bindparam("held_version"))
    .values(
        immutable_rules=project.c.immutable_rules + bindparam("more"),
        immutability_version=project.c.immutability_version + 1,
    )
    .returning(project.c.id)
)
_ADD = insert(immutable_rule).returning(immutable_rule)
_UPDATE = (
    update(immutable_rule)
    .where(immutable_rule.c.id == bindparam("rule_id"))
    .values(
        disabled=bindparam("new_disabled"),
        priority=bindparam("new_priority"),
        template=bindparam("new_template"),
        repository_selectors=bindparam("new_repositories"),
        tag_selectors=bindparam("new_tags"),
        update_time=bindparam("now"),
        version=immutable_rule.c.version + 1,
    )
    .returning(immutable_rule)
)
_REMOVE = delete(immutable_rule).where(immutable_rule.c.id == bindparam("rule_id"))
_REMOVE_OF = delete(immutable_rule).where(immutable_rule.c.project_id == bindparam("of_project"))
_FORGET = update(project).where(project.c.id == bindparam("of_project")).values(immutable_rules=0)


class SqlImmutableRules:
    """See `domain.immutable_rule_rows.ImmutableRuleRows`. There is one for each unit.

    It remembers which version of the rules the unit has seen. The commit compares it with the present one, in a
    statement that it sends anyway, under the lock of the change log. All units that move or delete tags take this lock,
    and all that change rules, so none of the others can commit in between.
    """

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn
        self._without: dict[int, int] = {}
        self._relied: tuple[int, int, Sequence[ImmutableRule]] | None = None
        self._watched: Unchanged | None = None

    def note_project(self, row: Row[Any]) -> None:
        """Takes the row of a project that the unit has read."""
        if row.immutable_rules == 0:
            self._without[row.id] = row.immutability_version

    async def relied_on(self, project_id: int) -> Sequence[ImmutableRule]:
        """See the port."""
        if self._relied is None:
            version, rules = await self._read(project_id)
            self._relied = (project_id, version, rules)
            self._watched = Unchanged(_VERSION, {"watched_project": project_id}, version)
        elif self._relied[0] != project_id:
            raise ValueError("a unit of work relies on the rules of one project")
        return self._relied[2]

    @property
    def watched(self) -> Unchanged | None:
        """What must not have changed when the unit commits."""
        return self._watched

    async def _read(self, project_id: int) -> tuple[int, Sequence[ImmutableRule]]:
        if project_id in self._without:
            return self._without[project_id], ()
        rows = await run_short(self._conn, _RELIED_ON, {"project_id": project_id})
        if not rows:
            return 0, ()
        return rows[0].immutability_version, [to_rule(row) for row in rows if row.id is not None]

    async def add(self, new: NewImmutableRule, now: datetime) -> ImmutableRule:
        """See the port."""
        await self._claim(more=1)
        values = {"project_id": new.project_id, **_values(new), "create_time": now, "update_time": now, "version": 0}
        return to_rule((await self._conn.execute(_ADD, values)).one())

    async def update(self, held: ImmutableRule, changed: NewImmutableRule, now: datetime) -> ImmutableRule:
        """See the port."""
        await self._claim(more=0)
        values = {
            "rule_id": held.id,
            "new_disabled": changed.is_disabled,
            "new_priority": changed.priority,
            "new_template": changed.template,
            "new_repositories": _written(changed.repositories),
            "new_tags": _written(changed.tags),
            "now": now,
        }
        return to_rule((await self._conn.execute(_UPDATE, values)).one())

    async def remove(self, held: ImmutableRule) -> None:
        """See the port."""
        await self._claim(more=-1)
        await self._conn.execute(_REMOVE, {"rule_id": held.id})

    async def remove_of(self, project_id: int) -> None:
        """See the port."""
        await self._conn.execute(_REMOVE_OF, {"of_project": project_id})
        await self._conn.execute(_FORGET, {"of_project": project_id})

    async def _claim(self, *, more: int) -> None:
        """Gives the rules another version, if they still have the one on which the unit relies."""
        if self._relied is None:
            raise ValueError("a unit of work relies on the rules that it changes")
        project_id, version, _ = self._relied
        values = {"of_project": project_id, "held_version": version, "more": more}
        if await run_short_one(self._conn, _CLAIM, values) is None:
            raise WriteConflictError
        # From here on, the row of the project is locked, so nobody else can change the rules.
        self._watched = None


def to_rule(row: Row[Any]) -> ImmutableRule:
    """Reads a row of the immutable_rule table."""
    return ImmutableRule(
        id=row.id,
        project_id=row.project_id,
        is_disabled=row.disabled,
        priority=row.priority,
        template=row.template,
        repositories=_read(row.repository_selectors),
        tags=_read(row.tag_selectors),
        create_time=row.create_time,
        update_time=row.update_time,
        version=row.version,
    )


def _values(new: NewImmutableRule) -> dict[str, object]:
    return {
        "disabled": new.is_disabled,
        "priority": new.priority,
        "template": new.template,
        "repository_selectors": _written(new.repositories),
        "tag_selectors": _written(new.tags),
    }


def _written(selectors: Iterable[Selector]) -> list[dict[str, object]]:
    return [each.to_json() for each in selectors]


def _read(written: Any) -> tuple[Selector, ...]:
    # Patterns that were read lately are kept compiled.
    return tuple(Selector(Doublestar.parse(each["pattern"]), each["excluding"]) for each in written)
